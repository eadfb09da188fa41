"""The watchdog of the event loop: a loop that stands still is told on stderr, with the stack it stands in."""

from __future__ import annotations

import asyncio
import faulthandler
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from omegaprm.engine import log

BEATS = 4
"""Times that the loop is looked after within the time that counts as a stall."""


@asynccontextmanager
async def watched(stall_seconds: float) -> AsyncIterator[None]:
    """Watch the running loop while the body runs; 0 watches nothing.

    The stacks are written by faulthandler from a thread of its own, which needs neither the loop nor the
    interpreter's lock: also a stall inside a library is shown while it lasts.
    """
    if not stall_seconds:
        yield
        return
    beating = asyncio.create_task(_beat(stall_seconds))
    try:
        yield
    finally:
        beating.cancel()
        faulthandler.cancel_dump_traceback_later()


async def _beat(stall_seconds: float) -> None:
    """Put the alarm off again and again; whoever keeps the loop longer than stall_seconds lets it ring."""
    while True:
        faulthandler.dump_traceback_later(stall_seconds, file=sys.__stderr__ or 2)
        before = time.monotonic()
        await asyncio.sleep(stall_seconds / BEATS)
        stood_still = time.monotonic() - before
        if stood_still >= stall_seconds:
            log.tell(
                "stalled",
                f"watchdog: the event loop stood still for {stood_still:.1f} s, in the stack above that says "
                '"most recent call first"',
            )
