"""A run's counts over time, kept in its store: what throughput and cost over time are drawn from.

Labels never depend on it. A sample lies in the table "meta" under "history/" and its time, so that samples of all
runs over a store lie in order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import msgspec

from engine.progress import Progress
from engine.store import Store, Write, pack, unpack

PREFIX = b"history/"
SAMPLE_SECONDS = 10.0
"""Between two samples: 50 bytes each."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """Counts since a run started; at and run are the times of the sample and of the run's start, in Unix seconds."""

    at: float
    run: float
    num_ended: int
    num_estimates: int
    num_rollouts: int
    num_tokens: int


@asynccontextmanager
async def kept(store: Store, progress: Progress, seconds: float = SAMPLE_SECONDS) -> AsyncIterator[None]:
    """Write a sample now, after every so many seconds while the body runs, and where it ends well."""
    started = time.time()

    async def sample() -> None:
        await store.commit([_write(_sample(progress, started))])

    await sample()
    task = asyncio.create_task(_repeat(sample, seconds))
    try:
        yield
    finally:
        task.cancel()
    await sample()


async def _repeat(sample: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await sample()


def _sample(progress: Progress, started: float) -> Sample:
    ended = progress.num_done + progress.num_quarantined
    return Sample(time.time(), started, ended, progress.num_estimates, progress.num_rollouts, progress.num_tokens)


def _write(sample: Sample) -> Write:
    return Write("meta", PREFIX + int(sample.at * 1e6).to_bytes(8, "big"), pack(sample))


def history(store: Store) -> Iterator[Sample]:
    """All samples, in the order of time."""
    for _, value in store.scan("meta", PREFIX):
        yield unpack(value, Sample)
