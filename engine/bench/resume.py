"""From opening a store until every open search of it has asked for its next estimate, a million rollouts."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from omegaprm.engine import journal
from omegaprm.engine.bench import scripted
from omegaprm.engine.bench.clock import Stopwatch, machine
from omegaprm.engine.bench.figures import Conditions, Measured
from omegaprm.engine.bench.run import Run
from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Estimate, Problem, ProblemRecord
from omegaprm.engine.store import Store, Write

NUM_ROLLOUTS = 992
"""Of each search: 62 estimates of 16."""
NUM_SEARCHES = 1008
NUM_TEMPLATES = 16
"""Trees that are grown; the searches have theirs from these, under other ids."""
RULE = SearchRule(rollout_budget=2 * NUM_ROLLOUTS)


async def measure(run: Run) -> Measured:
    folder = run.folder / "resume"
    problems = scripted.problems(NUM_SEARCHES)
    run.say(f"  writing a store of {NUM_SEARCHES * NUM_ROLLOUTS} rollouts")
    await _write(folder, problems)
    values = []
    for _ in range(run.config.repeats):
        values.append(await _resume(folder, problems) / (NUM_SEARCHES * NUM_ROLLOUTS) * 1e6)
        run.say(f"  {values[-1]:.2f} s a million rollouts")
    conditions: Conditions = {
        "rollouts": NUM_SEARCHES * NUM_ROLLOUTS,
        "searches": NUM_SEARCHES,
        "store_mb": round((folder / "data.mdb").stat().st_size / 1e6),
        "time": "wall less the time in line for a core",
        "machine": machine(),
    }
    shutil.rmtree(folder)
    return Measured(tuple(values), conditions)


async def _write(folder: Path, problems: list[Problem]) -> None:
    trees = scripted.open_trees(RULE, NUM_ROLLOUTS, NUM_TEMPLATES)
    store = Store.open(folder)
    try:
        for at, problem in enumerate(problems):
            await store.commit(_writes(problem, trees[at % NUM_TEMPLATES]))
    finally:
        store.close()


def _writes(problem: Problem, estimates: list[Estimate]) -> list[Write]:
    record = ProblemRecord(problem=problem, state="open", num_estimates=len(estimates), root=estimates[0].counts)
    return [journal.write_problem(record), *(journal.write_estimate(problem.id, estimate) for estimate in estimates)]


async def _resume(folder: Path, problems: list[Problem]) -> float:
    """Seconds until all searches wait for the policy."""
    watch = Stopwatch()
    store = Store.open(folder)
    try:
        policy = scripted.HeldPolicy(len(problems))
        search = scripted.search(store, RULE, policy)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(search.grow(problem)) for problem in problems]
            await policy.full.wait()
            seconds = watch.read().alone
            for task in tasks:
                task.cancel()
    finally:
        store.close()
    return seconds
