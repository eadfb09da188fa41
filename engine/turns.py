"""Turns of the event loop, shared out: of all that could go on at once, so much goes on before others are heard.

Without it a burst, such as the answers to thousands of requests, is worked off in one turn of the loop, and
signals, requests and the engine's own reader wait behind it for as long.
"""

from __future__ import annotations

import asyncio
from collections import deque

MAX_PER_TURN = 8
"""Passes a turn: the work behind one is half a millisecond, so that a turn stays near five."""


class Turns:
    """Lets MAX_PER_TURN callers pass in each turn of the loop, first come, first served."""

    def __init__(self, max_per_turn: int = MAX_PER_TURN) -> None:
        self._max = max_per_turn
        self._passed = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Return in this turn of the loop, or in the first one that has room."""
        if self._passed < self._max and not self._waiting:
            self._count(asyncio.get_running_loop())
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _count(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._passed:
            loop.call_soon(self._next, loop)
        self._passed += 1

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """A new turn: those who have waited longest pass first. One that was cancelled takes no place."""
        self._passed = 0
        while self._waiting and self._passed < self._max:
            future = self._waiting.popleft()
            if not future.done():
                self._count(loop)
                future.set_result(None)
