"""vLLM's scores are transformers' scores, with images and without; a policy that is no PRM is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from tests.conftest import ROOT
from tests.trainer.samples import picture
from tests.trainer.test_encoding import without_prm

TOLERANCE = 1e-3

pytestmark = pytest.mark.engine


def evaluated(scorer: str, candidates: Path, policy: Path, out: Path) -> dict[str, list[float]]:
    """Scores by digest of the solution, from the whole command in a process of its own."""
    arguments = ["--candidates", candidates, "--prm", policy, "--out", out, "--scorer", scorer, "--draws", "10"]
    ended = subprocess.run(
        [ROOT / "bin" / "evaluate", *map(str, arguments)], capture_output=True, text=True, timeout=280, check=False
    )
    assert ended.returncode == 0, ended.stderr
    (kept,) = out.glob("scores-*.json")
    scores: dict[str, list[float]] = json.loads(kept.read_text())["scores"]
    return scores


def test_scores_of_both_are_equal_with_images_and_without(policy_folder: Path, tmp_path: Path) -> None:
    solutions = [["1+2=3, so 3", "3"], ["2*3=6, so 6-4", "6-4=2, so 2", "2"], ["5 " * 600, "5"]]
    row = {"question": "What is 1+2?", "correct_answer": "3", "solutions_splits": solutions, "labels": [1, 0, 0]}
    rows = [{"id": "text", **row}, {"id": "image", **row, "image_path": picture(tmp_path, 3)}]
    (tmp_path / "c.json").write_text(json.dumps(rows))
    found = [evaluated(one, tmp_path / "c.json", policy_folder, tmp_path / one) for one in ("transformers", "vllm")]
    assert found[0].keys() == found[1].keys()
    assert sorted(len(scores) for scores in found[0].values()) == [2, 2, 2, 2, 3, 3]
    for key, scores in found[0].items():
        assert found[1][key] == pytest.approx(scores, abs=TOLERANCE)
    assert len({tuple(scores) for scores in found[0].values()}) == 5, "the image counts; both long ones score 0"


def test_a_policy_that_lacks_prm_is_told_to_use_transformers(policy_folder: Path, tmp_path: Path) -> None:
    from evaluator.vllm_scorer import VllmScorer

    with pytest.raises(ConfigurationError, match="--scorer transformers"):
        VllmScorer(without_prm(policy_folder, tmp_path / "policy"))
