"""The bare engine's time for the very requests of a search, all submitted at once, over the search's time."""

from __future__ import annotations

import asyncio
import time

from omegaprm.engine.bench.clock import machine
from omegaprm.engine.bench.figures import Conditions, Measured
from omegaprm.engine.bench.growing import Grown, grow, seed_problems
from omegaprm.engine.bench.recording import Recorder, Request
from omegaprm.engine.bench.run import Run

WARM_UP_PROBLEMS = 8


async def measure(run: Run) -> Measured:
    """Search and bare engine by turns; each begins with an empty prefix cache."""
    recorder = await run.recorder()
    problems = seed_problems(run, run.config.num_problems)
    await grow(run, recorder.policy, problems[:WARM_UP_PROBLEMS], WARM_UP_PROBLEMS)
    values, details = [], []
    for _ in range(run.config.repeats):
        await recorder.forget()
        search = await grow(run, recorder.policy, problems, run.config.concurrency)
        search_tokens, requests = recorder.engine.num_tokens, list(recorder.engine.requests)
        await recorder.forget()
        bare_seconds, bare_tokens = await _bare(recorder, requests)
        values.append(bare_seconds / search.seconds)
        details.append(
            f"search {search.seconds:.1f} s, {search_tokens} tokens; bare {bare_seconds:.1f} s, {bare_tokens} tokens"
        )
        run.say(f"  {values[-1]:.3f}: {details[-1]}")
    return Measured(tuple(values), _conditions(run, search, len(requests)) | {"repeats": "; ".join(details)})


async def _bare(recorder: Recorder, requests: list[Request]) -> tuple[float, int]:
    """Seconds and sampled tokens of the same requests, all submitted at once."""

    async def one(number: int, request: Request) -> int:
        num_tokens = 0
        async for output in recorder.engine.bare.generate(request.prompt, request.sampling, f"bare-{number}"):
            num_tokens += sum(len(completion.token_ids) for completion in output.outputs)
        return num_tokens

    began = time.perf_counter()
    counts = await asyncio.gather(*(one(number, request) for number, request in enumerate(requests)))
    return time.perf_counter() - began, sum(counts)


def _conditions(run: Run, search: Grown, num_requests: int) -> Conditions:
    config = run.config
    return {
        "model": config.model.rpartition("/")[2],
        "problems": config.num_problems,
        "searches_open": config.concurrency,
        "k": config.num_rollouts,
        "rollout_budget": config.rollout_budget,
        "requests": num_requests,
        "rollouts": search.num_rollouts,
        "max_num_seqs": config.max_num_seqs,
        "kv_cache_gib": config.kv_cache_gib,
        "in_flight": str(config.in_flight),
        "machine": machine(),
    }
