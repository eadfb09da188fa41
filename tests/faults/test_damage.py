"""What is damaged on disk is named, refused or quarantined, and never read as truth."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from omegaprm.engine.records import SCHEMA_VERSION
from omegaprm.engine.store import SCHEMA_KEY, Store, Write, estimate_key, problem_key
from tests.fakes.annotate import Script
from tests.faults.daemon import ROOT, Job, command, exported

pytestmark = pytest.mark.family("damage")


def damage(store: Path, table: str, key: bytes) -> None:
    """Change one byte in the middle of a stored value, wherever it lies in the file."""
    with Store.open_reader(store) as opened:
        value = opened.get(table, key)
    assert value is not None
    content = (store / "data.mdb").read_bytes()
    assert value in content
    changed = bytearray(value)
    changed[len(changed) // 2] ^= 1
    (store / "data.mdb").write_bytes(content.replace(value, bytes(changed)))


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A finished store of one's own."""
    return Path(shutil.copytree(finished, tmp_path / "store"))


def test_a_damaged_estimate_is_named_and_never_exported(store: Path, tmp_path: Path) -> None:
    damage(store, "estimates", estimate_key(problem_key("p3"), 1))
    code, said = command("status", store, "--verify")
    assert code == 74
    assert "estimate 1 of problem p3" in said
    code, said = command("export", store, "--out", tmp_path / "out")
    assert code == 74
    assert "estimate 1 of problem p3" in said
    assert not (tmp_path / "out").exists()


def test_a_damaged_estimate_of_an_open_problem_quarantines_that_problem_alone(
    job: Job, finished: Path, tmp_path: Path
) -> None:
    daemon = job.start(tmp_path / "store", script=Script(pause=0.1))
    daemon.wait_for(40)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.end()[0] == 75
    open_ones = {key[:32] for key in daemon.acknowledged}
    name = next(f"p{at}" for at in range(30) if problem_key(f"p{at}").hex() in open_ones)
    damage(tmp_path / "store", "estimates", estimate_key(problem_key(name), 0))
    code, said = job.run(tmp_path / "store")
    assert code == 0, said
    assert f"quarantined {name}: estimate 0 of problem {name}" in said
    rows = exported(tmp_path / "store", tmp_path / "out")[0].splitlines()
    others = exported(finished, tmp_path / "whole")[0].splitlines()
    assert rows == [row for row in others if f'"id":"{name}#'.encode() not in row]


def test_a_damaged_record_is_made_again_from_its_estimates(
    job: Job, store: Path, undisturbed: tuple[bytes, bytes], tmp_path: Path
) -> None:
    damage(store, "problems", problem_key("p5"))
    assert command("export", store, "--out", tmp_path / "refused")[0] == 74
    code, said = job.run(store)
    assert code == 0, said
    assert "the record of problem p5" in said
    assert exported(store, tmp_path / "out") == undisturbed


async def test_estimates_that_are_missing_or_out_of_place_are_named(store: Path) -> None:
    with Store.open(store) as opened:
        taken = opened.get("estimates", estimate_key(problem_key("p1"), 0))
        assert taken is not None
        await opened.commit([Write("estimates", estimate_key(problem_key("p2"), 0), taken)])
        last = max(int.from_bytes(key[-4:], "big") for key, _ in opened.scan("estimates", problem_key("p4")))
        value = opened.get("estimates", estimate_key(problem_key("p4"), last))
        assert value is not None
        await opened.commit([Write("estimates", estimate_key(problem_key("p4"), last + 2), value)])
    code, said = command("status", store, "--verify")
    assert code == 74
    assert "problem p2" in said
    assert "problem p4" in said


def test_a_truncated_data_file_is_refused_and_left_alone(job: Job, store: Path, tmp_path: Path) -> None:
    data = store / "data.mdb"
    half = data.stat().st_size // 2
    with data.open("r+b") as file:
        file.truncate(half)
    for code, said in (
        job.run(store),
        command("status", store, "--verify"),
        command("export", store, "--out", tmp_path / "out"),
    ):
        assert code == 74, said
        assert "truncated" in said
        assert "Traceback" not in said
    assert data.stat().st_size == half


async def test_another_schema_version_is_refused_naming_both(job: Job, store: Path, tmp_path: Path) -> None:
    with Store.open(store) as opened:
        await opened.commit([Write("meta", SCHEMA_KEY, b"907")])
    for code, said in (job.run(store), command("status", store), command("export", store, "--out", tmp_path / "out")):
        assert code == 78, said
        assert "907" in said
        assert f"has {SCHEMA_VERSION}" in said


FLIPPING = """
import random, shutil, sys
from pathlib import Path
from omegaprm.engine.errors import OmegaprmError
from omegaprm.engine.export import ExportConfig, export

whole, scratch, tries = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
seed = random.randrange(1 << 30)
rng = random.Random(seed)
content = (whole / "data.mdb").read_bytes()
expected = Path(sys.argv[4]).read_bytes()
for _ in range(tries):
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 4))):
        head = rng.random() < 0.5
        at = rng.randrange(len(content) // 4096) * 4096 + rng.randrange(64) if head else rng.randrange(len(content))
        changed[at] ^= 1 << rng.randrange(8)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    (scratch / "data.mdb").write_bytes(changed)
    try:
        export(ExportConfig(stores=(str(scratch),), out=str(scratch / "out")))
    except OmegaprmError as error:
        assert error.exit_code in (65, 74, 78), (seed, error)
    else:
        assert (scratch / "out" / "train.jsonl").read_bytes() == expected, seed
"""
"""A process of its own: what LMDB does with pages that do not fit together is to abort."""


def test_bits_that_flip_anywhere_in_the_file_never_change_a_row(
    finished: Path,
    undisturbed: tuple[bytes, bytes],
    tmp_path: Path,
    tries: int,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("tries", tries)
    (tmp_path / "expected").write_bytes(undisturbed[0])
    words = [finished, tmp_path / "scratch", tries, tmp_path / "expected"]
    ended = subprocess.run(
        [sys.executable, "-c", FLIPPING, *map(str, words)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stdout[-500:] + ended.stderr
