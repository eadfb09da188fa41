"""When a request may be sent to an endpoint, decided from what came back: pure, the clock is an argument.

Failures in a row open the circuit: then nothing is sent but a probe now and then, ever more rarely, until one
is answered. Told to come back later (Retry-After), everything rests until then.
"""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime

import msgspec


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast failures are followed up, in seconds."""

    first_seconds: float = 0.5
    """Pause before the first retry; each further one doubles it."""
    max_seconds: float = 30.0
    """No pause between retries or probes is longer."""
    open_after: int = 5
    """Failures in a row that open the circuit."""

    def pause(self, num_failures: int, chance: float) -> float:
        """Seconds to wait after the given number of failures; chance in [0, 1) spreads them by half."""
        doubled = self.first_seconds * 2.0 ** min(num_failures - 1, 30)
        return min(doubled, self.max_seconds) * (0.5 + chance / 2)


class Circuit:
    """What is known of one endpoint; times are those of one monotonic clock.

    >>> circuit = Circuit(Pace())
    >>> circuit.on_failure(now=10.0, chance=0.5)
    >>> circuit.is_open
    False
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._num_failures = 0
        self._rests_until = 0.0
        self._probes_at = 0.0
        self.answered_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether only a probe may be sent."""
        return self._num_failures >= self._pace.open_after

    def wait_seconds(self, now: float) -> float:
        """Time before the next request, or probe where the circuit is open."""
        until = max(self._rests_until, self._probes_at if self.is_open else 0.0)
        return max(until - now, 0.0)

    def on_answer(self, now: float) -> None:
        self._num_failures = 0
        self.answered_at = now

    def on_failure(self, now: float, chance: float) -> None:
        self._num_failures += 1
        if self.is_open:
            self._probes_at = now + self._pace.pause(self._num_failures - self._pace.open_after + 1, chance)

    def rest(self, now: float, seconds: float) -> None:
        """Send nothing for so long: the endpoint asked for it."""
        self._rests_until = max(self._rests_until, now + seconds)

    def waited(self, since: float, now: float) -> float:
        """How long a request begun at a time has waited with no answer from the endpoint to anyone."""
        return now - max(since, self.answered_at if self.answered_at is not None else since)


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """The pause that a Retry-After header asks for, in seconds or as a date; None where it says nothing usable."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        return None
    return max((date - now).total_seconds(), 0.0)
