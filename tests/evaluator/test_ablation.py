"""A grid does each cell once, goes on where it was cut, and its table says what the evaluations said."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from omegaprm.engine.errors import BadInput, ConfigurationError, Drained, EngineDied, UsageError
from omegaprm.evaluator.ablation import ablate
from omegaprm.evaluator.ablation_config import AblationConfig, Cell
from omegaprm.evaluator.ablation_table import markdown, print_table
from omegaprm.evaluator.aggregation import AGGREGATIONS
from omegaprm.trainer.config import TrainConfig
from tests.conftest import ROOT
from tests.trainer.samples import sixteen

STUB = f"""#!{sys.executable}
import json, sys
from pathlib import Path
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
out = Path(flags["--out"])
with open("{{log}}", "a") as log:
    log.write(json.dumps([Path(sys.argv[0]).name, *sys.argv[1:]]) + "\\n")
if Path("{{stop}}").exists() and "-hard-" in "-" + flags["--out"].replace("/", "-"):
    sys.exit(int(Path("{{stop}}").read_text()))
out.mkdir(parents=True, exist_ok=True)
if sys.argv[0].endswith("train"):
    made = dict(num_rows=7, num_labels=20, num_steps=2, final_loss=0.5)
    (out / "finished.json").write_text(json.dumps(made))
else:
    (out / "evaluation.json").write_text(json.dumps(dict(prm=json.loads(Path("{{figures}}").read_text()))))
"""


def figure(accuracy: float, note: str) -> dict[str, Any]:
    return {"accuracy": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.1, "note": note}


FIGURES = {
    **{"random": 0.5, "majority": 0.7, "weighted_vote": 0.75, "pass_all": 0.9, "num_problems": 4},
    "best_of_n": dict.fromkeys(AGGREGATIONS, figure(0.625, "better than random")),
    "votes": dict.fromkeys(("majority", "weighted_vote"), figure(0.4, "worse than random")),
    "step_level": {"auc": 0.8125, "within_problem_auc": None, "ece": 0.05},
}


class Grid:
    """A folder with stand-ins for bin/train and bin/evaluate that tell how they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.stop = folder, folder / "log", folder / "stop"
        (folder / "figures").write_text(json.dumps(FIGURES))
        for name in ("rows.jsonl", "sums.json"):
            (folder / name).write_text("[]")
        (folder / "bin").mkdir()
        for name in ("train", "evaluate"):
            text = STUB.replace("{log}", str(self.log)).replace("{stop}", str(self.stop))
            (folder / "bin" / name).write_text(text.replace("{figures}", str(folder / "figures")))
            (folder / "bin" / name).chmod(0o755)

    def config(self, **flags: Any) -> AblationConfig:
        paths = {"rows": (str(self.folder / "rows.jsonl"),), "candidates": (str(self.folder / "sums.json"),)}
        axes = {"loss": ("soft", "hard"), "select": ("distinct",), "max_rows": (5,)}
        return AblationConfig(**{**paths, **axes, "out": str(self.folder / "out"), "model": "m", **flags})

    def run(self, **flags: Any) -> list[list[str]]:
        """The commands that a run of the ablation starts."""
        self.log.write_text("")
        ablate(self.config(**flags), commands=self.folder / "bin")
        return self.calls()

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    return Grid(tmp_path)


def test_every_cell_is_trained_and_evaluated_once(grid: Grid) -> None:
    calls = grid.run()
    assert [call[0] for call in calls] == ["evaluate", *["train", "evaluate"] * 2]
    assert grid.run() == []
    assert len(json.loads((grid.folder / "out" / "ablation.json").read_text())) == 3


def test_a_cell_is_flags_of_the_trainer(grid: Grid) -> None:
    (call,) = (call for call in grid.run() if call[0] == "train" and "/hard-distinct-by_row-rows5-" in " ".join(call))
    flags = dict(zip(call[1::2], call[2::2], strict=True))
    wanted = {"--loss": "hard", "--select": "distinct", "--max-rows": "5", "--seed": "0", "--weigh-by": "row"}
    assert wanted.items() <= flags.items()
    assert "--rows-a-problem" not in flags
    fields = set(TrainConfig.__struct_fields__)
    assert {name.removeprefix("--").replace("-", "_") for name in flags} <= fields


