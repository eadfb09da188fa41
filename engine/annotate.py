"""bin/annotate: OmegaPRM over seed problems into a store; the same command resumes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from omegaprm.engine import ahead, history, journal, log
from omegaprm.engine.collector import rare_collections
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.display import shown
from omegaprm.engine.errors import Drained
from omegaprm.engine.fingerprint import fingerprint, later_defaults, refuse_older_prompts
from omegaprm.engine.judge.base import Judge
from omegaprm.engine.lifecycle import drain_on_signal, in_thread, unless_draining
from omegaprm.engine.meter import Meter
from omegaprm.engine.opening import read_seeds, start_enduring, start_policy
from omegaprm.engine.orphans import end_orphans
from omegaprm.engine.policy.base import Policy
from omegaprm.engine.problems import SeedSet
from omegaprm.engine.progress import Progress
from omegaprm.engine.prompt_date import settled, stands_for
from omegaprm.engine.records import Problem, ProblemState
from omegaprm.engine.reporting import reported
from omegaprm.engine.scheduler import run_all
from omegaprm.engine.search import search_under
from omegaprm.engine.status import REJECTED_KEY
from omegaprm.engine.store import Store, StoreDamaged, Write
from omegaprm.engine.verdicts import StoredVerdicts
from omegaprm.engine.watchdog import watched

StartPolicy = Callable[[AnnotateConfig], Awaitable[Policy]]
StartJudge = Callable[[AnnotateConfig, Store], Awaitable[Judge]]


async def start_judge(config: AnnotateConfig, store: Store) -> Judge:
    from omegaprm.engine.judge.opening import start_cascade

    return await start_cascade(config, StoredVerdicts(store))


def annotate(config: AnnotateConfig, policy_of: StartPolicy = start_policy, judge_of: StartJudge = start_judge) -> None:
    """Run the daemon to its end; raises Drained where a signal stopped it first."""
    asyncio.run(_annotate(config, policy_of, judge_of))


async def _annotate(config: AnnotateConfig, policy_of: StartPolicy, judge_of: StartJudge) -> None:
    draining = asyncio.Event()
    with drain_on_signal(draining):
        async with reported(config, draining) as meter:
            seeds = await unless_draining(draining, in_thread(lambda: read_seeds(config)))
            if config.dry_run:
                await _try_out(config, seeds, policy_of, judge_of, meter)
                return
            parts = _parts(config, seeds, draining, policy_of, judge_of)
            async with parts as (store, policy, judge), watched(config.stall_seconds):
                await grow_all(config, seeds, store, policy, judge, meter)


async def _try_out(
    config: AnnotateConfig, seeds: SeedSet, policy_of: StartPolicy, judge_of: StartJudge, meter: Meter
) -> None:
    from omegaprm.engine.dry_run import dry_run

    policy = await unless_draining(meter.draining, start_enduring(config, policy_of))
    try:
        async with watched(config.stall_seconds):
            await dry_run(config, seeds, policy, judge_of, meter)
    finally:
        await policy.close()


@asynccontextmanager
async def _parts(
    config: AnnotateConfig, seeds: SeedSet, draining: asyncio.Event, policy_of: StartPolicy, judge_of: StartJudge
) -> AsyncIterator[tuple[Store, Policy, Judge]]:
    """Open the store first, so that a store held or made otherwise is known before a model is loaded."""
    store = Store.open(Path(config.store), window_seconds=config.commit_window_ms / 1000)
    try:
        refuse_older_prompts(store, config.store)
        dated = settled(config, store.fingerprint())
        named = await unless_draining(draining, in_thread(lambda: fingerprint(dated, seeds)))
        store.bind(named, {**later_defaults(), **stands_for(config, named)})
        end_orphans(Path(config.store))
        policy = await unless_draining(draining, start_enduring(dated, policy_of))
        try:
            judge = await unless_draining(draining, judge_of(config, store))
            try:
                yield store, policy, judge
            finally:
                await judge.close()
        finally:
            await policy.close()
    finally:
        store.close()


async def grow_all(
    config: AnnotateConfig,
    seeds: SeedSet,
    store: Store,
    policy: Policy,
    judge: Judge,
    meter: Meter,
) -> None:
    """Grow every tree that the store does not hold finished; Drained where a signal came first."""
    await store.commit([Write("meta", REJECTED_KEY, msgspec.msgpack.encode(seeds.rejected))])
    states = {problem.id: _state(store, problem) for problem in seeds.problems}
    progress = _progress(seeds, states)
    search = search_under(config, policy, judge, store, progress, meter.draining, ahead.of(config, policy))

    async def grow(problem: Problem) -> None:
        with progress.opened():
            await search.grow(problem, seeds.image_digests.get(problem.id, ()))

    waiting = [problem for problem in seeds.problems if states[problem.id] == "open"]
    meter.run(progress, policy, judge)
    async with history.kept(store, progress, meter=meter), shown(meter):
        with rare_collections(), meter.until_end():
            async with ahead.closing(search.ahead):
                await run_all(waiting, grow, config.concurrency, meter.draining, config.drain_seconds)
    if progress.num_ended < len(seeds.problems):
        raise Drained(f"stopped on a signal with everything saved ({meter.line()}); run the same command again")
    _report(store, seeds)


def _progress(seeds: SeedSet, states: Mapping[str, ProblemState]) -> Progress:
    """What earlier runs have done counts as done."""
    count = Counter(states.values())
    return Progress(
        len(seeds.problems),
        len(seeds.problems) - count["open"],
        num_quarantined_before=count["quarantined"],
        num_rejected=len(seeds.rejected),
    )


def _state(store: Store, problem: Problem) -> ProblemState:
    """A damaged record is as none: it follows from the problem and its estimates, and is written anew from them."""
    try:
        record = journal.problem_record(store, problem.id)
    except StoreDamaged as error:
        log.tell("damaged", f"{error}; it is made again from its estimates", id=problem.id)
        return "open"
    return "open" if record is None else record.state


def _report(store: Store, seeds: SeedSet) -> None:
    quarantined = [record for record in journal.problem_records(store) if record.state == "quarantined"]
    for record in quarantined[:10]:
        message = f"quarantined {record.problem.id}: {record.reason}"
        log.tell("quarantined", message, id=record.problem.id, reason=record.reason)
    print(
        f"done: {len(seeds.problems) - len(quarantined)} problems, {len(quarantined)} quarantined, "
        f"{len(seeds.rejected)} seed rows rejected"
    )
