"""Signals: the first asks a run to drain, the second makes it leave at once; whatever was acknowledged stays."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import NoReturn, TypeVar

from omegaprm.engine.errors import Drained

T = TypeVar("T")

DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

_left_behind: list[threading.Thread] = []


@contextlib.contextmanager
def drain_on_signal(draining: asyncio.Event) -> Iterator[None]:
    """Set draining at the first of DRAIN_SIGNALS; cancel the task that entered here at the second.

    The cancellation surfaces as Drained: whatever was acknowledged is on disk, so leaving is always safe.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    left_at_once = False

    def on_signal() -> None:
        nonlocal left_at_once
        if draining.is_set():
            left_at_once = True
            task.cancel()
        draining.set()

    for number in DRAIN_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    except asyncio.CancelledError:
        if left_at_once:
            task.uncancel()
            raise Drained("left at once on a second signal; run the same command to go on") from None
        raise
    finally:
        for number in DRAIN_SIGNALS:
            loop.remove_signal_handler(number)


async def unless_draining(draining: asyncio.Event, work: Awaitable[T]) -> T:
    """What work gives; where draining is set before, the work is cancelled and Drained raised."""
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(draining.wait())
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        raise Drained("stopped on a signal before the first estimate; run the same command again")
    finally:
        alarm.cancel()
        task.cancel()


async def in_thread(function: Callable[[], T]) -> T:
    """What a function gives, run in a thread of its own. Cancelled, it is left behind (see leave)."""
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()

    def body() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    try:
        return await asyncio.wrap_future(outcome)
    except asyncio.CancelledError:
        _left_behind.append(thread)
        raise


def leave(exit_code: int) -> NoReturn:
    """End the process; one whose threads were left behind does not wait for them."""
    sys.stdout.flush()
    sys.stderr.flush()
    if any(thread.is_alive() for thread in _left_behind):
        os._exit(exit_code)
    raise SystemExit(exit_code)


@contextlib.contextmanager
def leave_on_signal() -> Iterator[None]:
    """Raise Drained at the first of DRAIN_SIGNALS, for work that is whole at any moment and has nothing to drain."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        for other in DRAIN_SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        raise Drained(f"stopped on {signal.Signals(number).name} with no file half written; run the same command again")

    before = {number: signal.signal(number, on_signal) for number in DRAIN_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
