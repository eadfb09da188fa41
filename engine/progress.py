"""Progress of a long run: a live line on a terminal, plain lines with an ETA everywhere else."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from engine.records import Estimate, ProblemRecord

PLAIN_SECONDS = 5.0
TERMINAL_SECONDS = 0.5


@dataclass
class Progress:
    """Counts of this run; problems ended by earlier runs are in num_ended_before."""

    num_problems: int
    num_ended_before: int = 0
    clock: Callable[[], float] = time.monotonic
    num_done: int = 0
    num_quarantined: int = 0
    num_estimates: int = 0
    num_rollouts: int = 0
    num_tokens: int = 0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def on_estimate(self, estimate: Estimate) -> None:
        self.num_estimates += 1
        self.num_rollouts += len(estimate.rollouts)
        self.num_tokens += sum(rollout.num_tokens for rollout in estimate.rollouts)

    def on_end(self, record: ProblemRecord) -> None:
        if record.state == "quarantined":
            self.num_quarantined += 1
        else:
            self.num_done += 1

    @property
    def seconds(self) -> float:
        return max(self.clock() - self.started, 1e-9)

    @property
    def num_ended(self) -> int:
        return self.num_ended_before + self.num_done + self.num_quarantined

    @property
    def eta_seconds(self) -> float | None:
        """Time left at this run's pace; None before its first problem has ended."""
        ended = self.num_done + self.num_quarantined
        return (self.num_problems - self.num_ended) * self.seconds / ended if ended else None

    def line(self) -> str:
        """The state of the run in one line."""
        eta = self.eta_seconds
        parts = [
            f"problems {self.num_ended}/{self.num_problems}",
            f"rollouts {self.num_rollouts} ({self.num_rollouts / self.seconds:.0f}/s)",
            f"tokens {self.num_tokens / self.seconds:.0f}/s",
            f"elapsed {clock_text(self.seconds)}",
            f"ETA {clock_text(eta) if eta is not None else '?'}",
        ]
        if self.num_quarantined:
            parts.insert(1, f"quarantined {self.num_quarantined}")
        return ", ".join(parts)


def clock_text(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@asynccontextmanager
async def shown(line: Callable[[], str]) -> AsyncIterator[None]:
    """Show a line on stderr while the body runs, and its last state at the end."""
    terminal = sys.stderr.isatty()
    task = asyncio.create_task(_keep_showing(line, terminal))
    try:
        yield
    finally:
        task.cancel()
        print(("\r\x1b[K" if terminal else "") + line(), file=sys.stderr, flush=True)


async def _keep_showing(line: Callable[[], str], terminal: bool) -> None:
    while True:
        await asyncio.sleep(TERMINAL_SECONDS if terminal else PLAIN_SECONDS)
        if terminal:
            sys.stderr.write("\r\x1b[K" + line())
            sys.stderr.flush()
        else:
            print(line(), file=sys.stderr, flush=True)
