"""A run of the product's own search on the real engine, into a fresh store, and what it took."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine import ahead
from engine.bench.run import Run
from engine.config import SearchRule
from engine.judge.base import Judge
from engine.judge.cascade import Cascade
from engine.policy.base import Policy
from engine.problems import read_problems
from engine.records import Estimate, Problem
from engine.scheduler import run_all
from engine.search import Search
from engine.store import Store


class Grown(NamedTuple):
    """Estimates (labelled states), rollouts, and seconds on the wall."""

    num_estimates: int
    num_rollouts: int
    seconds: float


def seed_problems(run: Run, num: int) -> list[Problem]:
    """So many seed problems, taken again under other ids where there are fewer."""
    seeds = read_problems([Path(path) for path in run.config.seeds]).problems
    rounds = itertools.count()
    again = (msgspec.structs.replace(one, id=f"{one.id}-{at}") for at in rounds for one in seeds)
    return list(itertools.islice(again, num))


async def grow(
    run: Run,
    policy: Policy,
    problems: list[Problem],
    num_open: int,
    judge: Judge | None = None,
    rule: SearchRule | None = None,
) -> Grown:
    """Grow the problems' trees, num_open at once, with durable commits; judge and rule are the run's own by default."""
    estimates: list[int] = []

    def on_estimate(estimate: Estimate) -> None:
        estimates.append(len(estimate.rollouts))

    folder = run.folder / "growing"
    store = Store.open(folder, window_seconds=run.config.commit_window_ms / 1000)
    judge = judge or await Cascade.start(1, 5.0)
    search = Search(
        policy=policy,
        judge=judge,
        store=store,
        rule=rule or run.config.part(SearchRule),
        step_format=run.config.step_format,
        run_seed=run.config.run_seed,
        draining=asyncio.Event(),
        on_estimate=on_estimate,
        ahead=ahead.of(run.config, policy),
    )
    began = time.perf_counter()
    async with ahead.closing(search.ahead):
        await run_all(problems, search.grow, num_open, search.draining, 0)
    seconds = time.perf_counter() - began
    await judge.close()
    store.close()
    shutil.rmtree(folder)
    return Grown(len(estimates), sum(estimates), seconds)
