"""Scores do not depend on company, order or repetition, and any policy folder can be scored with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from omegaprm.engine.errors import BadInput
from omegaprm.evaluator import Scorer
from omegaprm.evaluator.scorer import Item
from omegaprm.trainer.encoding import Encoder
from tests.trainer.samples import picture
from tests.trainer.test_encoding import without_prm

ITEMS = [
    Item("What is 1+2?", ("1+2=3, so 3", "3")),
    Item("What is 2*3-4?", ("2*3=6, so 6-4", "6-4=2, so 2", "2")),
    Item("What is 5?", ("5",)),
]


@pytest.fixture(scope="module")
def scorer(policy_folder: Path) -> Scorer:
    return Scorer(policy_folder, batch_size=2, device="cpu")


def flat(scores: list[list[float]]) -> list[float]:
    return [score for of_item in scores for score in of_item]


def test_a_solution_scores_alike_alone_and_among_others(scorer: Scorer, tmp_path: Path) -> None:
    images = (str(tmp_path / picture(tmp_path, 3)),)
    items = [*ITEMS, Item(ITEMS[0].question, ITEMS[0].steps, images)]
    together = scorer.score_many(items)
    alone = [scorer.score(item.question, item.steps, item.images) for item in items]
    assert [len(scores) for scores in together] == [2, 3, 1, 2]
    assert flat(together) == pytest.approx(flat(alone), abs=1e-5)
    assert together[0] != pytest.approx(together[3], abs=1e-5), "the image counts"


def test_a_score_is_the_share_of_yes_in_the_models_own_logits(scorer: Scorer, policy_folder: Path) -> None:
    encoder = Encoder.load(policy_folder)
    row = encoder.encode(ITEMS[1])
    with torch.no_grad():
        logits = AutoModelForImageTextToText.from_pretrained(policy_folder)(**row).logits
    at_prm = logits[row["input_ids"] == encoder.tokens.prm]
    shares = at_prm[:, [encoder.tokens.yes, encoder.tokens.no]].softmax(dim=-1)[:, 0]
    assert scorer.score_many(ITEMS)[1] == pytest.approx(shares.tolist(), abs=1e-5)


def test_equal_items_are_scored_once(scorer: Scorer) -> None:
    told: list[tuple[int, int]] = []
    scores = scorer.score_many([*ITEMS, *ITEMS], lambda done, total: told.append((done, total)))
    assert scores[:3] == scores[3:]
    assert told == [(2, 3), (3, 3)]


def test_no_steps_no_scores(scorer: Scorer) -> None:
    assert scorer.score("What is 5?", []) == []
    assert scorer.score_many([]) == []


def test_a_solution_past_the_context_scores_zero_and_is_counted(policy_folder: Path) -> None:
    scorer = Scorer(policy_folder, device="cpu")
    assert scorer.score("What is 5?", ["5 " * 600, "5"]) == [0.0, 0.0]
    assert scorer.num_too_long == 1


def test_an_image_that_cannot_be_read_is_bad_input(scorer: Scorer, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.png"):
        scorer.score("q", ["a"], [str(tmp_path / "nowhere.png")])


def test_a_policy_without_prm_scores_alike_every_time(policy_folder: Path, tmp_path: Path) -> None:
    folder = without_prm(policy_folder, tmp_path / "policy")
    first, second = (Scorer(folder, device="cpu").score_many(ITEMS) for _ in range(2))
    assert first == second
    assert all(0 < score < 1 for score in flat(first))
