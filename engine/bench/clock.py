"""Time as a program alone on the machine would have spent it, and the memory that is its own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

_TASKS = Path("/proc/self/task")
BEAT_SECONDS = 0.005
Threads = dict[str, tuple[float, float]]
"""Seconds on a core and in line for one, by thread."""


def in_line_seconds() -> dict[str, float]:
    """Time that each thread was ready and stood in line for a core, which other work had; empty where none tells."""
    found = {}
    for path in _TASKS.glob("*/schedstat"):
        with contextlib.suppress(OSError):
            found[path.parent.name] = int(path.read_bytes().split()[1]) / 1e9
    return found


def _longest(before: dict[str, float], now: dict[str, float]) -> float:
    """The thread that stood in line longest: others of this process may have waited for it, not for a core."""
    return max((seconds - before.get(thread, 0.0) for thread, seconds in now.items()), default=0.0)


class Queues:
    """Time that the busiest thread of each of some processes stands in line for a core, from when this is made."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._before = {pid: _threads(pid) for pid in pids}

    def read(self) -> dict[int, float]:
        return {pid: of_busiest(before, _threads(pid)) for pid, before in self._before.items()}


def of_busiest(before: Threads, now: Threads) -> float:
    """Seconds in line of the thread that ran most from before till now."""
    none = 0.0, 0.0
    spent = [
        (run - before.get(thread, none)[0], line - before.get(thread, none)[1]) for thread, (run, line) in now.items()
    ]
    return max(spent, default=none)[1]


def _threads(pid: int) -> Threads:
    """Seconds on a core and in line for one, by thread."""
    found = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            run, line, _ = path.read_bytes().split()
            found[path.parent.name] = int(run) / 1e9, int(line) / 1e9
    return found


@dataclass(frozen=True)
class Elapsed:
    """Seconds on the wall, in line for a core (the thread that waited most), and on cores (all threads)."""

    wall: float
    in_line: float
    cpu: float

    @property
    def alone(self) -> float:
        """Seconds it would have taken with a core always free for that thread."""
        return self.wall - self.in_line


@dataclass(frozen=True)
class Stopwatch:
    """Runs from when it is made."""

    _wall: float = field(default_factory=time.perf_counter)
    _in_line: dict[str, float] = field(default_factory=in_line_seconds)
    _cpu: float = field(default_factory=time.process_time)

    def read(self) -> Elapsed:
        wall = time.perf_counter() - self._wall
        return Elapsed(wall, _longest(self._in_line, in_line_seconds()), time.process_time() - self._cpu)


def machine() -> str:
    """The cores of this process and how busy the machine is."""
    return f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, nice {os.nice(0)}"


def private_bytes() -> int:
    """Resident memory that is this process's own: neither mapped files nor shared."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("the kernel does not tell RssAnon")


def settle() -> None:
    """Free what can be freed, so that resident memory is what is held."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncIterator[list[float]]:
    """Seconds by which the event loop was late for a beat every BEAT_SECONDS, time in line left out.

    A beat that was missed altogether counts as late too: one stall of a second is 200 late beats.
    """
    late: list[float] = []
    task = asyncio.create_task(_beat(late))
    try:
        yield late
    finally:
        task.cancel()


async def _beat(late: list[float]) -> None:
    while True:
        watch = Stopwatch()
        await asyncio.sleep(BEAT_SECONDS)
        behind = max(watch.read().alone - BEAT_SECONDS, 0.0)
        late.append(behind)
        late.extend(behind - at * BEAT_SECONDS for at in range(1, int(behind / BEAT_SECONDS) + 1))


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]
