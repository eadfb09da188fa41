"""The step checker is exact on worked solutions, catches each kind of slip, and judges meaning, not wording."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.arithmetic import reduce_at, reductions, show, small_expressions, stays_small, tokens, value
from examples.checker import first_error, is_right, truth
from examples.digits import problems as digits
from examples.sums import problems as sums
from examples.working import reading_steps, reduction_steps, substitute

DIGITS = {"a": 3, "b": 8, "c": 2}
FORMULA = "The image shows digits a, b, c. What is (a-b)*c?"


@settings(max_examples=200, deadline=None)
@given(seed=st.integers())
def test_every_worked_solution_is_right(seed: int):
    rng = random.Random(seed)
    expression = next(small_expressions(rng, 3, 6))
    assert first_error(sums.question(expression), reduction_steps(rng, expression)) is None


@settings(max_examples=200, deadline=None)
@given(seed=st.integers())
def test_values_are_those_of_python_and_every_order_of_working_keeps_them(seed: int):
    rng = random.Random(seed)
    expression = next(small_expressions(rng, 3, 6))
    items = tokens(expression)
    assert value(expression) == eval(expression)
    assert stays_small(items)
    while len(items) > 1:
        items = reduce_at(items, rng.choice(reductions(items)))[2]
        assert value(show(items)) == eval(expression)


@pytest.mark.parametrize(
    ("step", "right"),
    [
        ("4*2=8, so 3+8", True),
        ("4*2 is 8, leaving 3+8", True),
        ("work out 4*2: 8, now 3+8", True),
        ("and so we have 3+8", True),
        ("11", True),
        ("4*2=9, so 3+8", False),
        ("4*2=8, so 3-8", False),
        ("3+4=7, so 7*2", False),
        ("4*2=8, so 8", False),
        ("4*2=8, so 3+", False),
        ("12", False),
        ("no number at all", False),
        ("", False),
    ],
)
def test_a_step_is_right_when_its_equation_holds_and_the_value_is_kept(step: str, right: bool):
    assert is_right(step, 11) is right


def test_a_reading_is_right_when_it_names_the_true_digit():
    steps = reading_steps(random.Random(1), "(a-b)*c", DIGITS)
    assert first_error(FORMULA, steps, DIGITS) is None
    wrong = [step.replace("8", "6") if step.startswith(("b", "read b")) else step for step in steps]
    error = first_error(FORMULA, wrong, DIGITS)
    assert error is not None
    assert wrong[error] != steps[error]


def test_the_first_wrong_step_is_named_and_not_a_later_one():
    steps = ["4*2=8, so 3+8", "3+8=12, so 12", "12"]
    assert first_error("What is 3+4*2?", steps) == 1
    assert truth("What is 3+4*2?") == 11


def test_seeds_test_and_pretraining_share_no_expression_and_no_scan():
    parts = [{row["question"] for row in sums.make(300, part, seed)} for part in ("seeds", "test") for seed in (0, 1)]
    assert not (parts[0] | parts[1]) & (parts[2] | parts[3])
    held = [text for text in islice(small_expressions(random.Random(0), 3, 6), 3000) if sums.is_held_out(text)]
    assert 600 < len(held) < 900, "one expression in four is held out of pretraining"
    scans = [set(scans) for scans in digits.PARTS.values()]
    assert sum(map(len, scans)) == len(set.union(*scans)) == 1797


def test_the_same_seed_makes_the_same_problems_and_another_seed_others(tmp_path):
    first = digits.make(20, "seeds", 3, tmp_path / "a")
    assert digits.make(20, "seeds", 3, tmp_path / "b") == first
    assert digits.make(20, "seeds", 4, tmp_path / "c") != first
    for row in first:
        formula = str(row["question"]).partition("What is ")[2].rstrip("?")
        assert value(substitute(formula, row["digits"])) == int(str(row["correct_answer"]))  # type: ignore[arg-type]
