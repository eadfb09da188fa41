"""bin/score-steps writes what bin/view --prm-scores reads, and scores nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from omegaprm.engine.errors import BadInput, StoreFailed
from omegaprm.engine.view.scores import StepScores
from omegaprm.evaluator.score_steps import ScoreStepsConfig, score_steps
from tests.fakes.scorer import ScriptedScorer
from tests.trainer.samples import row, write_rows


@pytest.fixture
def config(tmp_path: Path) -> ScoreStepsConfig:
    rows = [row("p#1#0", ["a", "b"], [1.0, 0.0]), row("p#1#1", ["a", "c"], [1.0, 1.0])]
    (tmp_path / "prm").mkdir()
    (tmp_path / "prm" / "config.json").write_text("{}")
    (tmp_path / "prm" / "model.safetensors").write_bytes(b"weights")
    file = write_rows(tmp_path, rows)
    return ScoreStepsConfig(rows=(str(file),), prm=str(tmp_path / "prm"), out=str(tmp_path / "scores" / "s.jsonl"))


def test_the_viewer_reads_the_scores_by_problem_and_steps(config: ScoreStepsConfig) -> None:
    score_steps(config, ScriptedScorer(lambda item, at: 0.25 if item.steps[at] == "b" else 0.75))
    scores = StepScores([Path(config.out)])
    assert scores.after("p#1", (), ("a", "b")) == [0.75, 0.25]
    assert scores.after("p#1", ("a",), ("c", "d")) == [0.75, None]


def test_a_second_run_scores_nothing_again(config: ScoreStepsConfig) -> None:
    score_steps(config, ScriptedScorer())
    first, again = Path(config.out).read_bytes(), ScriptedScorer()
    score_steps(config, again)
    assert (again.asked, Path(config.out).read_bytes()) == ([], first)


def test_bad_rows_are_named(config: ScoreStepsConfig, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(config.rows[0])
    file.write_text(file.read_text() + '{"id": "cut"')
    score_steps(config, ScriptedScorer())
    told = capsys.readouterr().err
    assert "1 bad row left out" in told
    assert "line: not JSON" in told


def test_a_place_that_cannot_be_written_is_a_sentence(config: ScoreStepsConfig) -> None:
    Path(config.out).parent.write_text("a file where a folder should be")
    with pytest.raises(StoreFailed, match=r"--out .*: File exists"):
        score_steps(config, ScriptedScorer())


def test_rows_that_are_not_there_are_named(config: ScoreStepsConfig, tmp_path: Path) -> None:
    lost = ScoreStepsConfig(rows=(str(tmp_path / "lost.jsonl"),), prm=config.prm, out=config.out)
    with pytest.raises(BadInput, match=r"lost\.jsonl: No such file"):
        score_steps(lost, ScriptedScorer())
