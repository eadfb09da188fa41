"""The scheduler opens no more than it may, drains without losing work, and lets errors out."""

from __future__ import annotations

import asyncio

import pytest

from omegaprm.engine.errors import EngineDied
from omegaprm.engine.scheduler import run_all


class Work:
    """Counts what is open; each piece takes the given number of turns of the loop."""

    def __init__(self, turns: int = 3) -> None:
        self.turns = turns
        self.open = self.most_open = 0
        self.done: list[int] = []
        self.full = asyncio.Event()

    async def __call__(self, item: int) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        if self.open == 5:
            self.full.set()
        try:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            self.done.append(item)
        finally:
            self.open -= 1


async def test_every_item_is_worked_on_once_and_no_more_than_allowed_are_open():
    work = Work()
    await run_all(range(100), work, 7, asyncio.Event(), 1)
    assert sorted(work.done) == list(range(100))
    assert work.most_open == 7


async def test_far_more_places_than_items_cost_nothing():
    work = Work()
    await asyncio.wait_for(run_all(range(100), work, 10**9, asyncio.Event(), 1), timeout=5)
    assert sorted(work.done) == list(range(100))


async def test_items_are_taken_only_as_they_are_needed():
    taken = 0

    def items():
        nonlocal taken
        for number in range(10):
            taken += 1
            yield number

    seen: list[int] = []

    async def work(item: int) -> None:
        seen.append(taken)
        await asyncio.sleep(0)

    await run_all(items(), work, 2, asyncio.Event(), 1)
    assert max(ahead - at for at, ahead in enumerate(seen)) <= 2


async def test_a_drain_takes_no_new_item_and_lets_open_ones_end():
    draining = asyncio.Event()
    work = Work()

    async def watched(item: int) -> None:
        if item == 10:
            draining.set()
        await work(item)

    await run_all(range(100), watched, 4, draining, 10)
    assert work.open == 0
    assert 10 in work.done
    assert len(work.done) <= 14


async def test_work_that_outlasts_the_drain_is_cancelled():
    draining = asyncio.Event()
    cancelled = asyncio.Event()

    async def stuck(item: int) -> None:
        draining.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await asyncio.wait_for(run_all(range(3), stuck, 2, draining, 0.05), 5)
    assert cancelled.is_set()


async def test_the_first_error_ends_all_work_and_is_raised_as_it_is():
    work = Work(turns=1000)

    async def failing(item: int) -> None:
        if item == 3:
            raise EngineDied("gone")
        await work(item)

    with pytest.raises(EngineDied, match="gone"):
        await run_all(range(100), failing, 8, asyncio.Event(), 1)
    assert work.open == 0
    assert work.done == []


async def test_cancelling_the_run_cancels_the_work():
    work = Work(turns=10**9)
    task = asyncio.create_task(run_all(range(5), work, 5, asyncio.Event(), 1))
    await work.full.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(5):
        await asyncio.sleep(0)
    assert work.open == 0
