"""Flags that save rollouts: what each asks for and decides, and that none bends a promise of the tree."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omegaprm.engine import evidence
from omegaprm.engine.config import LATER_RULES, AnnotateConfig, SearchRule
from omegaprm.engine.errors import UsageError
from omegaprm.engine.nodes import Node
from omegaprm.engine.presets import PRESETS
from omegaprm.engine.records import Estimate, Origin, Problem, Rollout
from omegaprm.engine.stopping import next_part
from omegaprm.engine.tree import Tree, Want, apply, next_want, replay
from tests.fakes.growing import grow, prefix_of, recorded_rollouts
from tests.fakes.policy import SLIP, ScriptedPolicy


def right(*steps: str) -> Rollout:
    return Rollout(steps, "correct", "exact")


def wrong(*steps: str) -> Rollout:
    return Rollout(steps, "incorrect", "exact")


class Growing:
    """A tree that grows by draws for what it wants; their prefixes are cut as the store would."""

    def __init__(self, **flags: object) -> None:
        self.tree = Tree.new(SearchRule(**{"num_rollouts": 4, "max_searches": 10, "rollout_budget": 100, **flags}))
        self.estimates: list[Estimate] = []

    def feed(self, *draws: list[Rollout]) -> Tree:
        for rollouts in draws:
            want = next_want(self.tree)
            assert want is not None
            assert len(rollouts) == want.num, want
            prefix = prefix_of(self.estimates, want.origin)
            self.estimates.append(Estimate(want.number, want.origin, prefix, 0, tuple(rollouts)))
            self.tree = apply(self.tree, self.estimates[-1])
        return self.tree


def counts(node: Node) -> tuple[int, int]:
    return node.correct, node.judged


@pytest.mark.parametrize(
    ("flags", "sizes"),
    [
        ({"num_rollouts": 16}, [16]),
        ({"num_rollouts": 16, "first_part": 4}, [4, 4, 8]),
        ({"num_rollouts": 10, "first_part": 4, "confirm_zero": 3}, [4, 4, 2, 3]),
        ({"num_rollouts": 8, "confirm_zero": 8}, [8, 8]),
    ],
    ids=str,
)
def test_parts_double_up_to_k_and_the_confirmation_is_one_more(flags: dict[str, int], sizes: list[int]):
    drawn: list[int] = []
    for _ in sizes:
        drawn.append(next_part(SearchRule(**flags), sum(drawn)))
    assert drawn == sizes


def root_of(*steps: str) -> list[Rollout]:
    """Four rollouts, the first of them wrong."""
    return [wrong(*steps), *[right("7")] * 3]


def test_one_right_rollout_settles_a_state_and_only_the_end_of_a_search_is_drawn_on():
    """The first error of a, b, x, y, 8 is x, which looks wrong after one rollout and is drawn to k at the end."""
    growing = Growing(first_part=1)
    tree = growing.feed(root_of("a", "b", "x", "y", "8"))
    assert next_want(tree) == Want(1, Origin(0, 0, 2), 1)
    tree = growing.feed([right("c", "7")])
    assert next_want(tree) == Want(2, Origin(0, 0, 3), 1)
    tree = growing.feed([wrong("8")])
    assert next_want(tree) == Want(3, Origin(0, 0, 3), 1)
    tree = growing.feed([wrong("9")])
    assert next_want(tree) == Want(4, Origin(0, 0, 3), 2)
    assert tree.errors == []
    tree = growing.feed([wrong("8"), wrong("9")])
    assert tree.errors == [(0, 0, 2)]


def test_a_step_saved_by_a_later_part_is_right_and_the_search_goes_on_above_it():
    growing = Growing(first_part=1)
    tree = growing.feed(root_of("a", "b", "x", "8"), [wrong("z", "8")])
    assert next_want(tree) == Want(2, Origin(0, 0, 1), 1)
    tree = growing.feed([right("7")])
    assert next_want(tree) == Want(3, Origin(0, 0, 2), 1), "step 2 looked wrong after one rollout and ends the search"
    tree = growing.feed([right("7")])
    assert next_want(tree) == Want(4, Origin(0, 0, 3), 1), "it was right, so the error is later"
    tree = growing.feed([wrong("8")], [wrong("8")], [wrong("8")] * 2)
    assert tree.errors[0] == (0, 0, 2)
    assert counts(tree.nodes[1]) == (1, 2)
    assert tree.search is not None
    assert tree.search.estimate == 1, "the wrong rollout of the saved state is searched in its turn"


def test_value_rollouts_sharpen_a_state_that_is_settled():
    growing = Growing(first_part=1, value_rollouts=2)
    tree = growing.feed(root_of("a", "8"), [right("7")])
    assert next_want(tree) == Want(2, Origin(0, 0, 1), 1)
    tree = growing.feed([wrong("8")])
    assert counts(tree.nodes[1]) == (1, 2)
    assert tree.errors[0] == (0, 0, 1)


def test_a_state_with_fewer_right_rollouts_than_settle_right_takes_k():
    growing = Growing(first_part=2, settle_right=2)
    growing.feed(root_of("a", "b", "c", "8"))
    once, twice = deepcopy(growing), deepcopy(growing)
    assert next_want(once.feed([right("7"), wrong("9")])) == Want(2, Origin(0, 0, 2), 2)
    assert next_want(twice.feed([right("7"), right("7")])) == Want(2, Origin(0, 0, 3), 2)


def test_a_tree_with_nothing_left_to_search_draws_what_its_states_were_spared():
    growing = Growing(first_part=2)
    tree = growing.feed(root_of("a", "8"), [right("7"), right("7")])
    assert (tree.num_searches, next_want(tree)) == (1, Want(2, Origin(0, 0, 1), 2))
    tree = growing.feed([right("7"), wrong("9")])
    assert (tree.num_searches, tree.reason) == (2, "no incorrect rollout left")


def test_mc_0_counts_as_an_error_only_after_its_confirmation():
    growing = Growing(confirm_zero=2)
    tree = growing.feed([wrong("a", "8"), *[right("7")] * 3], [wrong("8")] * 4)
    assert (tree.errors, next_want(tree)) == ([], Want(2, Origin(0, 0, 1), 2))
    refuted, confirmed = deepcopy(growing), deepcopy(growing)
    assert confirmed.feed([wrong("8"), wrong("9")]).errors[0] == (0, 0, 0)
    assert refuted.feed([right("7"), wrong("9")]).errors[0] == (0, 0, 1), "the last step is wrong by the judge's word"
    assert counts(refuted.tree.nodes[1]) == (1, 6)


def test_a_confirmation_that_the_budget_cannot_hold_leaves_no_error():
    growing = Growing(confirm_zero=2, rollout_budget=9)
    tree = growing.feed([wrong("a", "x", "8"), *[right("7")] * 3], [wrong("8")] * 4)
    assert (tree.errors, tree.reason, tree.num_rollouts) == ([], "rollout budget", 8)


def test_rollouts_that_pass_a_state_count_there_but_not_the_one_under_search():
    growing = Growing(reuse_rollouts=True)
    tree = growing.feed([wrong("a", "x", "8"), right("a", "b", "7"), wrong("a", "y", "z", "9"), right("7")])
    assert next_want(tree) == Want(1, Origin(0, 0, 1), 2), "two of the other three begin with a"
    tree = growing.feed([right("7"), wrong("9")])
    assert counts(tree.nodes[1]) == (2, 4)


def test_a_right_rollout_that_passes_a_state_settles_it_at_no_cost():
    growing = Growing(reuse_rollouts=True, first_part=2)
    tree = growing.feed([wrong("a", "b", "x", "8"), right("a", "b", "7"), right("7"), right("7")])
    assert counts(tree.nodes[1]) == (1, 1)
    assert next_want(tree) == Want(1, Origin(0, 0, 3), 2), "steps 1 and 2 are right, step 3 alone is open"


def test_an_error_is_taken_back_when_a_later_rollout_gets_through_its_state():
    growing = Growing(reuse_rollouts=True)
    tree = growing.feed(root_of("a", "x", "8"), [wrong("p", "9")] * 4)
    assert tree.errors == [(0, 0, 0)]
    evidence.gain(tree, tree.nodes[1], 1, 1, 1)
    assert tree.errors == []
    assert len(tree.nodes[1].candidates) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"first_part": 17}, "--first-part 17: must be at most --num-rollouts 16"),
        ({"first_part": 4, "value_rollouts": 17}, "--value-rollouts 17: must be at most"),
        ({"settle_right": 2}, "--settle-right 2: needs --first-part"),
        ({"first_part": 4, "settle_right": 0}, "--settle-right 0: must be at least 1"),
        ({"value_rollouts": 4}, "--value-rollouts 4: needs --first-part"),
        ({"confirm_zero": -1}, "--confirm-zero -1: must be at least 0"),
        ({"error_below": 1.0}, "--error-below 1.0: must be at least 0 and below 1"),
        ({"reuse_rollouts": True, "prompt_template": "mmprm"}, "--reuse-rollouts: needs --prompt-template prefill"),
    ],
    ids=str,
)
def test_flags_that_cannot_be_are_usage_errors(flags: dict[str, object], message: str):
    with pytest.raises(UsageError, match=message):
        AnnotateConfig(seeds=("s",), model="m", store="d", **flags)


def test_the_published_presets_use_none_of_these_flags_and_the_others_do():
    for name in ("mmprm", "paper"):
        later = {flag: PRESETS[name].get(flag, getattr(SearchRule(), flag)) for flag in LATER_RULES}
        assert later == {flag: getattr(SearchRule(), flag) for flag in LATER_RULES}
    assert AnnotateConfig(seeds=("s",), model="m", store="d", **PRESETS["parts"]).first_part == 4
    assert PRESETS["parts"] | PRESETS["sharp"] == PRESETS["thrifty"]


def test_a_state_far_below_the_one_before_it_is_wrong_and_its_right_rollout_was_luck():
    growing = Growing(error_below=0.5)
    growing.feed(root_of("a", "x", "y", "8"))
    lucky, good = deepcopy(growing), deepcopy(growing)
    tree = lucky.feed([right("7"), wrong("9"), wrong("9"), wrong("9")])
    assert next_want(tree) == Want(2, Origin(0, 0, 1), 4), "1 of 4 behind 3 of 4: the error is there or before"
    tree = lucky.feed([right("7")] * 4)
    assert tree.errors[0] == (0, 0, 1)
    assert tree.reason == "no incorrect rollout left", "rollouts from a wrong state begin with its error"
    tree = good.feed([right("7"), right("7"), wrong("9"), wrong("9")])
    assert next_want(tree) == Want(2, Origin(0, 0, 3), 4), "2 of 4 is above half of 3 of 4"


def test_what_is_luck_follows_from_the_latest_state_known_right():
    growing = Growing(error_below=0.5, num_rollouts=8)
    growing.feed([wrong("a", "b", "x", "y", "8"), right("7"), *[wrong("8")] * 6])
    hard, easier = deepcopy(growing), deepcopy(growing)
    one_in_eight = [right("7"), *[wrong("9")] * 7]
    tree = hard.feed(one_in_eight)
    assert next_want(tree) == Want(2, Origin(0, 0, 3), 8), "as many as from the root of a hard problem"
    tree = easier.feed([right("7")] * 8, one_in_eight)
    assert (0, 0, 2) in tree.errors, "the same count behind a state that all rollouts came right from"


@st.composite
def rules(draw: st.DrawFn) -> SearchRule:
    num_rollouts = draw(st.integers(1, 9))
    first_part = draw(st.integers(0, num_rollouts))
    return SearchRule(
        num_rollouts=num_rollouts,
        max_searches=draw(st.integers(0, 30)),
        rollout_budget=draw(st.integers(9, 200)),
        c_puct=draw(st.sampled_from([0.0, 0.125, 1.0])),
        search_extreme_roots=draw(st.booleans()),
        first_part=first_part,
        settle_right=draw(st.integers(1, num_rollouts)) if first_part else 1,
        value_rollouts=draw(st.integers(0, num_rollouts)) if first_part else 0,
        confirm_zero=draw(st.integers(0, 9)),
        reuse_rollouts=draw(st.booleans()),
        error_below=draw(st.sampled_from([0.0, 0.25, 0.6])),
    )


def scripted(rule: SearchRule, name: str, slip_rate: float):
    problem = Problem(id=name, question="?", correct_answer="7")
    return recorded_rollouts(problem, ScriptedPolicy(slip_rate, 0.05, max_words=1), rule.num_rollouts)


@settings(max_examples=200, deadline=None)
@given(rule=rules(), name=st.text(max_size=4), slip_rate=st.sampled_from([0.05, 0.2, 0.5]))
def test_every_mix_of_flags_keeps_the_trees_promises(rule: SearchRule, name: str, slip_rate: float):
    tree, estimates = grow(rule, scripted(rule, name, slip_rate))
    assert sum(len(estimate.rollouts) for estimate in estimates) == tree.num_rollouts <= rule.rollout_budget
    assert tree.num_searches <= rule.max_searches
    assert replay(rule, estimates) == tree
    searched = [estimates[e.estimate].prefix + estimates[e.estimate].rollouts[e.rollout].steps for e in tree.errors]
    assert len(set(searched)) == len(searched)
    for node in tree.nodes:
        assert 0 <= node.correct <= node.judged <= node.num
        assert not node.errors or (not node.is_right and node.num >= rule.num_rollouts + rule.confirm_zero)


@settings(max_examples=100, deadline=None)
@given(rule=rules(), name=st.text(max_size=4), cut=st.floats(0, 1))
def test_a_tree_cut_anywhere_goes_on_as_if_it_had_not_been(rule: SearchRule, name: str, cut: float):
    tree, estimates = grow(rule, scripted(rule, name, 0.3))
    begun = int(cut * len(estimates))
    resumed = replay(rule, estimates[:begun])
    for estimate in estimates[begun:]:
        assert next_want(resumed) == Want(estimate.number, estimate.origin, len(estimate.rollouts))
        resumed = apply(resumed, estimate)
    assert resumed == tree


@settings(max_examples=100, deadline=None)
@given(rule=rules(), name=st.text(max_size=4))
def test_every_step_before_a_first_error_is_right_where_no_slip_is_recovered_from(rule: SearchRule, name: str):
    tree, estimates = grow(rule, scripted(rule, name, 0.3))
    for error in tree.errors:
        source = estimates[error.estimate]
        steps = source.prefix + source.rollouts[error.rollout].steps
        at = len(source.prefix) + error.step
        assert not any(SLIP in step for step in steps[:at])
