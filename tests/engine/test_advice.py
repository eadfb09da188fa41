"""What the first estimates say of the flags is said, and only that."""

from __future__ import annotations

import msgspec
import pytest

from omegaprm.engine.advice import about_text_outside, advice
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.records import Estimate, Outcome, Rollout

CONFIG = AnnotateConfig(seeds=("s",), model="m", store="d", max_new_tokens=96, step_format="lines")
LONG = ("a", "b", "c", "7")


def root(*outcomes: Outcome, steps: tuple[str, ...] = LONG) -> Estimate:
    return Estimate(0, None, (), 0, tuple(Rollout(steps, one) for one in outcomes))


def said(*roots: Estimate) -> str:
    return "\n".join(advice(CONFIG, roots))


GOOD = root("correct", "incorrect", "correct", "incorrect")


def test_a_healthy_sample_is_counted_and_left_alone() -> None:
    assert said(GOOD, GOOD) == (
        "8 rollouts from the questions alone: 4 correct, 4 incorrect, 0 unknown, 0 truncated, 0 unparsed"
    )
    assert said() == ""


@pytest.mark.parametrize(
    ("outcome", "named"),
    [
        ("unparsed", "--step-format lines: try another form, or show solved problems by --few-shot"),
        ("truncated", "--max-new-tokens 96"),
        ("unknown", "--judge-url"),
    ],
)
def test_what_makes_many_rollouts_useless_is_named_with_its_flag(outcome: Outcome, named: str) -> None:
    assert named in said(GOOD, root(outcome, outcome))
    assert named not in said(*[GOOD] * 3, root(outcome, "correct"))


def test_text_outside_of_the_tags_is_named_with_how_much_of_it_there_is() -> None:
    texts = ("Two is 2.\n\n<answer>2</answer>", "<step>2</step>", "So 2.</step><answer>2</answer>")
    unread = Estimate(0, None, (), 0, tuple(Rollout((), "unparsed", text=text) for text in texts))
    (sentence,) = about_text_outside(msgspec.structs.replace(CONFIG, step_format="tags"), [GOOD, unread])
    assert sentence.startswith("2 of 3 unparsed rollouts have text outside of the <step> and <answer> tags, 20% of")
    assert "--outside-tags steps" in sentence
    (rare,) = about_text_outside(msgspec.structs.replace(CONFIG, step_format="tags"), [*[GOOD] * 20, unread])
    assert rare.endswith("20% of what they say")
    assert list(about_text_outside(CONFIG, [unread])) == []


def test_roots_that_cannot_be_searched_are_told_from_what_cannot_be_judged() -> None:
    assert "2 of 3 problems have MC = 0: too hard" in said(GOOD, root("incorrect"), root("incorrect"))
    assert "2 of 3 problems have MC = 1: too easy" in said(GOOD, root("correct"), root("correct"))
    assert "MC" not in said(root("unparsed"), root("truncated"))


def test_solutions_too_short_to_halve_are_told() -> None:
    assert "2.0 steps on average" in said(root("correct", "incorrect", steps=("a", "7")))
    assert "on average" not in said(GOOD)
