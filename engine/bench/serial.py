"""Labelled states a second, this engine against the peers' schedule on the same model.

The peers' schedule (MM-PRM's): one question at a time, its samples as one batch, then a request over HTTP about each
answer, up to 32 at once, and nothing else until all are back. The endpoint is on loopback, in a process of its own; it
decides by the exact rules at once, or after --serial-judge-seconds. This engine decides by the same rules in process;
where the judge takes time, it is also measured asking that very endpoint.
"""

from __future__ import annotations

import msgspec

from omegaprm.engine.bench.clock import machine
from omegaprm.engine.bench.endpoint import HttpJudge, JudgeEndpoint
from omegaprm.engine.bench.figures import Conditions, Measured
from omegaprm.engine.bench.growing import Grown, grow, seed_problems
from omegaprm.engine.bench.run import Run
from omegaprm.engine.config import SearchRule


async def measure(run: Run) -> Measured:
    """Serial and concurrent by turns; each begins with an empty prefix cache."""
    endpoint = JudgeEndpoint()
    try:
        turns = [await _turn(run, endpoint) for _ in range(run.config.repeats)]
    finally:
        endpoint.close()
    values, details = zip(*turns, strict=True)
    return Measured(values, _conditions(run) | {"repeats": "; ".join(details)})


async def _turn(run: Run, endpoint: JudgeEndpoint) -> tuple[float, str]:
    """The figure once, and what it was made of."""
    config, recorder = run.config, await run.recorder()
    seconds, problems = config.serial_judge_seconds, seed_problems(run, config.num_problems)
    rule = msgspec.structs.replace(
        config.part(SearchRule), num_rollouts=config.serial_rollouts, rollout_budget=config.serial_budget
    )

    async def rate(num: int, num_open: int, judge: HttpJudge | None) -> tuple[float, Grown]:
        await recorder.forget()
        grown = await grow(run, recorder.policy, problems[:num], num_open, judge, rule)
        return grown.num_estimates / grown.seconds, grown

    serial, _ = await rate(config.num_serial_problems, 1, HttpJudge(endpoint, seconds))
    ours, grown = await rate(config.num_problems, config.concurrency, None)
    detail = f"serial {serial:.2f} labels/s, {grown.num_estimates} labels at {ours:.2f} labels/s"
    if seconds:
        asking, _ = await rate(config.num_problems, config.concurrency, HttpJudge(endpoint, seconds))
        detail += f", asking over HTTP too {asking:.2f} labels/s"
    run.say(f"  {ours / serial:.1f}: {detail}")
    return ours / serial, detail


def _conditions(run: Run) -> Conditions:
    config = run.config
    return {
        "model": config.model.rpartition("/")[2],
        "problems": config.num_problems,
        "serial_problems": config.num_serial_problems,
        "searches_open": config.concurrency,
        "k": config.serial_rollouts,
        "rollout_budget": config.serial_budget,
        "judge": "serial: HTTP on loopback, 32 at once, no language model; ours: the rules in process",
        "judge_seconds": config.serial_judge_seconds,
        "machine": machine(),
    }
