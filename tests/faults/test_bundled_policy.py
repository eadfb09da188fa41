"""The fault families with bin/annotate itself: the real engine on the bundled policy, real kills, one real export."""

from __future__ import annotations

import contextlib
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.daemon import ROOT, exported

NUM_PROBLEMS = {False: 6, True: 10}
"""In CI and where thorough; an engine takes far longer to start than to sample for one of them."""
NUM_KILLS = {False: 3, True: 8}
"""Of a daemon that grows trees, beside one while it loads and one of its engine."""
MAX_COMMITS = {False: 5, True: 4}
"""Group commits, of some 30 and 45, that a daemon may do before its kill, so that none finishes first."""
GONE_SECONDS = 20
"""Time that a dead daemon's processes get to be gone; the kernel needs far less."""

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory, thorough: bool) -> list[str]:
    """A few problems of each family."""
    from examples.generate import FAMILIES, generate

    folder = tmp_path_factory.mktemp("problems")
    return [str(generate(family, "seeds", NUM_PROBLEMS[thorough] // 2, 9, folder / family)) for family in FAMILIES]


def annotate(seeds: list[str], store: Path, *flags: str, **popen: Any) -> subprocess.Popen[str]:
    words = [str(ROOT / "bin" / "annotate"), "--seeds", *seeds, "--store", str(store)]
    words += ["--model", str(ROOT / "examples" / "policy"), "--max-searches", "6", "--rollout-budget", "192"]
    words += ["--temperature", "1.4", "--max-new-tokens", "160", "--concurrency", "4"]
    return subprocess.Popen([*words, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)


def finish(seeds: list[str], store: Path, *flags: str) -> str:
    process = annotate(seeds, store, *flags)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def whole(seeds: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The export of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    finish(seeds, folder / "store")
    return exported(folder / "store", folder / "out")


def children_of(daemon: subprocess.Popen[str], kind: str) -> list[psutil.Process]:
    """A daemon's own processes whose name or command line holds a word; those of other daemons are not its."""
    found = []
    for child in psutil.Process(daemon.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if kind in child.name() + " ".join(child.cmdline()):
                found.append(child)
    return found


def wait_while(process: subprocess.Popen[str], waits: Callable[[], bool]) -> None:
    while process.poll() is None and waits():
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1]


def wait_for_commits(process: subprocess.Popen[str], store: Path, count: int) -> None:
    """Return when the engine is there and the store has been written so many times since."""
    wait_while(process, lambda: not children_of(process, "EngineCore"))
    data = store / "data.mdb"
    for _ in range(count):
        seen = data.stat().st_mtime_ns
        wait_while(process, lambda seen=seen: data.stat().st_mtime_ns == seen)


def see_all_gone(own: list[psutil.Process]) -> None:
    _, left = psutil.wait_procs(own, GONE_SECONDS)
    for child in left:
        child.kill()
    assert not left, "a process outlived its daemon"


def kill_and_see_all_gone(process: subprocess.Popen[str]) -> None:
    """SIGKILL a daemon; nothing that it started stays behind."""
    own = psutil.Process(process.pid).children(recursive=True)
    assert own, "a daemon has started processes of its own by now"
    process.kill()
    process.communicate()
    see_all_gone(own)


def kill_while_loading(seeds: list[str], store: Path) -> None:
    """As soon as the engine's process is begun, when it has not yet tied itself to the daemon."""
    process = annotate(seeds, store)
    wait_while(process, lambda: not children_of(process, "spawn_main"))
    kill_and_see_all_gone(process)


def kill_while_growing(seeds: list[str], store: Path, num_commits: int) -> None:
    """So many commits after the engine is there."""
    process = annotate(seeds, store)
    wait_for_commits(process, store, num_commits)
    kill_and_see_all_gone(process)


def finish_with_the_engine_killed(seeds: list[str], store: Path) -> str:
    """Run a daemon to its end whose engine is killed once it has sampled, and started again in place."""
    process = annotate(seeds, store, "--engine-restarts", "1")
    wait_for_commits(process, store, 3)
    for core in children_of(process, "EngineCore"):
        core.kill()
    wait_while(process, lambda: bool(children_of(process, "EngineCore")))
    wait_while(process, lambda: not children_of(process, "EngineCore"))
    own = psutil.Process(process.pid).children(recursive=True)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    see_all_gone(own)
    return said


@pytest.mark.family("engine")
@pytest.mark.family("kill")
def test_kills_of_the_real_daemon_and_then_of_its_engine_leave_the_undisturbed_export(
    seeds: list[str],
    whole: tuple[bytes, bytes],
    tmp_path: Path,
    thorough: bool,
    record_property: Callable[[str, object], None],
) -> None:
    num_kills = NUM_KILLS[thorough]
    record_property("tries", 2 + num_kills)
    kill_while_loading(seeds, tmp_path / "killed")
    for _ in range(num_kills):
        kill_while_growing(seeds, tmp_path / "killed", random.randint(1, MAX_COMMITS[thorough]))
    assert "starting it again" in finish_with_the_engine_killed(seeds, tmp_path / "killed")
    assert exported(tmp_path / "killed", tmp_path / "out") == whole


@pytest.mark.family("signal")
def test_sigterm_while_the_real_engine_loads_ends_with_75_and_leaves_no_process(
    seeds: list[str], tmp_path: Path, thorough: bool
) -> None:
    if not thorough:
        pytest.skip("with --tries 100 or more")
    process = annotate(seeds, tmp_path / "store")
    wait_while(process, lambda: not children_of(process, "EngineCore"))
    own = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    see_all_gone(own)


@pytest.mark.family("disk")
def test_a_full_disk_under_the_real_daemon_ends_with_74_and_the_same_command_finishes(
    seeds: list[str], whole: tuple[bytes, bytes], tmp_path: Path, thorough: bool
) -> None:
    if not thorough:
        pytest.skip("with --tries 100 or more")
    limit = 60 << 10
    process = annotate(
        seeds, tmp_path / "store", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    _, said = process.communicate(timeout=600)
    assert process.returncode == 74, said
    finish(seeds, tmp_path / "store")
    assert exported(tmp_path / "store", tmp_path / "out") == whole
