"""Rows of other projects are read by their own rules, and a wrong field is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omegaprm.trainer.layouts import Broken, parse

TRL = {"prompt": "1+1?", "completions": ["1+1=2", "2"], "labels": [True, False]}


def completion(text: str, rating: int | None) -> dict[str, Any]:
    return {"text": text, "rating": rating, "flagged": None}


def step(chosen: int | None, *completions: dict[str, Any], human: Any = None) -> dict[str, Any]:
    return {"completions": list(completions), "human_completion": human, "chosen_completion": chosen}


def prm800k(*steps: dict[str, Any], reason: str = "found_error") -> dict[str, Any]:
    return {"question": {"problem": "1+1?"}, "label": {"steps": list(steps), "finish_reason": reason}}


def read(content: Any, root: Path = Path()) -> list[tuple[tuple[str, ...], tuple[float | None, ...]]]:
    return [(row.steps, row.labels) for row in parse(json.dumps(content).encode(), root)]


def test_a_stepwise_row_of_trl_is_a_row() -> None:
    (row,) = parse(json.dumps({**TRL, "counts": [[3, 4], None], "weight": 0.5}).encode(), Path())
    assert (row.question, row.steps, row.labels) == ("1+1?", ("1+1=2", "2"), (1.0, 0.0))
    assert (row.counts, row.weight) == (((3, 4), None), 0.5)


def test_the_chosen_path_is_a_row_and_so_is_each_rated_alternative() -> None:
    content = prm800k(
        step(0, completion("a", 1)),
        step(1, completion("bad", -1), completion("b", 0), completion("unrated", None)),
        step(None, completion("c", -1), completion("d", 1)),
    )
    assert read(content) == [
        (("a", "b", "c"), (1.0, 1.0, 0.0)),
        (("a", "bad"), (None, 0.0)),
        (("a", "b", "d"), (None, None, 1.0)),
    ]


@pytest.mark.parametrize("human", ["mine", {"text": "mine", "rating": 1}])
def test_a_step_written_by_the_labeller_is_right(human: Any) -> None:
    content = prm800k(step(None, completion("bad", -1), human=human), step(0, completion("a", 1)), reason="solution")
    assert read(content) == [(("mine", "a"), (1.0, 1.0)), (("bad",), (0.0,))]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({**TRL, "prompt": ""}, "prompt"),
        ({**TRL, "completions": []}, "completions"),
        ({**TRL, "labels": [True]}, "labels"),
        ({**TRL, "labels": [True, 2]}, "labels[1]"),
        ({**TRL, "labels": [None, None]}, "labels"),
        ({**TRL, "counts": [[1, 2]]}, "counts"),
        ({**TRL, "counts": [None, [3, 2]]}, "counts[1]"),
        ({**TRL, "counts": [[0, 0], None]}, "counts[0]"),
        ({**TRL, "weight": 0}, "weight"),
        ({**TRL, "image": "no.png"}, "image"),
        (prm800k(), "label.steps"),
        (prm800k(step(0, completion("a", 1)), reason="bad_problem"), "label.finish_reason"),
        (prm800k(step(3, completion("a", 1))), "label.steps[0].chosen_completion"),
        (prm800k(step(0, completion("a", 3))), "label.steps[0].completions[0].rating"),
        (prm800k(step(0, completion("a", None))), "label.steps"),
        ({**prm800k(step(0, completion("a", 1))), "question": "1+1?"}, "question.problem"),
        ([], "line"),
    ],
)
def test_a_wrong_field_is_named(content: Any, field: str) -> None:
    with pytest.raises(Broken) as caught:
        read(content)
    assert caught.value.args[0] == field
