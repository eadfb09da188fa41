"""Rows carry the labels that the tree earned: MC before the first error, 0 from it on, 1 at a right end."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Estimate, Origin, Problem, Rollout
from omegaprm.engine.selection import RowRule, continued_solutions, right_solutions, select, wrong_solutions
from omegaprm.engine.tree import Tree, apply
from tests.fakes.growing import grow, recorded_rollouts
from tests.fakes.policy import SLIP, ScriptedPolicy

RULE = SearchRule(num_rollouts=4, max_searches=10, rollout_budget=100)


def right(*steps: str) -> Rollout:
    return Rollout(steps, "correct", "exact")


def wrong(*steps: str) -> Rollout:
    return Rollout(steps, "incorrect", "exact")


def worked_tree() -> tuple[Tree, list[Estimate]]:
    """A wrong rollout of five steps whose fourth is the first wrong one; MC after two steps is 1/2."""
    root = (right("a", "b", "7"), wrong("a", "b", "c", "x", "8"), right("a", "7"), right("b", "7"))
    estimates = [
        Estimate(0, None, (), 0, root),
        Estimate(1, Origin(0, 1, 2), ("a", "b"), 0, (right("c", "7"), right("7"), wrong("8"), wrong("9"))),
        Estimate(2, Origin(0, 1, 3), ("a", "b", "c"), 0, (right("d", "7"), wrong("6"), wrong("5"), wrong("4"))),
        Estimate(3, Origin(0, 1, 4), ("a", "b", "c", "x"), 0, (wrong("8"),) * 4),
    ]
    tree = Tree.new(RULE)
    for estimate in estimates:
        tree = apply(tree, estimate)
    return tree, estimates


def test_a_wrong_solution_has_the_values_before_its_first_error_and_zero_after():
    tree, estimates = worked_tree()
    first = next(iter(wrong_solutions(estimates, tree)))
    assert first.steps == ("a", "b", "c", "x", "8")
    assert first.labels == (0.5, 0.5, 0.25, 0.0, 0.0)


def test_right_solutions_past_a_state_far_below_the_root_can_be_left_out():
    tree, estimates = worked_tree()
    for share, kept in [(0.0, 5), (0.25, 5), (0.5, 3), (0.75, 2)]:
        selection = select(estimates, tree, random.Random(0), RowRule(right_above=share))
        num_right = len(selection.rows) - selection.num_wrong + selection.num_right_not_drawn
        assert (num_right, selection.num_right_doubtful) == (kept, 5 - kept)


def test_a_step_of_a_value_that_is_low_enough_can_count_as_the_first_error():
    tree, estimates = worked_tree()
    for at_most, expected in [
        (0.0, (0.5, 0.5, 0.25, 0.0, 0.0)),
        (0.24, (0.5, 0.5, 0.25, 0.0, 0.0)),
        (0.25, (0.5, 0.5, 0.0, 0.0, 0.0)),
        (0.5, (0.0,) * 5),
    ]:
        first = next(iter(wrong_solutions(estimates, tree, RowRule(error_at_most=at_most))))
        assert first.labels == expected
    masked = next(iter(wrong_solutions(estimates, tree, RowRule(mask_unestimated=True, error_at_most=0.25))))
    assert masked.labels == (None, 0.5, 0.0, None, 0.0)


def test_masking_leaves_only_what_was_estimated_or_judged():
    tree, estimates = worked_tree()
    first = next(iter(wrong_solutions(estimates, tree, RowRule(mask_unestimated=True))))
    assert first.labels == (None, 0.5, 0.25, 0.0, 0.0)
    good = next(iter(right_solutions(estimates, tree, RowRule(mask_unestimated=True))))
    assert (good.steps, good.labels) == (("a", "b", "7"), (None, 0.5, 1.0))


def test_a_right_solution_ends_with_one_and_takes_known_values_on_the_way():
    tree, estimates = worked_tree()
    labels = {item.steps: item.labels for item in right_solutions(estimates, tree)}
    assert labels["a", "b", "7"] == (0.5, 0.5, 1.0)
    assert labels["a", "7"] == (1.0, 1.0)
    assert labels["a", "b", "c", "d", "7"] == (0.5, 0.5, 0.25, 1.0, 1.0)


def test_rollouts_from_a_state_that_none_could_save_carry_the_error_of_their_prefix():
    tree, estimates = worked_tree()
    continued = list(continued_solutions(estimates, tree))
    assert {item.steps for item in continued} == {("a", "b", "c", "x", "8")}
    assert {item.labels for item in continued} == {(0.5, 0.5, 0.25, 0.0, 0.0)}
    plain = select(estimates, tree, random.Random(0))
    more = select(estimates, tree, random.Random(0), RowRule(wrong="searched-and-continued"))
    assert more.num_wrong == plain.num_wrong, "the same text counts once"
    assert more.num_duplicates == plain.num_duplicates + 4


def test_as_many_right_solutions_as_wrong_ones_each_text_once():
    tree, estimates = worked_tree()
    selection = select(estimates, tree, random.Random(0))
    texts = [item.steps for item in selection.rows]
    assert len(set(texts)) == len(texts)
    num_right = sum(item.labels[-1] == 1.0 for item in selection.rows)
    assert num_right == min(selection.num_wrong, num_right + selection.num_right_not_drawn)


@settings(max_examples=60, deadline=None)
@given(name=st.text(max_size=4), k=st.integers(2, 12))
def test_labels_of_a_scripted_policy_name_the_slip(name: str, k: int):
    """Where a right state is never missed by k rollouts, the first 0 is the step that slipped."""
    rule = SearchRule(num_rollouts=k, max_searches=20, rollout_budget=40 * k)
    problem = Problem(id=name, question="?", correct_answer="7")
    tree, estimates = grow(rule, recorded_rollouts(problem, ScriptedPolicy(0.2, 0.0), k))
    for solution in wrong_solutions(estimates, tree):
        assert len(solution.labels) == len(solution.steps)
        first_zero = solution.labels.index(0.0)
        slips = [at for at, step in enumerate(solution.steps) if SLIP in step]
        assert first_zero <= slips[0], "a state after a slip never reaches the answer"
        assert all(label == 0.0 for label in solution.labels[first_zero:])
    for solution in right_solutions(estimates, tree):
        assert not any(SLIP in step for step in solution.steps)
        assert all(label is not None and label > 0 for label in solution.labels)
