"""Searches the problems of a tuned policy as bin/annotate does it, and counts how its rollouts end."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import msgspec

from omegaprm.engine.config import EngineOptions, Sampling, SearchRule
from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.policy.boundary import End, Ending
from omegaprm.engine.policy.vllm_policy import VllmPolicy
from omegaprm.engine.records import Estimate, Problem
from omegaprm.engine.search import Search
from omegaprm.engine.shares import Shares
from omegaprm.engine.store import Store
from tests.real.tuned import sums

OPTIONS = EngineOptions(kv_cache_gib=0.15, max_num_seqs=160)
SAMPLING = Sampling(temperature=0.6, top_k=0, top_p=1.0, repetition_penalty=1.0, max_new_tokens=160)
"""Policies of this size and so little tuning garble one in six texts at temperature 1."""
RULE = SearchRule(num_rollouts=8, max_searches=2, rollout_budget=32)


class Trial(msgspec.Struct, frozen=True):
    """What the rollouts of a search came to."""

    shares: Shares
    tokens_per_prefix_rollout: float
    """Tokens sampled per rollout from a prefix."""


async def started(folder: Path) -> VllmPolicy:
    return await VllmPolicy.start(str(folder), OPTIONS, SAMPLING, "prefill", "tags")


async def tried(policy: VllmPolicy, num_problems: int, seed: int = 0, end: End | None = None) -> Trial:
    """Search the first problems; end: where prompts end, instead of where the policy's own do."""
    usual = policy._end
    policy._end = end or usual
    try:
        estimates = await estimates_of(policy, [one.problem for one in sums()[:num_problems]], seed)
    finally:
        policy._end = usual
    from_prefixes = [rollout for one in estimates if one.origin for rollout in one.rollouts]
    num_tokens = sum(rollout.num_tokens for rollout in from_prefixes)
    return Trial(Shares().adding(estimates), round(num_tokens / max(1, len(from_prefixes)), 1))


async def estimates_of(policy: VllmPolicy, problems: list[Problem], seed: int) -> list[Estimate]:
    found: list[Estimate] = []
    judge = await Cascade.start(1, 30.0)
    try:
        with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store") as store:
            search = Search(policy, judge, store, RULE, "tags", seed, asyncio.Event(), on_estimate=found.append)
            await asyncio.gather(*(search.grow(problem) for problem in problems))
    finally:
        await judge.close()
    return found


def whole(reply: str) -> Ending:
    """A prompt that ends where the state ends, whatever the tokens are."""
    return Ending(reply)
