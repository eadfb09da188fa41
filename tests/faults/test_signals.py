"""SIGTERM in every phase ends with 75 within the grace, a second one at once, and the same command goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.fakes.annotate import Script
from tests.faults.daemon import Daemon, Job, command, exported

pytestmark = pytest.mark.family("signal")

AT_ONCE_SECONDS = 60
"""Far less than what the scripted policy would take."""


def until_said(daemon: Daemon, words: str) -> None:
    while words not in daemon.said() and daemon.process.poll() is None:
        time.sleep(0.02)


def until_there(path: Path, daemon: Daemon) -> None:
    while not path.exists() and daemon.process.poll() is None:
        time.sleep(0.02)


def ended_with_75_in(daemon: Daemon, seconds: float) -> str:
    started = time.monotonic()
    code, said = daemon.end()
    assert code == 75, said
    assert time.monotonic() - started < seconds
    assert "the same command" in said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_in_mid_search_it_drains_and_the_same_command_finishes(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path, number: signal.Signals
) -> None:
    daemon = job.start(tmp_path / "store", script=Script(pause=0.05))
    daemon.wait_for(20)
    daemon.process.send_signal(number)
    ended_with_75_in(daemon, 20)
    assert job.run(tmp_path / "store")[0] == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def test_while_the_policy_loads_it_leaves_at_once(job: Job, tmp_path: Path) -> None:
    daemon = job.start(tmp_path / "store", script=Script(loading=500))
    until_there(tmp_path / "store" / "run.mark", daemon)
    daemon.process.send_signal(signal.SIGTERM)
    assert "before the first estimate" in ended_with_75_in(daemon, AT_ONCE_SECONDS)


def test_at_the_first_estimate_it_leaves_when_the_grace_is_over(job: Job, tmp_path: Path) -> None:
    daemon = job.start(
        tmp_path / "store", "--drain-seconds", "0.5", script=Script(pause=500, child=str(tmp_path / "up"))
    )
    until_there(tmp_path / "up", daemon)
    daemon.process.send_signal(signal.SIGTERM)
    ended_with_75_in(daemon, AT_ONCE_SECONDS)
    assert not daemon.acknowledged


def test_while_it_drains_a_second_one_leaves_at_once_and_loses_nothing_acknowledged(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path
) -> None:
    daemon = job.start(tmp_path / "store", "--drain-seconds", "500", script=Script(silent=("p1", "p2")))
    daemon.wait_for(30)
    daemon.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert daemon.process.poll() is None, "nothing was left to drain"
    daemon.process.send_signal(signal.SIGTERM)
    ended_with_75_in(daemon, AT_ONCE_SECONDS)
    assert job.run(tmp_path / "store")[0] == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


@pytest.mark.parametrize(
    ("call", "name"), [("write", "train.jsonl"), ("rename", "train.jsonl"), ("sync", "counts.json")]
)
def test_while_exporting_it_leaves_with_75_and_no_half_file(
    finished: Path,
    undisturbed: tuple[bytes, bytes],
    shim: Callable[..., Mapping[str, str]],
    tmp_path: Path,
    call: str,
    name: str,
) -> None:
    environment = shim(call=call, path=f"out/{name}", at=1, do="term")
    code, said = command("export", finished, "--out", tmp_path / "out", environment=environment)
    assert code == 75, said
    assert "Traceback" not in said
    for file, whole in zip(("train.jsonl", "counts.json"), undisturbed, strict=True):
        assert not (tmp_path / "out" / file).exists() or (tmp_path / "out" / file).read_bytes() == whole
    assert exported(finished, tmp_path / "out") == undisturbed
