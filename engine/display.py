"""Shows a run on stderr while it goes on: a screen on a terminal, JSON lines where asked for, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from omegaprm.engine import log
from omegaprm.engine.meter import Meter

PLAIN_SECONDS = 5.0
TERMINAL_SECONDS = 0.5


@asynccontextmanager
async def shown(meter: Meter) -> AsyncIterator[None]:
    """Show the run while the body runs, and its last state in one line, or JSON object, at the end."""
    showing = _drawn(meter) if _draws() else _repeated(lambda: report(meter), PLAIN_SECONDS)
    try:
        async with showing:
            yield
    finally:
        report(meter)


def _draws() -> bool:
    if log.in_json() or not sys.stderr.isatty():
        return False
    from rich.console import Console

    return not Console(stderr=True).is_dumb_terminal


def report(meter: Meter) -> None:
    """One line, or one JSON object with every number."""
    log.tell("progress", meter.line(), **(msgspec.structs.asdict(meter.snapshot()) if log.in_json() else {}))


@asynccontextmanager
async def _drawn(meter: Meter) -> AsyncIterator[None]:
    from rich.console import Console

    from omegaprm.engine.screen import live, screen

    with live(Console(stderr=True)) as drawing:
        async with _repeated(lambda: drawing.update(screen(meter.snapshot()), refresh=True), TERMINAL_SECONDS):
            yield


@asynccontextmanager
async def shown_line(line: Callable[[], str]) -> AsyncIterator[None]:
    """Show one line while the body runs, in place on a terminal, and its last state at the end."""
    terminal = sys.stderr.isatty()

    def show() -> None:
        _write("\r\x1b[K" + line() if terminal else line() + "\n")

    try:
        async with _repeated(show, TERMINAL_SECONDS if terminal else PLAIN_SECONDS):
            yield
    finally:
        _write(("\r\x1b[K" if terminal else "") + line() + "\n")


def _write(text: str) -> None:
    """Whoever shows goes on where nobody looks any more."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


@asynccontextmanager
async def _repeated(show: Callable[[], None], seconds: float) -> AsyncIterator[None]:
    async def keep_showing() -> None:
        while True:
            show()
            await asyncio.sleep(seconds)

    task = asyncio.create_task(keep_showing())
    try:
        yield
    finally:
        task.cancel()
