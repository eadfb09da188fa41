"""One daemon a store: a second one is refused and harms nothing, and a dead one's lock file is no lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.annotate import Script
from tests.faults.daemon import Job, exported

pytestmark = pytest.mark.family("rivals")


def test_a_second_daemon_on_a_store_ends_with_73_and_harms_nothing(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path
) -> None:
    first = job.start(tmp_path / "store", script=Script(pause=0.05))
    first.wait_for(10)
    code, said = job.run(tmp_path / "store")
    assert code == 73, said
    assert str(first.process.pid) in said
    assert "Traceback" not in said
    assert first.end()[0] == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def test_the_lock_file_of_a_dead_process_is_no_lock(job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path) -> None:
    dead = job.start(tmp_path / "store", script=Script(pause=0.05))
    dead.wait_for(10)
    dead.kill()
    assert (tmp_path / "store" / "writer.lock").read_text() == f"{dead.process.pid}\n"
    assert job.run(tmp_path / "store")[0] == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed
