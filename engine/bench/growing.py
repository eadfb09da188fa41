"""A run of the product's own search on the real engine, into a fresh store, and what it took."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil  # type: ignore[import-untyped]

from omegaprm.engine import ahead
from omegaprm.engine.bench.clock import Queues
from omegaprm.engine.bench.run import Run
from omegaprm.engine.config import SearchRule
from omegaprm.engine.judge.base import Judge
from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.policy.base import Policy
from omegaprm.engine.problems import read_problems
from omegaprm.engine.records import Estimate, Problem
from omegaprm.engine.scheduler import run_all
from omegaprm.engine.search import Search
from omegaprm.engine.store import Store


class Grown(NamedTuple):
    """Estimates (labelled states), rollouts, and seconds: on the wall, and of them in line for a core, here and in the
    engine's process. digest: of all estimates as they are stored."""

    num_estimates: int
    num_rollouts: int
    seconds: float
    in_line_seconds: float
    engine_in_line_seconds: float
    digest: str


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
    queues, began = Queues([os.getpid(), *_engine_pids()]), time.perf_counter()
    async with ahead.closing(search.ahead):
        await run_all(problems, search.grow, num_open, search.draining, 0)
    seconds, in_line = time.perf_counter() - began, queues.read()
    await judge.close()
    digest = hashlib.blake2b(b"".join(key + value for key, value in store.scan("estimates")), digest_size=8)
    store.close()
    shutil.rmtree(folder)
    here = in_line.pop(os.getpid())
    return Grown(len(estimates), sum(estimates), seconds, here, max(in_line.values(), default=0.0), digest.hexdigest())


def _engine_pids() -> list[int]:
    """The engine cores that this process has started."""
    children = psutil.Process().children(recursive=True)
    return [one.pid for one in children if "EngineCore" in one.name()]
