"""The page on reliability and the tests name the same families, and every test of this folder is in one."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.families import FAMILIES

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reliability.md"


def test_the_page_lists_every_family_with_its_promise() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE))
    assert rows == FAMILIES


def test_every_family_has_a_test_and_every_mark_a_family() -> None:
    named = {
        name for file in HERE.glob("test_*.py") for name in re.findall(r'mark\.family\("(\w+)"\)', file.read_text())
    }
    assert named == set(FAMILIES)


def test_files_and_flags_on_the_page_exist() -> None:
    text = PAGE.read_text()
    assert all((HERE.parents[1] / path).exists() for path in re.findall(r"`((?:tests|engine|docs)/[\w./]+)`", text))
    config = (HERE.parents[1] / "engine" / "config.py").read_text()
    flags = set(re.findall(r"`--([a-z-]+)", text))
    assert flags
    assert all(f"{flag.replace('-', '_')}:" in config for flag in flags)
