"""The eight aggregations, worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omegaprm.evaluator.aggregation import AGGREGATIONS, aggregate, aggregate_all

SCORES = [0.8, 0.5, 0.25]
BY_HAND = {
    "min": 0.25,
    "last": 0.25,
    "product": 0.1,
    "average": 1.55 / 3,
    "max": 0.8,
    "sum_logprob": math.log(0.1),
    "sum_logits": math.log(4 * 1 / 3),
    "mean_odd": (4 + 1 + 1 / 3) / 3,
}


def test_there_are_the_eight_of_mm_prm():
    assert list(AGGREGATIONS) == list(BY_HAND)


@pytest.mark.parametrize("name", BY_HAND)
def test_aggregation_equals_the_value_worked_by_hand(name):
    assert aggregate(name, SCORES) == pytest.approx(BY_HAND[name])


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_a_solution_without_steps_is_worth_less_than_one_of_zeros(name):
    assert aggregate(name, []) < aggregate(name, [0.0, 0.0])


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_zeros_and_ones_stay_finite(name):
    assert all(math.isfinite(value) for value in aggregate_all(name, [[0.0], [1.0], [0.0, 1.0]]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_only_last_depends_on_the_order_of_steps(scores, random):
    shuffled = random.sample(scores, len(scores))
    for name in AGGREGATIONS.keys() - {"last"}:
        assert aggregate(name, shuffled) == aggregate(name, scores)
