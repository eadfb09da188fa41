"""The event loop at full load: everything between engine and disk, with a policy and a judge that cost nothing."""

from __future__ import annotations

import shutil

from omegaprm.engine.bench import scripted
from omegaprm.engine.bench.clock import Elapsed, Stopwatch, heartbeat, machine, percentile
from omegaprm.engine.bench.figures import Conditions, Measured
from omegaprm.engine.bench.run import Run
from omegaprm.engine.collector import rare_collections
from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Estimate
from omegaprm.engine.scheduler import run_all
from omegaprm.engine.store import Store

RATE_PROBLEMS, RATE_OPEN, RATE_BUDGET = 512, 512, 208
LAG_PROBLEMS, LAG_OPEN, LAG_BUDGET = 4096, 4096, 48


async def measure_rate(run: Run) -> Measured:
    """Rollouts judged, committed and applied in a second."""
    values, details = [], []
    for _ in range(run.config.repeats):
        num_rollouts, elapsed = await _grow(run, RATE_PROBLEMS, RATE_OPEN, RATE_BUDGET)
        values.append(num_rollouts / elapsed.alone)
        details.append(
            f"{num_rollouts / elapsed.wall:.0f}/s on the wall, {num_rollouts / elapsed.cpu:.0f} a CPU second"
        )
        run.say(f"  {values[-1]:.0f} rollouts/s; {details[-1]}")
    return Measured(tuple(values), _conditions(RATE_OPEN, RATE_BUDGET) | {"repeats": "; ".join(details)})


async def measure_lag(run: Run) -> Measured:
    """How late the loop is for a beat, 99th percentile, from the first search to the last."""
    values = []
    for _ in range(run.config.repeats):
        async with heartbeat() as late:
            num_rollouts, elapsed = await _grow(run, LAG_PROBLEMS, LAG_OPEN, LAG_BUDGET)
        values.append(1000 * percentile(late, 0.99))
        run.say(
            f"  p50 {1000 * percentile(late, 0.5):.1f} ms, p99 {values[-1]:.1f} ms, "
            f"most {1000 * max(late):.1f} ms at {num_rollouts / elapsed.alone:.0f} rollouts/s"
        )
    return Measured(tuple(values), _conditions(LAG_OPEN, LAG_BUDGET))


def _conditions(num_open: int, budget: int) -> Conditions:
    return {
        "searches_open": num_open,
        "rollouts_a_search": budget,
        "k": SearchRule().num_rollouts,
        "policy": "scripted, answers at once",
        "commits": "durable",
        "time": "wall less the time in line for a core",
        "machine": machine(),
    }


async def _grow(run: Run, num_problems: int, num_open: int, budget: int) -> tuple[int, Elapsed]:
    """Rollouts and time of a whole run into a fresh store."""
    num_rollouts = 0

    def on_estimate(estimate: Estimate) -> None:
        nonlocal num_rollouts
        num_rollouts += len(estimate.rollouts)

    folder = run.folder / "loop"
    store = Store.open(folder)
    search = scripted.search(store, SearchRule(rollout_budget=budget), scripted.ScriptedPolicy(), on_estimate)
    watch = Stopwatch()
    with rare_collections():
        await run_all(scripted.problems(num_problems), search.grow, num_open, search.draining, 0)
    elapsed = watch.read()
    store.close()
    shutil.rmtree(folder)
    return num_rollouts, elapsed
