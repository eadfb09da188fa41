"""Signals: the first asks a run to drain, the second makes it leave at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

from engine.errors import Drained

DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


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
