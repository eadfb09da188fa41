"""The tree does OmegaPRM exactly, deterministically and within its budget."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omegaprm.engine.config import SearchRule
from omegaprm.engine.presets import PRESETS
from omegaprm.engine.records import Estimate, Origin, Problem, Rollout
from omegaprm.engine.tree import Tree, Want, apply, next_want, replay, score
from tests.engine.slow_omegaprm import SlowOmegaPRM
from tests.fakes.growing import grow, recorded_rollouts
from tests.fakes.policy import ScriptedPolicy

RULE = SearchRule(num_rollouts=4, max_searches=10, rollout_budget=100)


def right(*steps: str) -> Rollout:
    return Rollout(steps, "correct", "exact")


def wrong(*steps: str) -> Rollout:
    return Rollout(steps, "incorrect", "exact")


def estimate(number: int, rollouts: list[Rollout], origin: Origin | None = None, prefix=()) -> Estimate:
    return Estimate(number, origin, prefix, 0, tuple(rollouts))


def test_a_worked_example_finds_the_first_wrong_step_by_halving():
    """A wrong rollout of four steps: the state after two is right, after three wrong, so the third is wrong."""
    tree = Tree.new(RULE)
    assert next_want(tree) == Want(0, None, 4)
    root = [right("a", "b", "c", "7"), wrong("a", "b", "x", "8"), right("a", "7"), right("b", "7")]
    tree = apply(tree, estimate(0, root))
    assert next_want(tree) == Want(1, Origin(0, 1, 2), 4)
    tree = apply(tree, estimate(1, [right("c", "7")] * 4, Origin(0, 1, 2), ("a", "b")))
    assert next_want(tree) == Want(2, Origin(0, 1, 3), 4)
    tree = apply(tree, estimate(2, [wrong("8")] * 4, Origin(0, 1, 3), ("a", "b", "x")))
    assert tree.errors == [(0, 1, 2)]
    assert tree.nodes[0].visits == 1
    assert tree.num_searches == 1
    assert (next_want(tree), tree.reason) == (None, "no incorrect rollout left")


def test_the_last_step_of_a_wrong_rollout_costs_no_rollouts():
    tree = apply(Tree.new(RULE), estimate(0, [right("7"), wrong("8"), wrong("9"), right("7")]))
    assert [error.step for error in tree.errors] == [0, 0]
    assert tree.num_rollouts == 4
    assert tree.reason == "no incorrect rollout left"


def test_selection_follows_q_plus_u_of_the_paper():
    rule = SearchRule(num_rollouts=4, max_searches=10, rollout_budget=100, length_scale=10)
    tree = apply(
        Tree.new(rule),
        estimate(0, [right("7"), wrong("one two", "x", "8"), wrong("one two three", "y", "8"), right("7")]),
    )
    assert tree.search is not None
    assert tree.search.candidate.rollout == 1, "the shorter of two rollouts of one state has the higher Q"
    assert score(tree, 0) == pytest.approx(0.5 ** (1 - 0.5) * 0.9 ** (5 / 10))
    tree = apply(tree, estimate(1, [wrong("z", "9")] * 4, Origin(0, 1, 1), ("one two",)))
    assert tree.num_searches == 1
    assert score_after_one_visit(rule) == pytest.approx(0.5**0.5 * 0.9**0.5 + 0.125 * math.sqrt(1) / 2)


def score_after_one_visit(rule: SearchRule) -> float:
    tree = apply(Tree.new(rule), estimate(0, [right("7"), wrong("8"), wrong("a b c", "d", "8"), right("7")]))
    assert tree.search is not None
    tree.nodes[0].candidates.append(tree.search.candidate)
    return score(tree, 0)


@pytest.mark.parametrize(
    ("rollouts", "reason"),
    [
        ([right("7")] * 4, "too easy"),
        ([wrong("8")] * 4, "too hard"),
        ([Rollout((), "unparsed"), Rollout((), "truncated"), Rollout(("8",), "unknown")], "nothing judged"),
    ],
)
def test_extreme_roots_stop_at_once(rollouts: list[Rollout], reason: str):
    tree = apply(Tree.new(RULE), estimate(0, rollouts))
    assert (next_want(tree), tree.reason) == (None, reason)


def test_a_flag_goes_on_from_a_root_where_all_was_wrong():
    rule = SearchRule(num_rollouts=2, max_searches=5, rollout_budget=100, search_extreme_roots=True)
    tree = apply(Tree.new(rule), estimate(0, [wrong("a", "b", "8"), wrong("a", "c", "9")]))
    assert next_want(tree) == Want(1, Origin(0, 0, 1), 2)


def test_odd_outcomes_are_never_candidates():
    odd = [Rollout(("a", "8"), "unknown"), Rollout((), "truncated"), Rollout((), "unparsed")]
    tree = apply(Tree.new(RULE), estimate(0, [right("7"), *odd]))
    assert tree.reason == "too easy"
    assert not tree.nodes[0].candidates


def test_an_estimate_of_another_state_is_refused():
    tree = apply(Tree.new(RULE), estimate(0, [right("7"), wrong("a", "b", "8"), right("7"), right("7")]))
    with pytest.raises(ValueError, match="wants"):
        apply(tree, estimate(1, [right("7")] * 4, Origin(0, 2, 1), ("a",)))


rules = st.builds(
    SearchRule,
    num_rollouts=st.integers(1, 9),
    max_searches=st.integers(0, 30),
    rollout_budget=st.integers(9, 200),
    length_scale=st.sampled_from([5.0, 2000.0]),
    c_puct=st.sampled_from([0.0, 0.125, 1.0]),
)


def scripted(name: str, slip_rate: float, rule: SearchRule):
    problem = Problem(id=name, question="?", correct_answer="7")
    return recorded_rollouts(problem, ScriptedPolicy(slip_rate, 0.05), rule.num_rollouts)


@settings(max_examples=150, deadline=None)
@given(rule=rules, name=st.text(max_size=4), slip_rate=st.sampled_from([0.05, 0.2, 0.5]))
def test_the_tree_equals_the_slow_reference_on_recorded_rollouts(rule: SearchRule, name: str, slip_rate: float):
    roll = scripted(name, slip_rate, rule)
    tree, estimates = grow(rule, roll)
    slow = SlowOmegaPRM(rule, roll)
    slow.run()
    assert [estimate.prefix for estimate in estimates] == [state.prefix for state in slow.states]
    found = [
        (source.prefix + source.rollouts[error.rollout].steps, len(source.prefix) + error.step)
        for error in tree.errors
        for source in [estimates[error.estimate]]
    ]
    assert found == slow.first_errors
    assert [node.visits for node in tree.nodes] == [state.visits for state in slow.states]


@settings(max_examples=100, deadline=None)
@given(rule=rules, name=st.text(max_size=4))
def test_budget_is_never_overshot_and_no_rollout_is_selected_twice(rule: SearchRule, name: str):
    tree, estimates = grow(rule, scripted(name, 0.3, rule))
    assert sum(len(estimate.rollouts) for estimate in estimates) == tree.num_rollouts <= rule.rollout_budget
    texts = [
        estimates[error.estimate].prefix + estimates[error.estimate].rollouts[error.rollout].steps
        for error in tree.errors
    ]
    assert len(set(texts)) == len(texts)
    assert tree.num_searches <= rule.max_searches


@settings(max_examples=50, deadline=None)
@given(rule=rules, name=st.text(max_size=4), cut=st.floats(0, 1))
def test_replaying_any_beginning_gives_the_live_tree(rule: SearchRule, name: str, cut: float):
    roll = scripted(name, 0.3, rule)
    tree, estimates = grow(rule, roll)
    assert replay(rule, estimates) == tree
    half = estimates[: int(cut * len(estimates))]
    resumed = replay(rule, half)
    for estimate in estimates[len(half) :]:
        assert next_want(resumed) == Want(estimate.number, estimate.origin, rule.num_rollouts)
        resumed = apply(resumed, estimate)
    assert resumed == tree


def test_presets_are_the_published_settings():
    """MM-PRM's shipped arguments (arXiv 2505.13427) and section 4.1 of OmegaPRM (arXiv 2406.06592)."""
    search = {"alpha": 0.5, "beta": 0.9, "c_puct": 0.125}
    shipped = search | {"num_rollouts": 16, "max_searches": 200, "rollout_budget": 1000, "length_scale": 2000.0}
    shipped |= {"temperature": 1.0, "top_k": 50, "top_p": 0.9, "repetition_penalty": 1.05, "max_new_tokens": 4096}
    assert {name: PRESETS["mmprm"][name] for name in shipped} == shipped
    assert PRESETS["paper"] == search | {"num_rollouts": 8, "max_searches": 100, "length_scale": 500.0}
