"""Tells systemd of the run, where systemd started it: READY, STATUS, STOPPING, and a watchdog beat.

The beat comes from the event loop itself, so that a loop that stands still misses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from omegaprm.engine.meter import Meter

STATUS_SECONDS = 5.0
BEATS = 3
"""Beats within the time after which systemd takes the run for hung."""


class Notifier:
    """A datagram socket to the service manager."""

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def send(self, *lines: str) -> None:
        """Send assignments; a service manager that is gone or busy is no reason to stop."""
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        self._socket.close()


def watchdog_seconds() -> float | None:
    """What the service manager allows between two beats; None where it looks for none of this process."""
    wanted = os.environ.get("WATCHDOG_USEC", "")
    if not wanted.isdigit() or int(wanted) == 0 or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(wanted) / 1e6


@asynccontextmanager
async def notified(meter: Meter) -> AsyncIterator[None]:
    """Tell the service manager while the body runs; does nothing where NOTIFY_SOCKET names none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        yield
        return
    notifier = Notifier(address)
    told = [asyncio.create_task(tell(notifier, meter)) for tell in (_ready, _stopping, _status)]
    limit = watchdog_seconds()
    if limit is not None:
        told.append(asyncio.create_task(_beat(notifier, limit / BEATS)))
    try:
        yield
    finally:
        for task in told:
            task.cancel()
        notifier.send("STOPPING=1", f"STATUS={meter.state}: {meter.line()}")
        notifier.close()


async def _ready(notifier: Notifier, meter: Meter) -> None:
    await meter.running.wait()
    notifier.send("READY=1", f"STATUS={meter.state}: {meter.line()}")


async def _stopping(notifier: Notifier, meter: Meter) -> None:
    await meter.draining.wait()
    notifier.send("STOPPING=1", f"STATUS={meter.state}: {meter.line()}")


async def _status(notifier: Notifier, meter: Meter) -> None:
    while True:
        notifier.send(f"STATUS={meter.state}: {meter.line()}")
        await asyncio.sleep(STATUS_SECONDS)


async def _beat(notifier: Notifier, seconds: float) -> None:
    while True:
        notifier.send("WATCHDOG=1")
        await asyncio.sleep(seconds)
