"""Step-level figures, worked by hand and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from omegaprm.evaluator.step_level import (
    accuracy,
    auc,
    best_f1,
    calibration_error,
    first_error_f1,
    macro_f1,
    step_level,
)


def arrays(*rows):
    return [np.array(row, float) for row in rows]


def test_auc_counts_ties_half():
    # pairs (right, wrong): (0.9, 0.5) above, (0.9, 0.2) above, (0.5, 0.5) tie, (0.5, 0.2) above
    assert auc(*arrays([0.9, 0.5, 0.5, 0.2], [1, 1, 0, 0])) == pytest.approx(3.5 / 4)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.8]), st.integers(0, 1)), min_size=2, max_size=40))
def test_auc_agrees_with_scikit_learn(rows):
    scores, labels = arrays(*zip(*rows, strict=True))
    if 0 < labels.sum() < len(labels):
        assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    else:
        assert auc(scores, labels) is None


def test_auc_within_a_problem_is_blind_to_how_hard_problems_are():
    # Pooled, the hard problem's right step looks wrong; within each problem the order is perfect.
    scores = [[[0.9, 0.8]], [[0.3, 0.1]], [[0.5]]]
    labels = [[[1, 0]], [[1, 0]], [[1]]]
    found = step_level(scores, labels)
    assert found["within_problem_auc"] == 1.0
    assert found["num_problems_with_both"] == 2
    assert found["auc"] == pytest.approx(4 / 6)


def test_a_step_behind_an_error_is_held_to_the_lowest_score_so_far():
    # The step after the error scores high, as it is right by itself; its label is that of a lost solution.
    found = step_level([[[0.9, 0.2, 0.95], [0.8, 0.7, 0.75]]], [[[1, 0, 0], [1, 1, 1]]])
    assert found["running_min_auc"] == 1.0
    assert found["auc"] == pytest.approx(4 / 8)


def test_accuracy_counts_a_score_of_one_half_as_right():
    assert accuracy(*arrays([0.5, 0.49, 0.9, 0.1], [1, 0, 0, 0])) == pytest.approx(0.75)


def test_best_f1_finds_the_threshold():
    # wrong steps score 0.1 and 0.3; calling the lowest two wrong is perfect
    assert best_f1(*arrays([0.1, 0.9, 0.3, 0.6], [0, 1, 0, 1])) == (1.0, 0.3)


def test_best_f1_never_parts_equal_scores():
    value, threshold = best_f1(*arrays([0.4, 0.4, 0.9], [0, 1, 1]))
    assert (value, threshold) == (pytest.approx(2 / 3), 0.4)


def test_macro_f1_is_the_mean_over_both_kinds():
    # right: 1 found, 2 called, 1 there -> 2/3; wrong: 1 found, 1 called, 2 there -> 2/3
    assert macro_f1(*arrays([0.9, 0.8, 0.1], [1, 0, 0])) == pytest.approx(2 / 3)


def test_calibration_error_by_hand():
    # bin 0.9..1: mean score 0.95, all right, gap 0.05; bin 0.2..0.3: mean 0.2, half right, gap 0.3
    assert calibration_error(*arrays([0.95, 0.95, 0.2, 0.2], [1, 1, 1, 0])) == pytest.approx(0.175)
    assert calibration_error(*arrays([1.0, 0.0], [1, 0])) == 0.0


def test_first_error_f1_by_hand():
    labels = [[1, 0, 1], [1, 1, 0], [1, 1], [1], [1, 1, 1]]
    scores = [[0.9, 0.2, 0.1], [0.9, 0.4, 0.1], [0.9, 0.9], [0.3], [0.6, 0.5, 0.7]]
    found = first_error_f1(scores, labels)
    assert found["accuracy_erroneous"] == 0.5
    assert found["accuracy_right"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))


def test_figures_of_one_kind_only_are_none_not_numbers():
    found = step_level([[[0.9, 0.8]]], [[[1, 1]]])
    assert found["auc"] is found["within_problem_auc"] is found["best_f1"] is found["first_error"]["f1"] is None


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="one a score"):
        step_level([[[0.9, 0.8]]], [[[1], [1]]])
