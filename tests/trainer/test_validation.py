"""Candidates are checked before the model loads, and scores of one or several ranks become figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from omegaprm.engine.errors import BadInput, ConfigurationError, UsageError
from omegaprm.evaluator import Scorer, validation
from omegaprm.evaluator.best_of_n import figures
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.encoding import Encoded, Encoder
from omegaprm.trainer.held_out import score
from omegaprm.trainer.prm import step_logits
from omegaprm.trainer.validation import ScoredOnTheWay
from tests.trainer.samples import NUM_CANDIDATES_PROBLEMS, candidates, sixteen
from tests.trainer.setting import ROOT


def train(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """bin/train whose model is not there: what it says comes before one loads."""
    paths = ["--rows", str(sixteen(folder)), "--model", str(folder / "nowhere"), "--out", str(folder / "out")]
    command = [sys.executable, str(ROOT / "bin" / "train"), *paths, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_bad_candidate_is_told_with_row_field_and_rule_before_the_model_loads(tmp_path: Path) -> None:
    file = candidates(tmp_path)
    done = train(tmp_path, "--validation-candidates", str(file), "--validation-problems", "2")
    assert done.returncode == ConfigurationError.exit_code
    assert "validation: 2 problems, 6 candidates each, 1 bad" in done.stderr
    assert f"{file}[{NUM_CANDIDATES_PROBLEMS}]: solutions_splits: must be a list" in done.stderr


def test_no_usable_candidate_ends_with_65_before_the_model_loads(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    entry = {"id": 1, "question": "1+1?", "correct_answer": 2, "solutions_splits": [["2"]], "labels": [0.5]}
    file.write_text(json.dumps([entry]))
    done = train(tmp_path, "--validation-candidates", str(file))
    assert done.returncode == BadInput.exit_code
    assert f"--validation-candidates {file}: no usable entry" in done.stderr
    assert f"{file}[0]: labels: each must be 0 or 1" in done.stderr


def test_a_missing_candidates_file_is_named_by_its_flag(tmp_path: Path) -> None:
    done = train(tmp_path, "--validation-candidates", str(tmp_path / "no.json"))
    assert done.returncode == BadInput.exit_code
    assert f"--validation-candidates {tmp_path / 'no.json'}: No such file" in done.stderr


@pytest.mark.parametrize("wrong", [{"validation_problems": 0}, {"validation_image_root": "images"}])
def test_wrong_flags_are_usage_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--validation-"):
        TrainConfig(rows=("r",), model="m", out="o", **wrong)


def test_a_torn_image_ends_it_and_is_named(policy_folder: Path, tmp_path: Path) -> None:
    read = validation.read([str(candidates(tmp_path))])
    image = Path(read.images[1][0])
    image.write_bytes(image.read_bytes()[:20])
    with pytest.raises(BadInput, match=image.name):
        ScoredOnTheWay(read, Encoder.load(policy_folder), lambda: None, False)


def test_the_first_usable_problems_are_taken_and_another_choice_has_another_digest(tmp_path: Path) -> None:
    file = str(candidates(tmp_path))
    few, all_of_them = validation.read([file], max_problems=2), validation.read([file])
    assert (few.candidates, few.images) == (all_of_them.candidates[:2], all_of_them.images[:2])
    assert few.digest != all_of_them.digest == validation.read([file]).digest


class OneProcess:
    """A learner that is a plain scorer's model."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def score(self, rows: Any) -> dict[int, list[float]]:
        scorer = self._scorer

        def forward(batch: Encoded) -> torch.Tensor:
            inputs = {name: value for name, value in batch.items() if name != "labels"}
            return step_logits(scorer._model, scorer._head, inputs, scorer._encoder.tokens)

        return score(rows, forward, 3)


@pytest.mark.parametrize("images_everywhere", [False, True])
def test_scores_on_the_way_are_those_of_the_scorer(
    policy_folder: Path, tmp_path: Path, images_everywhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Duplicates, empty and too long candidates, and the image row that each batch gets where ranks must agree."""
    read = validation.read([str(candidates(tmp_path))])
    scorer = Scorer(policy_folder, device="cpu")
    on_the_way = ScoredOnTheWay(read, Encoder.load(policy_folder), lambda: None, images_everywhere)
    assert on_the_way.num_too_long == 1
    seen: list[Any] = []
    monkeypatch.setattr(validation.Validation, "figures", lambda self, scores: seen.append(scores) or {})
    on_the_way.figures(OneProcess(scorer))  # type: ignore[arg-type]
    expected = [scorer.score_many(items) for items in read.items()]
    assert [[len(one) for one in of] for of in seen[0]] == [[len(one) for one in of] for of in expected]
    flat = [score for of in expected for one in of for score in one]
    assert [score for of in seen[0] for one in of for score in one] == pytest.approx(flat, abs=1e-5)
    assert 0.0 in flat


def test_figures_are_those_of_best_of_n_with_all_candidates(tmp_path: Path) -> None:
    read = validation.read([str(candidates(tmp_path))])
    scores = [
        [[0.5 + 0.1 * at * number for at in range(len(steps))] for number, steps in enumerate(one.solutions_splits)]
        for one in read.candidates
    ]
    bounded = [[[score % 1.0 for score in steps] for steps in of] for of in scores]
    whole = figures(read.candidates, bounded, draws=1)
    found = read.figures(bounded)
    assert found["weighted_vote"] == whole["weighted_vote"]
    assert [found[name] for name in ("min", "product", "average")] == [
        whole["best_of_n"][name]["accuracy"] for name in ("min", "product", "average")
    ]
    assert (found["random"], found["pass"]) == (whole["random"], whole["pass_all"])
