"""What a person may do wrong around the daemon without losing work: a command corrected, a terminal closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from omegaprm.engine.annotate import annotate
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.errors import ConfigurationError, EngineDied
from omegaprm.engine.store import Store
from tests.conftest import ROOT
from tests.fakes.annotate import PAUSE
from tests.fakes.policy import ScriptedPolicy

NUM_PROBLEMS = 6


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.json"
    path.write_text(
        json.dumps([{"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n} for n in range(NUM_PROBLEMS)])
    )
    return path


def config(seeds: Path, model: Path, **fields) -> AnnotateConfig:
    fields = {"rollout_budget": 48, "store": str(seeds.parent / "store"), **fields}
    return AnnotateConfig(seeds=(str(seeds),), model=str(model), **fields)


async def scripted(_: AnnotateConfig) -> ScriptedPolicy:
    return ScriptedPolicy()


def other_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"other weights")
    return folder


def test_a_command_whose_model_does_not_load_can_be_corrected_on_its_store(
    seeds: Path, policy_folder: Path, tmp_path: Path
) -> None:
    async def fails(_: AnnotateConfig) -> ScriptedPolicy:
        raise EngineDied("this model does not load")

    with pytest.raises(EngineDied):
        annotate(config(seeds, other_model(tmp_path / "mistyped")), fails)
    annotate(config(seeds, policy_folder), scripted)
    with Store.open_reader(tmp_path / "store") as store:
        assert store.count("problems") == NUM_PROBLEMS
    with pytest.raises(ConfigurationError, match="made with model = "):
        annotate(config(seeds, tmp_path / "mistyped"), scripted)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_daemon_goes_on_when_nobody_reads_what_it_tells(
    seeds: Path, policy_folder: Path, tmp_path: Path, form: str
) -> None:
    """As `bin/annotate ... 2>&1 | head` leaves it."""
    reading, writing = os.pipe()
    os.close(reading)
    words = ["--seeds", seeds, "--model", policy_folder, "--store", tmp_path / "store", "--rollout-budget", "48"]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fakes.annotate", *words, "--log-format", form],
        env={**os.environ, "PYTHONPATH": str(ROOT), PAUSE: "0.01"},
        stdout=subprocess.PIPE,
        stderr=writing,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(writing)
    assert ended.returncode == 0
    assert f"done: {NUM_PROBLEMS} problems" in ended.stdout