def test_the_choices_of_the_axes_are_the_trainers() -> None:
    of_trainer = {field.name: field.type for field in msgspec.structs.fields(TrainConfig)}
    for field in msgspec.structs.fields(Cell):
        if field.name in ("loss", "select", "weigh_by"):
            assert field.type == of_trainer[field.name]


@pytest.mark.parametrize(("code", "error"), [(75, Drained), (65, BadInput), (1, EngineDied)])
def test_a_cell_that_was_cut_ends_the_run_with_its_error_and_the_next_one_goes_on(
    grid: Grid, code: int, error: type[Exception]
) -> None:
    grid.stop.write_text(str(code))
    with pytest.raises(error) as ended:
        grid.run()
    assert f"ended with {code}" in str(ended.value) or code == Drained.exit_code
    grid.stop.unlink()
    assert [call[0] for call in grid.run()] == ["train", "evaluate"]


def test_a_larger_grid_keeps_what_is_there_and_the_table_has_all(grid: Grid) -> None:
    grid.run(loss=("soft",))
    assert [call[0] for call in grid.run(loss=("hard",))] == ["train", "evaluate"]
    assert len(json.loads((grid.folder / "out" / "ablation.json").read_text())) == 3


def test_other_rows_in_the_same_folder_are_refused(grid: Grid) -> None:
    grid.run(loss=("soft",))
    (grid.folder / "rows.jsonl").write_text("[1]")
    with pytest.raises(ConfigurationError, match="other files"):
        grid.run()


@pytest.mark.parametrize(
    "wrong", [{"loss": ()}, {"max_rows": (-1,)}, {"image_roots": ("a", "b")}, {"quickstart": "none", "candidates": ()}]
)
def test_flags_that_cannot_be_are_usage_errors(grid: Grid, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        grid.run(**wrong)


def test_the_table_has_intervals_in_markdown_and_marks_on_the_terminal() -> None:
    cells = [
        {"name": "untrained", "figures": {"sums": FIGURES}},
        {"name": "a", "num_rows": 7, "figures": {"sums": FIGURES}},
    ]
    text = markdown(cells)
    assert "| a | 7 | 0.812 | - | 0.050 | 62.5+ [52.5, 72.5] |" in text
    assert text.count("40.0- [30.0, 50.0]") == 4
    shown = io.StringIO()
    print_table(cells, Console(file=shown, width=200))
    assert "untrained" in shown.getvalue()
    assert shown.getvalue().count("62.5+") == 2 * len(AGGREGATIONS)


@pytest.mark.long
@pytest.mark.deepspeed
def test_a_real_cell_is_trained_and_evaluated(tmp_path: Path, policy_folder: Path) -> None:
    row = {"id": "p", "question": "What is 1+2?", "correct_answer": "3", "labels": [1, 0]}
    row |= {"solutions_splits": [["1+2=3, so 3", "3"], ["1+2=4, so 4", "4"]], "step_labels": [[1, 1], [0, 0]]}
    (tmp_path / "c.json").write_text(json.dumps([row]))
    flags = ["--rows", sixteen(tmp_path), "--candidates", tmp_path / "c.json", "--out", tmp_path / "out"]
    axes = ["--loss", "soft", "--select", "distinct", "--max-rows", "8", "--max-steps", "1", "--batch-size", "4"]
    words = [ROOT / "bin" / "ablate", *flags, *axes, "--model", policy_folder, "--draws", "10"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    untrained, cell = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert (untrained["name"], cell["num_rows"], cell["num_steps"]) == ("untrained", 8, 1)
    assert untrained["figures"]["c"]["step_level"] != cell["figures"]["c"]["step_level"]
