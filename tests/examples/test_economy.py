"""The economy table compares rules on the same rollouts and counts cost and quality as a hand would."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from examples.economy import VARIANTS, Economy
from examples.economy_figures import figures, linear_counts, table
from examples.linear import Wrong, estimate
from examples.pool import BLOCK, Pool, PooledPolicy
from examples.slipping import SlippingPolicy
from omegaprm.engine.errors import Drained
from omegaprm.engine.policy.base import Prompt
from omegaprm.engine.prompts import parse
from omegaprm.engine.records import Problem
from tests.fakes.judge import ScriptedJudge
from tests.fakes.policy import ScriptedPolicy

PROBLEM = Problem(id="sums-1", question="What is 3+4*2?", correct_answer="11")
STEPS = ("4*2=8, so 3+8", "3+8=12, so 12", "12")


async def test_every_reader_of_a_pool_is_given_the_same_rollouts_each_once(tmp_path: Path):
    pool = Pool(tmp_path / "pool", ScriptedPolicy(), asyncio.Event())
    whole = await PooledPolicy(pool).sample(Prompt(PROBLEM), 12, seed=1)
    parts = PooledPolicy(pool)
    assert [*await parts.sample(Prompt(PROBLEM), 4, seed=2), *await parts.sample(Prompt(PROBLEM), 8, seed=3)] == whole
    assert len({completion.text for completion in whole}) > 4


async def test_a_pool_that_was_cut_draws_nothing_twice_and_nothing_while_it_drains(tmp_path: Path):
    before = await Pool(tmp_path / "pool", ScriptedPolicy(), asyncio.Event()).first(Prompt(PROBLEM), BLOCK)
    policy, draining = ScriptedPolicy(), asyncio.Event()
    draining.set()
    pool = Pool(tmp_path / "pool", policy, draining)
    assert await pool.first(Prompt(PROBLEM), BLOCK) == before
    assert policy.num_requests == 0
    with pytest.raises(Drained):
        await pool.first(Prompt(PROBLEM), BLOCK + 1)


async def test_linear_monte_carlo_estimates_every_step_but_the_last_and_a_shared_state_once(tmp_path: Path):
    solutions = [Wrong(PROBLEM, (), ("a", "b", "8")), Wrong(PROBLEM, (), ("a", "c", "slip", "8"))]
    pool = Pool(tmp_path / "pool", ScriptedPolicy(slip_rate=0, odd_rate=0), asyncio.Event())
    verdicts = await estimate(solutions, pool, ScriptedJudge(), 3)
    assert {prefix for _, prefix in verdicts} == {("a",), ("a", "b"), ("a", "c"), ("a", "c", "slip")}
    assert verdicts["sums-1", ("a", "c")] == [True] * 3
    assert verdicts["sums-1", ("a", "c", "slip")] == [False] * 3


def test_costs_and_labels_are_those_of_a_hand_count():
    """The checker says that the second of three steps is wrong."""
    verdicts = {("sums-1", STEPS[:1]): [False, True, True], ("sums-1", STEPS[:2]): [False, False, True]}
    solutions = [Wrong(PROBLEM, (), STEPS)]
    with_two, with_three = (linear_counts(solutions, verdicts, num, [])["sums-1"] for num in (2, 3))
    assert with_two == dict(
        rollouts=4, labels=3, wrong_labels=3, wrong_solutions=1, exact=1, both=2, only_label=0, only_truth=0
    )
    assert (with_three["exact"], with_three["both"], with_three["only_truth"]) == (0, 1, 1)
    found = figures({"sums-1": with_three})["sums"]
    assert found["rollouts_per_label"] == [2, 2, 2]
    assert found["label_f1"][0] == pytest.approx(2 / 3)
    assert "| linear | 6 | 1 | 2.00 | 2.00 | 0.667 (0.67-0.67) |" in table({"linear": {"sums-1": with_three}})


async def test_the_scripted_solver_repeats_itself_and_is_right_unless_it_slips():
    policy = SlippingPolicy()
    completions = await policy.sample(Prompt(PROBLEM, STEPS[:1]), 200, seed=5)
    assert completions == await policy.sample(Prompt(PROBLEM, STEPS[:1]), 200, seed=5)
    answers = {solution.answer for one in completions if (solution := parse(one.text, "tags"))}
    assert "11" in answers
    assert answers <= {"9", "10", "11", "12", "13"}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_a_search_rule_of_annotate(name: str, tmp_path: Path):
    config = Economy(tmp_path, 1, 7, max_searches=4, rollout_budget=96).config(name)
    assert all(getattr(config, flag) == value for flag, value in VARIANTS[name].items())


def test_a_variant_is_grown_exported_and_counted(tmp_path: Path):
    economy = Economy(tmp_path, 3, 1, scripted=True, max_searches=1, rollout_budget=48)
    asyncio.run(economy.measure(["k 16"]))
    counts = economy.counts("k 16")
    assert len(counts) == 3
    assert sum(one["rollouts"] for one in counts.values()) % 16 == 0
