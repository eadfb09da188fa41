"""Resident memory of one open search: its tree, its coroutines and what waits with it, at 10,000 of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import cast

from omegaprm.engine.bench import scripted
from omegaprm.engine.bench.clock import machine, private_bytes, settle
from omegaprm.engine.bench.figures import Conditions, Measured
from omegaprm.engine.bench.resume import NUM_ROLLOUTS, NUM_TEMPLATES, RULE
from omegaprm.engine.bench.run import Run
from omegaprm.engine.records import Problem
from omegaprm.engine.store import Store, Write, pack, problem_key

NUM_SEARCHES = 10_000
REPORT_EVERY = 2_500


class TemplateStore:
    """Gives every problem the stored estimates of one of a few trees, so that 10 million rollouts need no disk."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        trees = scripted.open_trees(RULE, NUM_ROLLOUTS, NUM_TEMPLATES)
        self._packed = [[(b"", pack(estimate)) for estimate in tree] for tree in trees]
        self._tree_of = {problem_key(problem.id): at % NUM_TEMPLATES for at, problem in enumerate(problems)}

    def scan(self, table: str, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return iter(self._packed[self._tree_of[prefix]])

    def get(self, table: str, key: bytes) -> bytes | None:
        number = int.from_bytes(key[16:], "big")
        return self._packed[self._tree_of[key[:16]]][number][1]

    async def commit(self, writes: Sequence[Write]) -> None:
        raise AssertionError("a held search commits nothing")


async def measure(run: Run) -> Measured:
    """Every search is replayed by the product's own code and waits for its policy; measured once."""
    problems = scripted.problems(NUM_SEARCHES)
    store = cast(Store, TemplateStore(problems))
    policy = scripted.HeldPolicy(NUM_SEARCHES)
    search = scripted.search(store, RULE, policy)
    settle()
    before = private_bytes()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for at, problem in enumerate(problems, 1):
            tasks.append(group.create_task(search.grow(problem)))
            await asyncio.sleep(0)
            if at % REPORT_EVERY == 0:
                run.say(f"  {at} searches open")
        await policy.full.wait()
        settle()
        held = (private_bytes() - before) / NUM_SEARCHES
        for task in tasks:
            task.cancel()
    conditions: Conditions = {
        "searches_open": NUM_SEARCHES,
        "rollouts_a_search": NUM_ROLLOUTS,
        "steps_a_solution": f"{scripted.MIN_STEPS} to {scripted.MAX_STEPS}",
        "measured_by": "RssAnon of the process, before and after, once",
        "machine": machine(),
    }
    return Measured((held,), conditions)
