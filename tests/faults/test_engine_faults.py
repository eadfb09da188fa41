"""bin/annotate with the real engine and the bundled policy, killed at random, exports what an undisturbed run does."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine.export import ExportConfig, export

ROOT = Path(__file__).resolve().parents[2]
NUM_KILLS = 5
NUM_PROBLEMS = 10

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A few problems of each family."""
    from examples.generate import FAMILIES, generate

    folder = tmp_path_factory.mktemp("problems")
    return [str(generate(family, "seeds", NUM_PROBLEMS // 2, 9, folder / family)) for family in FAMILIES]


def annotate(seeds: list[str], store: Path) -> subprocess.Popen:
    words = [str(ROOT / "bin" / "annotate"), "--seeds", *seeds, "--store", str(store)]
    words += ["--model", str(ROOT / "examples" / "policy"), "--max-searches", "6", "--rollout-budget", "192"]
    words += ["--temperature", "1.4", "--max-new-tokens", "160", "--concurrency", "4"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def exported(store: Path, out: Path) -> bytes:
    export(ExportConfig(stores=(str(store),), out=str(out)))
    return (out / "train.jsonl").read_bytes()


def children_of(daemon: subprocess.Popen, kind: str) -> list[psutil.Process]:
    """A daemon's own processes whose name or command line holds a word; those of other daemons are not its."""
    found = []
    for child in psutil.Process(daemon.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if kind in child.name() + " ".join(child.cmdline()):
                found.append(child)
    return found


def wait_while(process: subprocess.Popen, waits: Callable[[], bool]) -> None:
    while process.poll() is None and waits():
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1]


def kill_and_see_all_gone(process: subprocess.Popen) -> None:
    """SIGKILL a daemon; nothing that it started stays behind."""
    own = psutil.Process(process.pid).children(recursive=True)
    assert own, "a daemon has started processes of its own by now"
    process.kill()
    process.communicate()
    _, left = psutil.wait_procs(own, 20)
    for child in left:
        child.kill()
    assert not left, "a process outlived its daemon"


def kill_while_loading(seeds: list[str], store: Path) -> None:
    """As soon as the engine's process is begun, when it has not yet tied itself to the daemon."""
    process = annotate(seeds, store)
    wait_while(process, lambda: not children_of(process, "spawn_main"))
    kill_and_see_all_gone(process)


def kill_while_growing(seeds: list[str], store: Path, rng: random.Random) -> None:
    """Some commits after the engine is there."""
    process = annotate(seeds, store)
    wait_while(process, lambda: not children_of(process, "EngineCore"))
    data = store / "data.mdb"
    for _ in range(rng.randint(1, 7)):
        seen = data.stat().st_mtime_ns
        wait_while(process, lambda seen=seen: data.stat().st_mtime_ns == seen)
    kill_and_see_all_gone(process)


def test_five_sigkills_of_the_real_daemon_leave_the_undisturbed_export(seeds: list[str], tmp_path: Path):
    undisturbed = annotate(seeds, tmp_path / "undisturbed")
    _, said = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, said
    rng = random.Random()
    kill_while_loading(seeds, tmp_path / "killed")
    for _ in range(NUM_KILLS):
        kill_while_growing(seeds, tmp_path / "killed", rng)
    resumed = annotate(seeds, tmp_path / "killed")
    _, said = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, said
    assert exported(tmp_path / "killed", tmp_path / "a") == exported(tmp_path / "undisturbed", tmp_path / "b")
