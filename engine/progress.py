"""Counts of a run as it goes, its pace over the last minute, and the time left."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from omegaprm.engine.records import Estimate, Outcome, ProblemRecord
from omegaprm.engine.shares import Shares
from omegaprm.engine.snapshot import clock_text as clock_text

PACE_SECONDS = 60.0
"""Rates are taken over this much time."""
MARK_SECONDS = 1.0
"""Between two marks that rates are taken from."""


@dataclass
class Progress:
    """Counts of this run; problems ended by earlier runs are in num_ended_before, quarantined ones among them."""

    num_problems: int
    num_ended_before: int = 0
    clock: Callable[[], float] = time.monotonic
    num_quarantined_before: int = 0
    num_rejected: int = 0
    num_done: int = 0
    num_quarantined: int = 0
    num_open: int = 0
    num_estimates: int = 0
    num_rollouts: int = 0
    num_tokens: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    shares: Shares = field(default_factory=Shares)
    started: float = field(init=False)
    _marks: deque[tuple[float, int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()
        self._marks = deque([(self.started, 0, 0)])

    def on_estimate(self, estimate: Estimate) -> None:
        self.num_estimates += 1
        self.shares = self.shares.adding([estimate])
        self.on_rollouts((rollout.outcome, rollout.num_tokens) for rollout in estimate.rollouts)

    def on_rollouts(self, rollouts: Iterable[tuple[Outcome, int]]) -> None:
        """Count rollouts by outcome and tokens."""
        for outcome, num_tokens in rollouts:
            self.outcomes[outcome] += 1
            self.num_rollouts += 1
            self.num_tokens += num_tokens

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Count one more problem as open while the body runs."""
        self.num_open += 1
        try:
            yield
        finally:
            self.num_open -= 1

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

    def rates(self) -> tuple[float, float]:
        """Rollouts and tokens a second over the last minute, as far as it has been looked at."""
        now = self.clock()
        while len(self._marks) > 1 and self._marks[1][0] <= now - PACE_SECONDS:
            self._marks.popleft()
        then, rollouts, tokens = self._marks[0]
        seconds = max(now - then, 1e-9)
        if now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, self.num_rollouts, self.num_tokens))
        return (self.num_rollouts - rollouts) / seconds, (self.num_tokens - tokens) / seconds
