"""Best-of-N against every subset counted one by one, and what must hold for any scores."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omegaprm.evaluator.aggregation import AGGREGATIONS
from omegaprm.evaluator.best_of_n import best_curve, figures, note, pass_curve
from tests.evaluator.problems import problem

ROWS = st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.4001, 0.9]), st.integers(0, 1)), min_size=1, max_size=7)


def counted(scores, labels, size, chosen):
    """Mean of chosen(subset) over all subsets of a size."""
    subsets = list(combinations(range(len(labels)), size))
    return sum(chosen([(scores[i], labels[i]) for i in subset]) for subset in subsets) / len(subsets)


def top_label(subset):
    best = max(score for score, _ in subset)
    tied = [label for score, label in subset if score == best]
    return sum(tied) / len(tied)


@given(ROWS)
def test_best_and_pass_curves_equal_all_subsets_counted(rows):
    scores, labels = zip(*rows, strict=True)
    best = best_curve(np.array(scores), np.array(labels, float))
    passed = pass_curve(np.array(labels, float))
    for size in range(1, len(rows) + 1):
        assert best[size - 1] == pytest.approx(counted(scores, labels, size, top_label))
        any_right = counted(scores, labels, size, lambda subset: max(label for _, label in subset))
        assert passed[size - 1] == pytest.approx(any_right)


def test_best_curve_of_three_worked_by_hand():
    # N = 2: {A, B} -> A, {A, C} -> A, {B, C} -> B, with only B right: one of three.
    curve = best_curve(np.array([0.9, 0.5, 0.1]), np.array([0.0, 1.0, 0.0]))
    assert curve.tolist() == pytest.approx([1 / 3, 1 / 3, 0])


def test_pass_at_two_of_four_with_one_right_is_a_half():
    assert pass_curve(np.array([1.0, 0, 0, 0])).tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0])


@given(st.lists(st.integers(0, 1), min_size=1, max_size=40))
def test_pass_at_n_never_falls_and_ends_at_whether_one_is_right(labels):
    curve = pass_curve(np.array(labels, float))
    assert (np.diff(curve) >= -1e-12).all()
    assert curve[-1] == pytest.approx(max(labels))
    assert curve[0] == pytest.approx(np.mean(labels))


def test_figures_worked_by_hand():
    problems = [problem([1, 0], ["4", "5"], "a"), problem([0, 1], ["6", "7"], "b")]
    found = figures(problems, [[[0.9], [0.1]], [[0.8], [0.3]]], draws=200)
    assert found["random"] == pytest.approx(0.5)
    assert found["pass"] == {"1": pytest.approx(0.5), "2": 1.0, "4": None, "8": None, "16": None}
    assert found["majority"] == pytest.approx(0.5)
    assert found["weighted_vote"] == pytest.approx(0.5)
    assert found["curves"]["n"] == [1, 2]
    for row in found["best_of_n"].values():
        assert row["accuracy"] == pytest.approx(0.5)
        assert row["gap_closed"] == pytest.approx(0.0)
        assert "holds zero" in row["note"]
    assert (found["num_problems"], found["distinct_texts"], found["distinct_answers"]) == (2, 2.0, 2.0)


def test_the_weighted_vote_less_the_majority_is_paired_by_problem():
    # Two wrong answers agree and outvote a right one that scores high; where all agree the votes are one.
    won = problem([1, 0, 0], ["4", "5", "5"], "won")
    same = problem([1, 1, 1], ["4", "4", "4"], "same")
    scores = [[[0.9], [0.1], [0.1]], [[0.5], [0.5], [0.5]]]
    found = figures([won, same], scores, draws=400)["weighted_minus_majority"]
    assert found["difference"] == pytest.approx(0.5)
    assert (found["low"], found["high"]) == (0.0, 1.0)
    always = figures([won] * 4, scores[:1] * 4, draws=50)["weighted_minus_majority"]
    assert always == {"difference": 1.0, "low": 1.0, "high": 1.0}


PROBLEMS = st.lists(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abc"), st.floats(0, 1)), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
)


def made(rows):
    """Problems and scores from (label, answer, score) rows; a candidate has two steps."""
    problems = [
        problem([r[0] for r in of_problem], [r[1] for r in of_problem], str(at), [["s", "t"]] * len(of_problem))
        for at, of_problem in enumerate(rows)
    ]
    return problems, [[[(1 + score) / 2, score] for _, _, score in of_problem] for of_problem in rows]


def accuracies(found):
    plain = {name: found[name] for name in ("random", "majority", "weighted_vote")}
    return plain | {name: row["accuracy"] for name, row in found["best_of_n"].items()}


@settings(max_examples=30, deadline=None)
@given(PROBLEMS, st.randoms())
def test_the_order_of_candidates_changes_no_figure(rows, random):
    shuffled = [random.sample(of_problem, len(of_problem)) for of_problem in rows]
    first, second = (figures(*made(each), draws=20) for each in (rows, shuffled))
    assert accuracies(first) == pytest.approx(accuracies(second))
    for name, curve in first["curves"].items():
        assert second["curves"][name] == pytest.approx(curve), name


@settings(max_examples=30, deadline=None)
@given(PROBLEMS)
def test_a_perfect_scorer_reaches_pass_at_n_and_equal_scores_reach_random(rows):
    problems, _ = made(rows)
    perfect = figures(problems, [[[float(r[0])] * 2 for r in of_problem] for of_problem in rows], draws=20)
    constant = figures(problems, [[[0.7, 0.7] for _ in of_problem] for of_problem in rows], draws=20)
    for name in AGGREGATIONS:
        assert perfect["curves"][name] == pytest.approx(perfect["curves"]["pass"])
        assert constant["curves"][name] == pytest.approx(constant["curves"]["random"])
        assert "holds zero" in constant["best_of_n"][name]["note"]


def test_intervals_hold_the_figure_and_repeat_with_the_seed():
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 2, (50, 4))
    problems = [problem(row.tolist(), id=str(at)) for at, row in enumerate(labels)]
    scores = [[[0.2 + 0.6 * label] for label in row] for row in labels.tolist()]
    found = figures(problems, scores)
    assert found == figures(problems, scores)
    row = found["best_of_n"]["min"]
    assert row["low"] <= row["accuracy"] <= row["high"]
    assert 0 < row["minus_random_low"] <= row["minus_random"] <= row["minus_random_high"]
    assert row["note"] == "better than random"
    assert row["gap_closed"] == pytest.approx(1.0)
    assert found["intervals"]["pass"]["4"] == pytest.approx([row["low"], row["high"]])


def test_interval_of_a_mean_agrees_with_its_standard_error():
    labels = [1] * 200 + [0] * 200
    found = figures([problem([label], id=str(at)) for at, label in enumerate(labels)], [[[0.5]]] * 400)
    low, high = found["intervals"]["random"]
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.008)


def test_a_problem_with_fewer_candidates_gives_all_it_has():
    found = figures([problem([1]), problem([0, 0, 1, 1], id="q")], [[[0.5]], [[0.1], [0.2], [0.3], [0.4]]])
    assert found["curves"]["min"] == pytest.approx([0.75, (1 + 5 / 6) / 2, 1.0, 1.0])
    assert (found["fewest_candidates"], found["most_candidates"]) == (1, 4)


def test_gap_closed_is_undefined_where_random_already_passes():
    row = figures([problem([1, 1])], [[[0.5], [0.6]]])["best_of_n"]["min"]
    assert row["gap_closed"] is row["gap_closed_low"] is row["gap_closed_high"] is None


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "better"), (-0.2, -0.1, "worse"), (-0.1, 0.2, "holds zero"), (1e-17, 2e-17, "holds zero")],
)
def test_the_note_says_what_the_interval_shows(low, high, words):
    assert words in note(low, high)


def test_scores_of_another_shape_are_refused_with_the_problem_named():
    with pytest.raises(ValueError, match="problem p"):
        figures([problem([1, 0])], [[[0.5], [0.5, 0.5]]])
