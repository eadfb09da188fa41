"""A dead engine ends the run with 70 or is restarted in place, and no process of the daemon's outlives it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.fakes.annotate import Script
from tests.faults.daemon import Job, exported, holds

pytestmark = pytest.mark.family("engine")


def test_a_dead_engine_ends_with_70_and_the_same_command_goes_on(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path
) -> None:
    daemon = job.start(tmp_path / "store", "--engine-restarts", "1", script=Script(lives=40, deaths=2))
    code, said = daemon.end()
    assert code == 70, said
    assert "0 restarts left" in said
    assert "Traceback" not in said
    holds(tmp_path / "store", daemon.acknowledged)
    assert job.run(tmp_path / "store")[0] == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def test_a_dead_engine_is_restarted_in_place_with_nothing_lost_or_doubled(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("tries", 3)
    daemon = job.start(tmp_path / "store", "--engine-restarts", "3", script=Script(lives=30, deaths=3, jitter=0.01))
    code, said = daemon.end()
    assert code == 0, said
    assert said.count("starting it again") == 3
    holds(tmp_path / "store", daemon.acknowledged)
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def left_by_a_killed_daemon(job: Job, store: Path, note: Path) -> psutil.Process:
    """A process that stands for an engine core, outliving its daemon."""
    daemon = job.start(store, script=Script(pause=0.05, child=str(note)))
    daemon.wait_for(5)
    daemon.kill()
    return psutil.Process(int(note.read_text()))


def test_the_next_start_ends_exactly_the_processes_that_a_killed_daemon_of_its_store_left(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path
) -> None:
    own = left_by_a_killed_daemon(job, tmp_path / "store", tmp_path / "own")
    other = left_by_a_killed_daemon(job, tmp_path / "elsewhere", tmp_path / "other")
    try:
        assert own.is_running()
        assert job.run(tmp_path / "store")[0] == 0
        assert not own.is_running() or own.status() == psutil.STATUS_ZOMBIE
        assert other.is_running()
        assert other.status() != psutil.STATUS_ZOMBIE
    finally:
        os.kill(other.pid, signal.SIGKILL)
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed
