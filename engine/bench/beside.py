"""Knobs beside the inference engine, on scripted parts: commits on a slow disk, comparisons, an endpoint's judging."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from omegaprm.engine.bench import scripted
from omegaprm.engine.bench.clock import Stopwatch
from omegaprm.engine.bench.endpoint import MODEL, JudgeEndpoint
from omegaprm.engine.config import SearchRule
from omegaprm.engine.judge.endpoint import Endpoint
from omegaprm.engine.judge.llm import LlmRule
from omegaprm.engine.judge.math_rule import MathVerify
from omegaprm.engine.records import Estimate, Problem
from omegaprm.engine.scheduler import run_all
from omegaprm.engine.store import Store
from omegaprm.engine.store.database import Database, Write

SYNC_SECONDS = 0.02
"""What a sync takes more than on the disk itself, as on a slow one."""
ANSWER_SECONDS = 0.5
"""The policy's mean time for an answer, spread from none to twice that."""
NUM_SEARCHES, BUDGET = 256, 160
WINDOWS_MS = (0.0, 5.0, 20.0, 100.0)
NUM_COMPARISONS, WORKERS = 400, (1, 2, 4)
JUDGE_SECONDS, NUM_ANSWERS, JUDGE_CONCURRENCY = 0.2, 640, (32, 8, 128)


class Row(NamedTuple):
    """A setting beside the plain one of its turn, the first."""

    knob: str
    setting: str
    rate: str
    ratio: float
    stored: str = ""

    def text(self) -> str:
        return f"| {self.knob} | {self.setting} | {self.rate} | {self.ratio:.2f} | {self.stored} |"


async def windows(folder: Path) -> AsyncIterator[Row]:
    """--commit-window-ms where each sync takes SYNC_SECONDS more."""
    plain = 0.0
    for window_ms in WINDOWS_MS:
        num_syncs, num_estimates, seconds = await _grow(folder / f"window-{window_ms}", window_ms / 1000)
        rate = num_estimates / seconds
        plain = plain or rate
        yield Row(
            "commit-window-ms, slow disk",
            f"{window_ms:g}",
            f"{rate:.0f} estimates/s, {num_estimates / num_syncs:.1f} a sync",
            rate / plain,
        )


async def _grow(folder: Path, window_seconds: float) -> tuple[int, int, float]:
    """Syncs, estimates and seconds of a whole run of scripted searches."""
    rng, num_syncs, estimates = random.Random(0), 0, list[Estimate]()
    write = Database.write

    def slow_write(database: Database, writes: Iterable[Write]) -> None:
        nonlocal num_syncs
        num_syncs += 1
        time.sleep(SYNC_SECONDS)
        write(database, writes)

    async def pause() -> None:
        await asyncio.sleep(2 * ANSWER_SECONDS * rng.random())

    with mock.patch.object(Database, "write", slow_write):
        store = Store.open(folder, window_seconds=window_seconds)
        search = scripted.search(
            store, SearchRule(rollout_budget=BUDGET), scripted.ScriptedPolicy(pause), estimates.append
        )
        watch = Stopwatch()
        await run_all(scripted.problems(NUM_SEARCHES), search.grow, NUM_SEARCHES, search.draining, 0)
        seconds = watch.read().wall
        store.close()
    return num_syncs, len(estimates), seconds


async def workers(folder: Path) -> AsyncIterator[Row]:
    """--math-verify-workers on comparisons that exact rules cannot tell."""
    plain = 0.0
    for num in WORKERS:
        rule = MathVerify(num, 30.0)
        await asyncio.gather(*(rule.compare("(x+1)^2", f"x^2+2x+1+{at}-{at}") for at in range(num)))
        watch = Stopwatch()
        await asyncio.gather(
            *(rule.compare(f"(x+{at})^2", f"x^2+{2 * at}x+{at * at}") for at in range(NUM_COMPARISONS))
        )
        rate = NUM_COMPARISONS / watch.read().wall
        await rule.close()
        plain = plain or rate
        yield Row("math-verify-workers", str(num), f"{rate:.0f} comparisons/s", rate / plain)


async def judging(folder: Path) -> AsyncIterator[Row]:
    """--judge-concurrency at an endpoint that takes JUDGE_SECONDS for a reply."""
    plain, server = 0.0, JudgeEndpoint()
    try:
        for num in JUDGE_CONCURRENCY:
            endpoint = await Endpoint.start(
                server.url(JUDGE_SECONDS), MODEL, None, concurrency=num, patience_seconds=60, request_seconds=60
            )
            rule = LlmRule(endpoint, "mmprm", 3, 8)
            problem = Problem(id="p", question="What is 1?", correct_answer="1")
            watch = Stopwatch()
            await asyncio.gather(*(rule.compare(problem, str(at)) for at in range(NUM_ANSWERS)))
            rate = NUM_ANSWERS / watch.read().wall
            await rule.close()
            plain = plain or rate
            yield Row("judge-concurrency", str(num), f"{rate:.0f} answers/s", rate / plain)
    finally:
        server.close()


BESIDE: dict[str, Callable[[Path], AsyncIterator[Row]]] = {
    "commit-window-ms, slow disk": windows,
    "math-verify-workers": workers,
    "judge-concurrency": judging,
}
"""By name; the first setting of each is the flag's default."""
