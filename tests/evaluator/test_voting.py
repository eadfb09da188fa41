"""Votes: what counts as one answer, who wins, and what happens to ties."""

from itertools import permutations

import numpy as np
import pytest

from omegaprm.evaluator.voting import normalise, numbered, vote_curve


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        (" 42. ", "42"),
        ("42.0", "42"),
        ("1,000", "1000"),
        ("The answer is 7", "7"),
        (r"$\boxed{x+1}$", "x+1"),
        ("Paris", "paris"),
        ("a  b", "a b"),
        ("-0", "0"),
    ],
)
def test_writings_of_one_answer_are_one(answer, same):
    assert normalise(answer) == normalise(same) == same


@pytest.mark.parametrize(("one", "other"), [("1.5", "15"), ("-3", "3"), ("x", "y"), ("nan", "0"), ("1/2", "2")])
def test_different_answers_stay_different(one, other):
    assert normalise(one) != normalise(other)


def test_a_number_of_a_billion_digits_is_left_as_text():
    assert normalise("1e999999999") == "1e999999999"


def vote(answers, weights, labels):
    return vote_curve(numbered(answers), np.array(weights, float), np.array(labels, float), seed=0)


def test_the_most_frequent_answer_wins():
    assert vote(["5", "5.0", "6"], [1, 1, 1], [1, 1, 0])[-1] == 1.0


def test_weights_overturn_the_majority():
    assert vote(["5", "5", "6"], [0.2, 0.2, 0.9], [0, 0, 1])[-1] == 1.0


def test_tied_answers_share_the_win():
    assert vote(["5", "5", "6", "6", "7"], [1] * 5, [1, 1, 0, 0, 0])[-1] == pytest.approx(0.5)


def test_weights_that_tie_but_for_rounding_share_the_win():
    assert vote(["5"] * 3 + ["6"], [0.1, 0.1, 0.1, 0.3], [1, 1, 1, 0])[-1] == pytest.approx(0.5)


def test_no_answer_never_outvotes_an_answer():
    assert vote(["", "", "", "6"], [1] * 4, [0, 0, 0, 1])[-1] == 1.0
    assert vote(["", ""], [1, 1], [0, 0]).tolist() == [0.0, 0.0]


def test_the_curve_is_close_to_all_orders_counted():
    answers, weights, labels = ["a", "a", "b", "c", "b"], [0.9, 0.1, 0.4, 0.8, 0.3], [1, 1, 0, 0, 0]
    curve = vote(answers, weights, labels)
    for size in range(1, 6):
        outcomes = []
        for order in permutations(range(5), size):
            totals = {name: sum(weights[i] for i in order if answers[i] == name) for name in "abc"}
            outcomes.append(float(max(totals, key=totals.__getitem__) == "a"))
        exact = size in (1, 5)
        assert curve[size - 1] == pytest.approx(np.mean(outcomes), abs=1e-9 if exact else 0.12), size


def test_many_candidates_are_voted_on_too():
    answers = ["1"] * 120 + ["2"] * 80
    assert vote(answers, [1] * 200, [1] * 120 + [0] * 80)[-1] == 1.0
