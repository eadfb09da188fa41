"""Sampling ahead changes no byte of an export, keeps nothing that was not wanted, and makes nothing wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omegaprm.engine.ahead import Ahead, Ask
from omegaprm.engine.config import SearchRule
from omegaprm.engine.foresight import next_wants
from omegaprm.engine.load import PolicyLoad
from omegaprm.engine.policy.base import Completion, ProblemFailed, Prompt
from omegaprm.engine.records import Estimate, Problem
from omegaprm.engine.store import Store
from omegaprm.engine.tree import Tree, apply, next_want
from tests.engine.test_economy_runs import StoppingPolicy, exported, run
from tests.engine.test_economy_runs import folder as folder
from tests.fakes.growing import prefix_of, recorded_rollouts
from tests.fakes.policy import ScriptedPolicy

RULES = [
    SearchRule(num_rollouts=4, rollout_budget=300),
    SearchRule(num_rollouts=8, first_part=2, settle_right=2, confirm_zero=4, rollout_budget=300),
    SearchRule(num_rollouts=8, error_below=0.4, rollout_budget=300),
]


@pytest.mark.parametrize("rule", RULES, ids=["plain", "parts", "luck"])
@settings(max_examples=40, deadline=None)
@given(number=st.integers(0, 10**6))
def test_the_next_state_of_a_search_is_one_of_those_foreseen(rule: SearchRule, number: int):
    problem = Problem(id=f"p{number}", question="q", correct_answer="7")
    roll = recorded_rollouts(problem, ScriptedPolicy(slip_rate=0.3), rule.num_rollouts)
    tree, estimates = Tree.new(rule), list[Estimate]()
    while (want := next_want(tree)) is not None:
        foreseen, search = next_wants(tree), tree.search
        assert len(foreseen) <= 2
        prefix = prefix_of(estimates, want.origin)
        estimates.append(Estimate(want.number, want.origin, prefix, 0, roll(prefix, want.number, want.num)))
        tree = apply(tree, estimates[-1])
        if search is not None and tree.search is search and tree.want is not None:
            known = tree.want.origin in [origin.origin for origin in tree.nodes]
            assert known or tree.want in foreseen, "a state asked for the first time was not foreseen"


class Gated:
    """A policy whose requests wait for a word; it tells of as many waiting sequences as it is told to."""

    def __init__(self) -> None:
        self.open: dict[int, asyncio.Future[list[Completion]]] = {}
        self.cancelled: list[int] = []
        self.num_waiting = 0

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        self.open[seed] = asyncio.get_running_loop().create_future()
        try:
            return await self.open[seed]
        except asyncio.CancelledError:
            self.cancelled.append(seed)
            raise
        finally:
            del self.open[seed]

    def policy_load(self) -> PolicyLoad:
        return PolicyLoad(num_waiting=self.num_waiting, num_running=0, kv_cache_use=0.0)

    async def close(self) -> None:
        pass


def ask(problem: str, seed: int, num: int = 4) -> Ask:
    return Ask(Prompt(Problem(id=problem, question="q", correct_answer="1")), num, seed)


def asking(ahead: Ahead, wanted: Ask, *guesses: Ask) -> asyncio.Task[list[Completion]]:
    following: Callable[[], tuple[Ask, ...]] = lambda: guesses  # noqa: E731
    return asyncio.create_task(ahead.sample(wanted, following))


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_guess_that_is_wanted_is_taken_up_and_the_other_is_given_up():
    policy = Gated()
    ahead = Ahead(policy, 4, lambda: 100)
    first = asking(ahead, ask("p", 1), ask("p", 2), ask("p", 3))
    await turn()
    assert sorted(policy.open) == [1, 2, 3]
    policy.open[1].set_result([])
    policy.open[2].set_result([Completion("two", 1)])
    await first
    assert await asking(ahead, ask("p", 2)) == [Completion("two", 1)]
    await turn()
    assert (policy.cancelled, policy.open) == ([3], {})
    assert (ahead.counts.asked, ahead.counts.wanted, ahead.counts.wasted_rollouts) == (2, 1, 4)


async def test_guesses_take_idle_places_alone_and_leave_them_to_what_is_wanted():
    policy = Gated()
    ahead = Ahead(policy, 4, lambda: 12)
    tasks = [asking(ahead, ask("p", 1), ask("p", 2), ask("p", 3), ask("p", 4))]
    await turn()
    assert sorted(policy.open) == [1, 2, 3], "three of four sequences fill twelve places"
    tasks.append(asking(ahead, ask("q", 11), ask("q", 12)))
    await turn()
    assert (policy.cancelled, sorted(policy.open)) == ([3], [1, 2, 11])
    policy.num_waiting = 1
    tasks.append(asking(ahead, ask("r", 21), ask("r", 22)))
    await turn()
    assert (policy.cancelled, sorted(policy.open)) == ([3, 2], [1, 11, 21]), "none while requests wait in the engine"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await ahead.close()
    assert policy.open == {}


async def test_a_guess_that_fails_is_felt_only_where_it_is_wanted():
    policy = Gated()
    ahead = Ahead(policy, 4, lambda: 100)
    first = asking(ahead, ask("p", 1), ask("p", 2), ask("p", 3))
    await turn()
    for seed in (2, 3):
        policy.open[seed].set_exception(ProblemFailed("too long"))
    policy.open[1].set_result([])
    assert await first == []
    with pytest.raises(ProblemFailed, match="too long"):
        await asking(ahead, ask("p", 2))


class CountingPolicy(ScriptedPolicy):
    """Takes two turns of the loop for an answer, so that guesses are under way when it comes."""

    def __init__(self) -> None:
        super().__init__(pause=turn)


def test_exports_are_the_same_with_and_without_at_any_concurrency_and_over_stops(
    folder: Path, capfd: pytest.CaptureFixture[str]
):
    plain = CountingPolicy()
    without = exported(run(folder, "without", plain))
    for concurrency in (1, 64):
        policy = CountingPolicy()
        assert exported(run(folder, f"with-{concurrency}", policy, concurrency=concurrency, speculate=8)) == without
        assert policy.num_requests > plain.num_requests, "something was sampled ahead"
    assert exported(run(folder, "tight", CountingPolicy(), speculate=8, in_flight=2)) == without
    assert exported(run(folder, "stopped", StoppingPolicy(), speculate=8)) == without
    assert "sampled ahead" in capfd.readouterr().err
    with Store.open_reader(folder / "with-64") as one, Store.open_reader(folder / "without") as other:
        assert list(one.scan("estimates")) == list(other.scan("estimates")), "what was not wanted is nowhere"
