"""bin/annotate with the real engine and the bundled policy, killed at random, exports what an undisturbed run does."""

from __future__ import annotations

import random
import subprocess
import time
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


def engine_cores_of(daemon: subprocess.Popen) -> list[psutil.Process]:
    """Processes of vLLM's engine core that a daemon started; those of other daemons on the machine are not its."""
    children = psutil.Process(daemon.pid).children(recursive=True)
    return [child for child in children if "EngineCore" in child.name() + " ".join(child.cmdline())]


def kill_while_growing(seeds: list[str], store: Path, rng: random.Random) -> None:
    """SIGKILL a daemon some commits after it began to write; no engine process stays behind."""
    process = annotate(seeds, store)
    data = store / "data.mdb"
    for _ in range(rng.randint(2, 8)):
        seen = data.stat().st_mtime_ns if data.exists() else 0
        while process.poll() is None and (not data.exists() or data.stat().st_mtime_ns == seen):
            time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1]
    own = engine_cores_of(process)
    assert own, "a daemon that grows trees has an engine core"
    process.kill()
    process.communicate()
    _, left = psutil.wait_procs(own, 20)
    for core in left:
        core.kill()
    assert not left, "an engine process outlived its daemon"


def test_five_sigkills_of_the_real_daemon_leave_the_undisturbed_export(seeds: list[str], tmp_path: Path):
    undisturbed = annotate(seeds, tmp_path / "undisturbed")
    _, said = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, said
    rng = random.Random()
    for _ in range(NUM_KILLS):
        kill_while_growing(seeds, tmp_path / "killed", rng)
    resumed = annotate(seeds, tmp_path / "killed")
    _, said = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, said
    assert exported(tmp_path / "killed", tmp_path / "a") == exported(tmp_path / "undisturbed", tmp_path / "b")
