"""Requests that wait together are scored together; how many may wait is bounded, and each gets its own scores."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from omegaprm.engine.errors import EngineDied, OmegaprmError
from omegaprm.evaluator.scoring import StepScorer

if TYPE_CHECKING:
    from omegaprm.evaluator.scorer import Item

Scores = list[list[float]]


class Full(Exception):
    """More solutions would wait than may."""


class _Request:
    """Solutions of one caller and the future of their scores."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.scores: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()


class Batcher:
    """Scores in one thread, one batch at a time: all that waits, up to max_batch solutions.

    A failure reaches the request that caused it alone. EngineDied is for ever: `died` is set then, and every
    request fails with it. on_batch is told the size of each batch.
    """

    def __init__(
        self, scorer: StepScorer, max_batch: int, max_waiting: int, on_batch: Callable[[int], None] = lambda num: None
    ) -> None:
        self.num_waiting = 0
        self.died = asyncio.Event()
        self._scorer = scorer
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._on_batch = on_batch
        self._requests: deque[_Request] = deque()
        self._arrived = asyncio.Event()
        self._task = asyncio.create_task(self._work())

    async def score(self, items: Sequence[Item]) -> Scores:
        """Scores of some solutions, in order. Full, EngineDied, BadInput; cancelling gives the place up."""
        if self.died.is_set():
            raise EngineDied("the scorer has died")
        if self.num_waiting + len(items) > self._max_waiting:
            raise Full
        request = _Request(items)
        self._requests.append(request)
        self.num_waiting += len(items)
        self._arrived.set()
        return await request.scores

    async def close(self) -> None:
        """End at once; those who wait are cancelled."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for request in self._requests:
            request.scores.cancel()

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._take()
            if batch:
                await self._score(batch)
            else:
                self._arrived.clear()

    def _take(self) -> list[_Request]:
        """Requests that are still wanted, the first of them whole whatever its size."""
        batch: list[_Request] = []
        size = 0
        while self._requests and (not batch or size + len(self._requests[0].items) <= self._max_batch):
            request = self._requests.popleft()
            self.num_waiting -= len(request.items)
            if not request.scores.done():
                batch.append(request)
                size += len(request.items)
        return batch

    async def _score(self, batch: list[_Request]) -> None:
        items = [item for request in batch for item in request.items]
        self._on_batch(len(items))
        try:
            found = iter(await asyncio.to_thread(self._scorer.score_many, items))
        except OmegaprmError as error:
            await self._fail(batch, error)
            return
        for request in batch:
            scores = [next(found) for _ in request.items]
            if not request.scores.done():
                request.scores.set_result(scores)

    async def _fail(self, batch: list[_Request], error: OmegaprmError) -> None:
        if len(batch) > 1 and not isinstance(error, EngineDied):
            for request in batch:
                await self._score([request])
            return
        if isinstance(error, EngineDied):
            self.died.set()
        for request in [*batch, *(self._requests if self.died.is_set() else ())]:
            if not request.scores.done():
                request.scores.set_exception(error)
