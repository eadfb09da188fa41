"""The fault families with bin/annotate itself: the real engine on the bundled policy, real kills, one real export."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.export import ExportConfig, export

ROOT = Path(__file__).resolve().parents[2]
NUM_KILLS = 5
NUM_PROBLEMS = 10
THOROUGH_TRIES = 100

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]


@pytest.fixture
def thorough(tries: int) -> None:
    if tries < THOROUGH_TRIES:
        pytest.skip(f"with --tries {THOROUGH_TRIES} or more")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A few problems of each family."""
    from examples.generate import FAMILIES, generate

    folder = tmp_path_factory.mktemp("problems")
    return [str(generate(family, "seeds", NUM_PROBLEMS // 2, 9, folder / family)) for family in FAMILIES]


def annotate(seeds: list[str], store: Path, *flags: str, **popen: Any) -> subprocess.Popen[str]:
    words = [str(ROOT / "bin" / "annotate"), "--seeds", *seeds, "--store", str(store)]
    words += ["--model", str(ROOT / "examples" / "policy"), "--max-searches", "6", "--rollout-budget", "192"]
    words += ["--temperature", "1.4", "--max-new-tokens", "160", "--concurrency", "4"]
    return subprocess.Popen([*words, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)


def exported(store: Path, out: Path) -> bytes:
    export(ExportConfig(stores=(str(store),), out=str(out)))
    return (out / "train.jsonl").read_bytes()


def engine_cores() -> set[int]:
    """Processes of vLLM's engine core."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            name = (folder / "comm").read_text() + (folder / "cmdline").read_text()
        except OSError:
            continue
        if folder.name.isdigit() and "EngineCore" in name:
            found.add(int(folder.name))
    return found


def wait_until_gone(pids: set[int], seconds: float) -> set[int]:
    deadline = time.monotonic() + seconds
    while pids & engine_cores() and time.monotonic() < deadline:
        time.sleep(0.2)
    return pids & engine_cores()


def until_it_has_written(store: Path, times: int, process: subprocess.Popen[str]) -> None:
    data = store / "data.mdb"
    for _ in range(times):
        seen = data.stat().st_mtime_ns if data.exists() else 0
        while process.poll() is None and (not data.exists() or data.stat().st_mtime_ns == seen):
            time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1]


def kill_while_growing(seeds: list[str], store: Path, rng: random.Random) -> None:
    """SIGKILL a daemon some commits after it began to write; no engine process stays behind."""
    before = engine_cores()
    process = annotate(seeds, store)
    until_it_has_written(store, rng.randint(2, 8), process)
    own = engine_cores() - before
    process.kill()
    process.communicate()
    left = wait_until_gone(own, 20)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "an engine process outlived its daemon"


def finish(seeds: list[str], store: Path, *flags: str) -> str:
    process = annotate(seeds, store, *flags)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def whole(seeds: list[str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The rows of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    finish(seeds, folder / "store")
    return exported(folder / "store", folder / "out")


@pytest.mark.family("kill")
def test_five_sigkills_of_the_real_daemon_leave_the_undisturbed_export(
    seeds: list[str], whole: bytes, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("tries", NUM_KILLS)
    rng = random.Random()
    for _ in range(NUM_KILLS):
        kill_while_growing(seeds, tmp_path / "killed", rng)
    finish(seeds, tmp_path / "killed")
    assert exported(tmp_path / "killed", tmp_path / "out") == whole


@pytest.mark.family("engine")
def test_a_killed_engine_core_is_restarted_in_place_with_nothing_lost_or_doubled(
    seeds: list[str], whole: bytes, tmp_path: Path
) -> None:
    before = engine_cores()
    process = annotate(seeds, tmp_path / "store", "--engine-restarts", "1")
    until_it_has_written(tmp_path / "store", 8, process)
    cores = engine_cores() - before
    for pid in cores:
        os.kill(pid, signal.SIGKILL)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert cores
    assert "starting it again" in said
    assert exported(tmp_path / "store", tmp_path / "out") == whole
    assert not wait_until_gone(engine_cores() - before, 20)


@pytest.mark.family("signal")
def test_sigterm_while_the_real_engine_loads_ends_with_75_and_leaves_no_process(
    seeds: list[str], tmp_path: Path, thorough: None
) -> None:
    before = engine_cores()
    process = annotate(seeds, tmp_path / "store")
    while process.poll() is None and not engine_cores() - before:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert not wait_until_gone(engine_cores() - before, 20)


@pytest.mark.family("disk")
def test_a_full_disk_under_the_real_daemon_ends_with_74_and_the_same_command_finishes(
    seeds: list[str], whole: bytes, tmp_path: Path, thorough: None
) -> None:
    limit = 60 << 10
    process = annotate(
        seeds, tmp_path / "store", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    _, said = process.communicate(timeout=600)
    assert process.returncode == 74, said
    finish(seeds, tmp_path / "store")
    assert exported(tmp_path / "store", tmp_path / "out") == whole
