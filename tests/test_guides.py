"""The commands of the guides run in their order as they stand, bin/annotate with a scripted policy as its model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SCRIPTED = f"{sys.executable} -m tests.fakes.annotate"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "SLURM_ARRAY_TASK_ID": "3", "OMP_NUM_THREADS": "1"}
NUM_PROBLEMS = 24
COMMAND = re.compile(r"(?<![\w./])bin/([a-z-]+)")


def lines(document: Path, having: str = "") -> Iterator[str]:
    """The commands of a document's shell blocks that hold a text."""
    for block in re.findall(r"^```sh\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE):
        if having in block:
            yield from block.replace("\\\n", " ").splitlines()


def line(document: Path, having: str) -> str:
    (found,) = (one for one in lines(document) if having in one)
    return found


def ran(command: str, folder: Path, seconds: float = 120) -> str:
    """Run a line in a shell, bin/annotate with the scripted policy; its stdout. bin/setup has been run, and a viewer
    would not end: its stores must be there."""
    if command.startswith("bin/setup"):
        return ""
    if command.startswith("bin/view"):
        shown = re.sub(r"--[a-z-]+ \S+", "", command).split()[1:]
        assert all((folder / store / "data.mdb").exists() for store in shown), "the viewer's own tests open such stores"
        return ""
    placed = COMMAND.sub(lambda found: SCRIPTED if found[1] == "annotate" else str(ROOT / found[0]), command)
    ended = subprocess.run(
        ["sh", "-c", placed],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, (command, ended.stderr)
    return ended.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the guides' reader stands: problems in my/, the bundled policy as the model."""
    rows = [{"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n} for n in range(NUM_PROBLEMS)]
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "seeds.json").write_text(json.dumps(rows))
    (tmp_path / "my" / "test.json").write_text(json.dumps([{**row, "id": f"t{row['id']}"} for row in rows[:3]]))
    (tmp_path / "my" / "policy").symlink_to(ROOT / "examples" / "policy")
    return tmp_path


@pytest.mark.parametrize("name", ["your-own-problems", "your-own-model"])
def test_the_commands_of_a_guide_run_in_their_order(name: str, folder: Path) -> None:
    for command in lines(DOCS / f"{name}.md"):
        ran(command, folder)


def test_the_commands_of_the_shards_run_in_their_order(folder: Path) -> None:
    annotate, status, export, _ = lines(DOCS / "scaling.md", "SLURM_ARRAY_TASK_ID")
    ran(annotate, folder)
    ran(annotate.replace("$SLURM_ARRAY_TASK_ID", "4"), folder)
    of_task = int(re.findall(r"^problems +(\d+)", ran(f"{status.split()[0]} runs/store-3", folder), re.MULTILINE)[0])
    both = int(re.findall(r"^problems +(\d+)", ran(status, folder), re.MULTILINE)[0])
    assert 0 < of_task < both < NUM_PROBLEMS
    ran(export, folder)
    assert (folder / "runs" / "rows" / "train.jsonl").read_text()


@pytest.mark.parametrize("document", [DOCS / "exports.md", DOCS / "from-mm-prm.md"], ids=lambda path: path.stem)
def test_trees_of_mm_prm_are_imported_as_the_guides_say(document: Path, folder: Path) -> None:
    ran(line(DOCS / "from-mm-prm.md", "--preset mmprm"), folder)
    ran("bin/export runs/store --out old/outputs --format trees", folder)
    ran("mv old/outputs/trees old/trees; rm -r old/outputs; mv old/trees old/outputs", folder)
    for command in lines(document, "bin/import-trees"):
        if not command.startswith("bin/train"):
            ran(command, folder)
    assert (folder / "runs" / "rows" / "train.jsonl").read_text()


def with_candidates(folder: Path, solutions: Mapping[str, int]) -> None:
    rows = [
        {
            "id": "p1", "question": "What is 3+4?", "correct_answer": "7", "image_path": None,
            "solutions_splits": [["3+4", answer] for answer in solutions],
            "labels": list(solutions.values()), "answers": list(solutions),
        }
    ]  # fmt: skip
    (folder / "runs").mkdir()
    (folder / "runs" / "candidates.json").write_text(json.dumps(rows))


def test_candidates_are_judged_and_compared_as_the_guide_says(folder: Path) -> None:
    with_candidates(folder, {"7": 1, "8": 1})
    said = ran(line(DOCS / "judge.md", "--compare"), folder)
    assert "incorrect" in said
    assert json.loads((folder / "runs" / "judged.json").read_text())[0]["labels"] == [1, 0]


def test_completion_is_written_as_the_reference_says(folder: Path) -> None:
    ran(line(DOCS / "reference.md", "--tyro-print-completion"), folder)
    assert "--num-rollouts" in (folder / "annotate.bash").read_text()


@pytest.mark.engine
@pytest.mark.deepspeed
@pytest.mark.timeout(1800)
def test_the_readmes_loop_and_what_the_guides_make_of_it_run_as_they_stand(folder: Path) -> None:
    """Training, rollouts and evaluation by the real models, of the bundled policy's size."""
    for command in lines(ROOT / "README.md", "bin/rollout --seeds my/test.json"):
        ran(command, folder, 600)
    for document, having in (
        (DOCS / "evaluation.md", "--at 4 16"),
        (DOCS / "viewer.md", "bin/score-steps"),
        (DOCS / "viewer.md", "bin/view runs/store --prm-scores"),
        (DOCS / "viewer.md", "bin/case-study"),
    ):
        ran(line(document, having), folder, 600)
    for name in ("new", "old"):
        shutil.copytree(folder / "runs" / "prm", folder / "runs" / name)
    ran(line(DOCS / "evaluation.md", "--compare runs/old"), folder, 600)
    for made in ("evaluation/evaluation.json", "scores.jsonl", "case.html", "comparison"):
        assert (folder / "runs" / made).exists()
