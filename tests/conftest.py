"""What several tests share: the bundled policy, and how they are divided among processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.families import write_table

ROOT = Path(__file__).resolve().parents[1]
POLICY = ROOT / "examples" / "policy"

os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(ROOT / ".venv" / "torch_extensions"))


ENGINE_GROUP = "engine"
FIRST = (ENGINE_GROUP, "tests/trainer/test_training.py")
"""Groups that take longest: they begin first, so that no worker waits for them at the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests marked long")
    parser.addoption("--tries", type=int, default=24, help="SIGKILLs at random moments that tests/faults tries")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Divide the tests among pytest-xdist's workers by file; those that start vLLM all go to one worker."""
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="runs only with --long"))
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    places = {name: at for at, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(group_of(item), len(FIRST)))


def group_of(item: pytest.Item) -> str:
    return ENGINE_GROUP if item.get_closest_marker("engine") else item.nodeid.partition("::")[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Here and not in tests/faults, whose conftest.py a process that only shares out the tests never reads."""
    write_table(terminalreporter)


@pytest.fixture(scope="session")
def policy_folder() -> Path:
    """The bundled policy, a Hugging Face InternVL of 1.3 million parameters."""
    assert (POLICY / "config.json").is_file(), f"{POLICY} holds no model"
    return POLICY
