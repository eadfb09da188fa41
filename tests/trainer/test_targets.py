"""Each option of the loss gives the pairs that a hand would write down."""

from __future__ import annotations

from typing import Any

import pytest

from omegaprm.engine.records import TrainingRow
from omegaprm.trainer.targets import LossRule, pairs, problem_weights

ROW = TrainingRow(
    id="",
    question="q",
    steps=("a", "b", "c", "d"),
    labels=(0.25, None, 0.0, 0.5),
    counts=((4, 16), None, (0, 8), None),
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, [(0.25, 0.75), (0, 0), (0, 1), (0.5, 0.5)]),
        ({"kind": "hard"}, [(1, 0), (0, 0), (0, 1), (1, 0)]),
        ({"kind": "counts"}, [(4, 12), (0, 0), (0, 8), (0, 0)]),
        ({"mask_after_error": True}, [(0.25, 0.75), (0, 0), (0, 1), (0, 0)]),
        ({"mask_unestimated": True}, [(0.25, 0.75), (0, 0), (0, 1), (0, 0)]),
        ({"positive_weight": 2.0}, [(0.5, 0.75), (0, 0), (0, 1), (1, 0.5)]),
        ({"kind": "counts", "positive_weight": 0.5}, [(2, 12), (0, 0), (0, 8), (0, 0)]),
    ],
)
def test_labels_become_weights_of_yes_and_no(rule: dict[str, Any], expected: list[tuple[float, float]]) -> None:
    assert pairs(ROW, LossRule(**rule)) == expected


def test_a_row_may_weigh_more_than_another() -> None:
    row = TrainingRow(id="", question="q", steps=("a",), labels=(0.25,), weight=2)
    assert pairs(row, LossRule()) == [(0.5, 1.5)]


def test_a_right_solution_has_nothing_behind_its_first_error() -> None:
    row = TrainingRow(id="", question="q", steps=("a", "b"), labels=(0.5, 1.0))
    assert pairs(row, LossRule(mask_after_error=True)) == pairs(row, LossRule())


def test_every_problem_has_the_same_share() -> None:
    problems = [("a", ()), ("b", ()), ("a", ()), ("a", ("1.png",))]
    weights = problem_weights(problems)
    assert weights == pytest.approx([2 / 3, 4 / 3, 2 / 3, 4 / 3])
    assert sum(weights) == pytest.approx(4)
