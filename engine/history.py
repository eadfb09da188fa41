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

from omegaprm.engine.meter import Meter
from omegaprm.engine.progress import Progress
from omegaprm.engine.snapshot import Snapshot
from omegaprm.engine.store import Store, Write, pack, unpack

PREFIX = b"history/"
SNAPSHOT_KEY = b"snapshot"
"""Under it lie all numbers of the run, as they were at its last sample."""
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
async def kept(
    store: Store, progress: Progress, seconds: float = SAMPLE_SECONDS, meter: Meter | None = None
) -> AsyncIterator[None]:
    """Write a sample now, after every so many seconds while the body runs, and where it ends well.

    With a meter its snapshot is written too, over the one before.
    """
    started = time.time()

    async def sample() -> None:
        writes = [_write(_sample(progress, started))]
        if meter is not None:
            writes.append(Write("meta", SNAPSHOT_KEY, pack(meter.snapshot())))
        await store.commit(writes)

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


def last_snapshot(store: Store) -> Snapshot | None:
    """The numbers of the run that writes the store, or of the last one that did; None where there was none."""
    value = store.get("meta", SNAPSHOT_KEY)
    return None if value is None else unpack(value, Snapshot)


def history(store: Store) -> Iterator[Sample]:
    """All samples, in the order of time."""
    for _, value in store.scan("meta", PREFIX):
        yield unpack(value, Sample)
