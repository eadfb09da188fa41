"""The families of faults: what each promises, and the table of tries and passes that ends a test run."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.daemon import Job, exported

FAMILIES = {
    "kill": "SIGKILL at any moment: the same command goes on, the export is that of an undisturbed run",
    "points": "SIGKILL at named points of making, commit, group commit, map growth, drain and export: as above",
    "disk": "a failing write, sync or rename, a full disk: 74, all acknowledged readable, goes on once there is room",
    "damage": "a damaged value, page or file, another schema: named, refused or quarantined, never read as truth",
    "rivals": "a second daemon on a store: 73 and no harm; a dead process's lock file is none",
    "engine": "a dead engine: 70, or restarted with nothing lost or doubled; no process of its own outlives the daemon",
    "signal": "SIGTERM in every phase: 75 within the grace; a second one leaves at once",
    "input": "bad rows, images, answers and texts: set aside with a reason or used, the others go on",
    "flags": "changed flags on resume: throughput free; model, prompt, seeds, rule refused with 78, both values named",
    "time": "a jumping clock, a stalled loop, a policy that never answers: no harm, told with the stack, quarantined",
    "determinism": "the same export at any concurrency, order of answers, sharding and number of restarts",
}
NUM_PROBLEMS = 30
THOROUGH_TRIES = 100
"""From so many on, every test does all it can; below, CI's choice."""
SAMPLED = 4


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "family(name): the family of faults that a test belongs to, see tests/faults")


@pytest.fixture(scope="session")
def tries(pytestconfig: pytest.Config) -> int:
    """How often a test of chance repeats itself (--tries)."""
    found: int = pytestconfig.getoption("--tries")
    return found


@pytest.fixture(scope="session")
def thorough(tries: int) -> bool:
    """Whether so many tries are asked for that a test should do all it can."""
    return tries >= THOROUGH_TRIES


@pytest.fixture
def some(thorough: bool, record_property: Callable[[str, object], None]) -> Callable[[Sequence[Any]], list[Any]]:
    """Picks SAMPLED of many cases by chance, others in each run, and counts them as tries; all where thorough."""

    def pick(cases: Sequence[Any]) -> list[Any]:
        chosen = range(len(cases)) if thorough else sorted(random.sample(range(len(cases)), min(SAMPLED, len(cases))))
        record_property("tries", len(chosen))
        return [cases[at] for at in chosen]

    return pick


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    rows = [{"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n} for n in range(NUM_PROBLEMS)]
    (folder / "seeds.json").write_text(json.dumps(rows))
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    return Job(folder)


@pytest.fixture(scope="session")
def finished(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of an undisturbed run; to be read and copied only."""
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    code, said = job.run(store)
    assert code == 0, said
    return store


@pytest.fixture(scope="session")
def undisturbed(finished: Path) -> tuple[bytes, bytes]:
    """The export of an undisturbed run."""
    return exported(finished, finished.parent / "out")


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Mapping[str, str]]:
    """An environment in which the file system or the clock is faulty; shim.c says how."""
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return lambda **fault: {
        "LD_PRELOAD": str(library),
        **{f"SHIM_{name.upper()}": str(value) for name, value in fault.items()},
    }


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):  # type: ignore[no-untyped-def]
    report = (yield).get_result()
    report.user_properties.append(("families", [marker.args[0] for marker in item.iter_markers("family")]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each family: its tests, its tries and how many passed."""
    tests = dict.fromkeys(FAMILIES, 0)
    passed, tried = tests.copy(), tests.copy()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            told = dict(report.user_properties)
            for family in told.get("families", ()):
                tests[family] += 1
                passed[family] += outcome == "passed"
                tried[family] += told.get("tries", 1)
    if not any(tests.values()):
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'family':<12} {'tests':>5} {'passed':>6} {'tries':>6}  promise")
    for family, promise in FAMILIES.items():
        terminalreporter.write_line(
            f"{family:<12} {tests[family]:>5} {passed[family]:>6} {tried[family]:>6}  {promise}"
        )
