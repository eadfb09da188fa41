"""The job that the fault tests run, its undisturbed end, and the file system that fails them."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.daemon import Job, exported

NUM_PROBLEMS = 30
THOROUGH_TRIES = 100
"""From so many on, every test does all it can; below, CI's choice."""
SAMPLED = 4
TEST_SECONDS, TRY_SECONDS = 300, 3
"""What a test gets, and for each of --tries more where it repeats itself so often."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "family(name): the family of faults that a test belongs to, see tests/faults")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seconds = TEST_SECONDS + TRY_SECONDS * config.getoption("--tries")
    for item in items:
        if "tries" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(seconds))


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
