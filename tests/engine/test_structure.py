"""What decides imports nothing that acts, and the store knows nothing of what it holds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DECIDING = (
    "bisection",
    "concurrency",
    "config",
    "evidence",
    "foresight",
    "nodes",
    "records",
    "seeds",
    "stopping",
    "tree",
)
PURE = {f"omegaprm.engine.{name}" for name in DECIDING}
"""Decisions and the structs they are made on; config checks flags and imports those of other parts."""
ACTING = {"asyncio", "os", "pathlib", "random", "socket", "subprocess", "sys", "threading", "time"}


def imported(file: Path) -> set[str]:
    """Modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in whole if (ROOT / name.replace(".", "/")).with_suffix(".py").exists()}
            found |= modules or {node.module}
    return found


@pytest.mark.parametrize("name", sorted(PURE - {"omegaprm.engine.config"}))
def test_what_decides_imports_only_what_decides(name: str):
    modules = imported((ROOT / name.replace(".", "/")).with_suffix(".py"))
    assert {module for module in modules if module.startswith("omegaprm")} <= PURE
    assert not {module.partition(".")[0] for module in modules} & ACTING


@pytest.mark.parametrize("file", sorted((ROOT / "engine" / "store").glob("*.py")), ids=lambda file: file.stem)
def test_the_store_knows_errors_and_its_schema_version_alone(file: Path):
    modules = {module for module in imported(file) if module.startswith("omegaprm")}
    assert {module for module in modules if not module.startswith("omegaprm.engine.store")} <= {
        "omegaprm.engine.errors",
        "omegaprm.engine.records",
    }
