"""The packages have one import name, omegaprm.*, in a checkout and installed; a user's engine folder hides nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("engine", "trainer", "evaluator")
ALL = """
import importlib, json, pkgutil, sys
import omegaprm
left = []
for package in ("engine", "trainer", "evaluator"):
    found = importlib.import_module(f"omegaprm.{package}")
    for module in pkgutil.walk_packages(found.__path__, f"omegaprm.{package}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            left.append(module.name)
heads = ("engine", "trainer", "evaluator")
print(json.dumps([left, sorted(name for name in sys.modules if name.partition(".")[0] in heads)]))
"""


def python(code: str, folder: Path, **environment: str) -> str:
    words = [sys.executable, "-c", code]
    ended = subprocess.run(words, cwd=folder, env=environment or None, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_every_module_is_imported_under_one_name() -> None:
    imported, other = json.loads(python(ALL, ROOT).splitlines()[-1])
    assert len(imported) > 150
    assert other == []


def test_a_checkout_gives_the_scorer_under_both_names() -> None:
    code = "from evaluator import Scorer as a; from omegaprm import Scorer as b; print(a is b, a.__module__)"
    assert python(code, ROOT).split() == ["True", "omegaprm.evaluator.scorer"]


def test_importing_omegaprm_brings_nothing_heavy() -> None:
    code = "import sys, omegaprm; print({'torch', 'numpy', 'msgspec'} & set(sys.modules))"
    assert python(code, ROOT).strip() == "set()"


SCORES = "from omegaprm import Scorer; print(Scorer({policy!r}).score('What is 1+2?', ('1+2=3, so 3', '3')))"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The wheel of a clean clone, installed into an empty folder."""
    clone, site = tmp_path / "clone", tmp_path / "site"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(clone)]
    subprocess.run(wheel, check=True, capture_output=True)
    (made,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(made)], check=True, capture_output=True)
    return site


def test_an_installed_wheel_scores_beside_a_folder_called_engine(
    installed: Path, tmp_path: Path, policy_folder: Path
) -> None:
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"omegaprm"}
    (tmp_path / "mine" / "engine").mkdir(parents=True)
    (tmp_path / "mine" / "engine" / "__init__.py").write_text("raise ImportError('this is the user's own engine')")
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    scores = json.loads(python(SCORES.format(policy=str(policy_folder)), tmp_path / "mine", **environment))
    assert len(scores) == 2
    assert all(0 < score < 1 for score in scores)
