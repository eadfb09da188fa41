"""What the viewer draws of a search is what the search did."""

from __future__ import annotations

import pytest

from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Estimate, Problem
from omegaprm.engine.tree import Tree
from omegaprm.engine.view.growth import Growth, grouped, prefix_of, replayed
from omegaprm.engine.view.intervals import wilson
from tests.fakes.growing import grow, recorded_rollouts
from tests.fakes.policy import ScriptedPolicy

PROBLEM = Problem(id="p", question="q", correct_answer="7")
RULES = {
    "plain": SearchRule(num_rollouts=8, rollout_budget=400, max_searches=30),
    "in parts": SearchRule(num_rollouts=8, rollout_budget=400, max_searches=30, first_part=2, confirm_zero=8),
    "luck": SearchRule(num_rollouts=8, rollout_budget=400, max_searches=30, error_below=0.4),
    "reusing": SearchRule(num_rollouts=8, rollout_budget=400, max_searches=30, reuse_rollouts=True, first_part=2),
}


@pytest.fixture(params=RULES.values(), ids=RULES.keys())
def grown(request: pytest.FixtureRequest) -> tuple[Tree, list[Estimate], Growth]:
    policy = ScriptedPolicy(slip_rate=0.3)
    tree, estimates = grow(request.param, recorded_rollouts(PROBLEM, policy, 8))
    return tree, estimates, replayed(request.param, estimates)


def test_first_errors_are_those_of_the_tree(grown: tuple[Tree, list[Estimate], Growth]) -> None:
    tree, _, growth = grown
    kept = [path for path in growth.paths if path.first_error is not None and not path.is_withdrawn]
    assert tree.errors
    assert {(path.estimate, path.rollout, (path.first_error or 0) - 1) for path in kept} == {*map(tuple, tree.errors)}
    assert sum(path.is_over for path in growth.paths) == tree.num_searches


def test_each_cut_lies_inside_what_the_ones_before_left(grown: tuple[Tree, list[Estimate], Growth]) -> None:
    """But for states that were taken for wrong and saved: those open what was closed."""
    _, _, growth = grown
    for path in growth.paths:
        low, high = 0, path.num_steps
        seen = set()
        for cut in path.cuts:
            if cut.step not in seen:
                assert low < cut.step < high
            seen.add(cut.step)
            low, high = (max(low, cut.step), high) if cut.right else (low, min(high, cut.step))
            high = high if high > low else path.num_steps
        if path.first_error is not None:
            assert all(cut.step < path.first_error for cut in path.cuts if cut.right)


def test_every_estimate_belongs_to_the_state_of_its_prefix(grown: tuple[Tree, list[Estimate], Growth]) -> None:
    _, estimates, growth = grown
    for at, estimate in enumerate(estimates):
        state = growth.states[growth.state_of[at]]
        assert prefix_of(estimates, state.origin) == estimate.prefix
        assert at in state.estimates
        assert state.born <= at


def test_states_without_a_rule_are_those_that_were_estimated(grown: tuple[Tree, list[Estimate], Growth]) -> None:
    _, estimates, growth = grown
    alone = grouped(estimates)
    assert len(alone.states) == sum(bool(state.estimates) for state in growth.states)
    assert not alone.paths


def test_estimates_of_another_rule_are_refused() -> None:
    _, estimates = grow(RULES["plain"], recorded_rollouts(PROBLEM, ScriptedPolicy(slip_rate=0.3), 8))
    with pytest.raises(ValueError, match="the tree wants"):
        replayed(SearchRule(num_rollouts=8, max_searches=0), estimates)


@pytest.mark.parametrize(
    ("correct", "judged", "low", "high"),
    [(0, 16, 0.0, 0.1936), (16, 16, 0.8064, 1.0), (8, 16, 0.28, 0.72), (1, 3, 0.0615, 0.7923)],
)
def test_intervals_are_wilsons(correct: int, judged: int, low: float, high: float) -> None:
    assert wilson(correct, judged) == pytest.approx((low, high), abs=5e-5)


def test_nothing_judged_has_no_interval() -> None:
    assert wilson(0, 0) is None
