"""bin/pipeline runs each stage once, in order, hands signals on, and goes on where it was cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("annotate", "export", "train", "rollout", "evaluate")
CONFIG = """
[annotate]
seeds = ["seeds.json"]
model = "policy"
[rollout]
seeds = ["test.json"]
[train]
epochs = 2
"""

STAGE = """#!/bin/sh
echo "$(basename "$0")" >> {log}
[ ! -e {folder}/$(basename "$0").fails ] || exit 70
[ ! -e {folder}/$(basename "$0").waits ] || exec {python} -c '
import signal, sys, pathlib
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
pathlib.Path("{folder}/waiting").touch()
signal.pause()'
"""

START = "import sys; sys.path[:0] = [{bin!r}, {root!r}]; import stages; from pathlib import Path; "
START += "sys.exit(stages.main(sys.argv[2:], Path(sys.argv[1])))"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Commands that log their start, and a config that they would run under."""
    text = STAGE.format(log=tmp_path / "log", folder=tmp_path, python=sys.executable)
    for name in STAGES:
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "job.toml").write_text(CONFIG)
    return tmp_path


def command(folder: Path) -> list[str]:
    start = START.format(bin=str(ROOT / "bin"), root=str(ROOT))
    options = ["--config", str(folder / "job.toml"), "--out", str(folder / "run")]
    return [sys.executable, "-c", start, str(folder), *options]


def pipeline(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder), capture_output=True, text=True, check=False, timeout=60)


def started(folder: Path) -> list[str]:
    return (folder / "log").read_text().split()


def test_every_stage_runs_once_in_order_and_a_second_call_runs_none(folder: Path) -> None:
    assert pipeline(folder).returncode == 0
    assert pipeline(folder).returncode == 0
    assert started(folder) == list(STAGES)


def test_a_stage_that_fails_ends_the_job_with_its_code_and_is_where_the_next_call_begins(folder: Path) -> None:
    (folder / "train.fails").touch()
    assert pipeline(folder).returncode == 70
    (folder / "train.fails").unlink()
    assert pipeline(folder).returncode == 0
    assert started(folder) == ["annotate", "export", "train", "train", "rollout", "evaluate"]


def test_changed_flags_of_a_stage_run_it_and_those_behind_it_again(folder: Path) -> None:
    pipeline(folder)
    (folder / "job.toml").write_text(CONFIG.replace("epochs = 2", "epochs = 3"))
    pipeline(folder)
    assert started(folder)[5:] == ["train", "rollout", "evaluate"]


def test_a_signal_reaches_the_stage_and_its_75_comes_back(folder: Path) -> None:
    (folder / "rollout.waits").touch()
    process = subprocess.Popen(command(folder))
    deadline = time.monotonic() + 60
    while not (folder / "waiting").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        os.sched_yield()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75


def test_stages_are_linked_by_their_outputs(folder: Path) -> None:
    pipeline(folder)
    run = folder / "run"
    assert f'"{run}/rows/meta.json"' in (run / "train.toml").read_text()
    assert f'prm = "{run}/prm"' in (run / "evaluate.toml").read_text()
    assert 'model = "policy"' in (run / "rollout.toml").read_text()
    assert set(json.loads((run / "pipeline.json").read_text())) == set(STAGES)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[annotat]\nx = 1", "annotat: must be a table, one of annotate"),
        ("[export]\ncolour = 1", "export.colour: bin/export has no such flag"),
        ("[rollout]\nmodel = 'x'", "rollout.seeds: is missing"),
        ("not toml", "job.toml"),
    ],
)
def test_a_wrong_file_is_named_before_anything_runs(folder: Path, line: str, said: str) -> None:
    kept = CONFIG if "rollout" not in line else "[annotate]\nseeds = ['a']\nmodel = 'm'\n"
    (folder / "job.toml").write_text(kept + line)
    ended = pipeline(folder)
    assert ended.returncode == 78
    assert said in ended.stderr
    assert not (folder / "log").exists()
