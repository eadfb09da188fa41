"""Group commit: whatever waits goes to disk in one transaction, and each waiter hears of it once it is there.

A single thread writes. After the first failure nothing is written any more and everyone who waits or comes is
told, because what a failed sync has left on disk is not known.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from omegaprm.engine.errors import StoreFailed
from omegaprm.engine.store.database import Database, Write

MAX_BATCH_BYTES = 32 << 20
"""A batch is cut here: a backlog neither fills memory with dirty pages nor keeps the first waiting."""
MAX_WOKEN_AT_ONCE = 8
"""Waiters woken in one turn of the event loop, so that others get theirs in between: each applies its estimate."""

Future: TypeAlias = "asyncio.Future[None] | concurrent.futures.Future[None]"


class Pending(NamedTuple):
    """Writes that belong together, and who waits for them."""

    writes: Sequence[Write]
    future: Future


class GroupCommit:
    """The writer thread of a database."""

    def __init__(self, database: Database, window_seconds: float = 0.0) -> None:
        self._database = database
        self._window_seconds = window_seconds
        self._queue: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, writes: Sequence[Write], future: Future) -> None:
        """Queue writes; the future ends when they are on disk, or with StoreFailed. It may be cancelled."""
        with self._gate:
            if self._closed or self._failure:
                raise StoreFailed(self._failure or f"the store {self._database.folder} is closed")
            self._queue.put(Pending(writes, future))

    def close(self) -> None:
        """Write what is queued, then end the thread."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        last = False
        while not last:
            batch, last = self._next_batch()
            if batch:
                self._write(batch)
                _settle(batch, self._failure)

    def _next_batch(self) -> tuple[list[Pending], bool]:
        """All that is queued, at least one; and whether it is the last."""
        batch: list[Pending] = []
        num_bytes = 0
        pending = self._queue.get()
        if pending is not None and self._window_seconds:
            time.sleep(self._window_seconds)
        while pending is not None:
            batch.append(pending)
            num_bytes += sum(len(write.value) for write in pending.writes)
            if num_bytes >= MAX_BATCH_BYTES:
                return batch, False
            try:
                pending = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _write(self, batch: list[Pending]) -> None:
        """Write one batch; any error at all becomes the store's failure, or waiters would wait for ever."""
        if self._failure:
            return
        try:
            self._database.write(write for pending in batch for write in pending.writes)
        except Exception as error:
            self._failure = f"the store {self._database.folder} cannot be written: {error}"


def _settle(batch: list[Pending], failure: str | None) -> None:
    """End the futures of a batch, with one call into each event loop."""
    waiting: defaultdict[asyncio.AbstractEventLoop, list[Future]] = defaultdict(list)
    for _, future in batch:
        if isinstance(future, asyncio.Future):
            waiting[future.get_loop()].append(future)
        else:
            _end(future, failure)
    for loop, futures in waiting.items():
        try:
            loop.call_soon_threadsafe(_wake, loop, futures, failure)
        except RuntimeError:
            continue  # The loop is closed: those who waited are gone with it.


def _wake(loop: asyncio.AbstractEventLoop, futures: list[Future], failure: str | None) -> None:
    for future in futures[:MAX_WOKEN_AT_ONCE]:
        _end(future, failure)
    if len(futures) > MAX_WOKEN_AT_ONCE:
        loop.call_soon(_wake, loop, futures[MAX_WOKEN_AT_ONCE:], failure)


def _end(future: Future, failure: str | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(StoreFailed(failure))
