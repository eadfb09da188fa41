"""Many searches at once: at most a given number are open, and a drain leaves each after its current estimate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")

MAX_OPENED_AT_ONCE = 256
"""Lanes opened in one turn of the event loop, so that others get theirs in between."""


async def run_all(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[None]],
    concurrency: int,
    draining: asyncio.Event,
    drain_seconds: float,
) -> None:
    """Work on every item, at most concurrency of them open at once, taking items only as they are needed.

    Once draining is set no item is taken, and work under way has drain_seconds to come to an end by itself
    before it is cancelled. The first error of any work cancels the rest and is raised.
    """
    waiting = iter(items)
    none_waits = False

    async def lane() -> None:
        nonlocal none_waits
        while not draining.is_set() and (item := next(waiting, None)) is not None:
            await work(item)
        none_waits = True

    async def lanes() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(1, concurrency + 1):
                group.create_task(lane())
                if number % MAX_OPENED_AT_ONCE == 0:
                    await asyncio.sleep(0)
                    if none_waits:
                        return

    running = asyncio.create_task(lanes())
    alarm = asyncio.create_task(_cancel_after_drain(running, draining, drain_seconds))
    try:
        await _first_error(running)
    except asyncio.CancelledError:
        if not (draining.is_set() and running.done()):
            running.cancel()
            raise
    finally:
        alarm.cancel()


async def _first_error(running: asyncio.Task[None]) -> None:
    try:
        await running
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def _cancel_after_drain(running: asyncio.Task[None], draining: asyncio.Event, seconds: float) -> None:
    await draining.wait()
    await asyncio.sleep(seconds)
    running.cancel()
