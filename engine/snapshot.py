"""All numbers of a run at one moment: what the screen, JSON lines, metrics, systemd and bin/status show are these."""

from __future__ import annotations

from typing import Literal

import msgspec

from omegaprm.engine.shares import Shares, marks

State = Literal["loading", "running", "draining", "stopped", "done"]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since this run started, except the problems, which are those of the whole job.

    at: Unix time. Rates are those of the last minute. None: not known, or not there to be known. from_root and
    from_prefixes count the rollouts by outcome, of a run of annotate only.
    """

    state: State
    at: float
    elapsed_seconds: float
    eta_seconds: float | None = None
    num_problems: int = 0
    num_done: int = 0
    num_quarantined: int = 0
    num_open: int = 0
    num_rejected: int = 0
    num_estimates: int = 0
    num_rollouts: int = 0
    num_tokens: int = 0
    outcomes: dict[str, int] = {}
    from_root: dict[str, int] = {}
    from_prefixes: dict[str, int] = {}
    rollouts_per_second: float = 0.0
    tokens_per_second: float = 0.0
    kv_cache_use: float | None = None
    num_requests_running: int | None = None
    num_requests_waiting: int | None = None
    judge_queue: int | None = None
    num_judge_requests: int = 0
    num_judge_failures: int = 0
    num_judge_tokens: int = 0
    cost: float | None = None

    @property
    def num_ended(self) -> int:
        return self.num_done + self.num_quarantined

    @property
    def shares(self) -> Shares:
        return Shares.of(self.from_root, self.from_prefixes)


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """What a run costs, in any one currency; see omegaprm.engine.reporting_flags."""

    price_per_hour: float = 0.0
    price_per_million_tokens: float = 0.0
    judge_price_per_million_tokens: float = 0.0

    def cost(self, seconds: float, num_tokens: int, num_judge_tokens: int) -> float | None:
        """What so much has cost; None where no price is named."""
        if not any(msgspec.structs.astuple(self)):
            return None
        tokens = num_tokens * self.price_per_million_tokens + num_judge_tokens * self.judge_price_per_million_tokens
        return seconds / 3600 * self.price_per_hour + tokens / 1e6


def line(snapshot: Snapshot) -> str:
    """A snapshot in one line, without what is not known."""
    parts = [
        f"problems {snapshot.num_ended}/{snapshot.num_problems}",
        f"quarantined {snapshot.num_quarantined}" if snapshot.num_quarantined else "",
        f"open {snapshot.num_open}" if snapshot.num_open else "",
        f"rollouts {snapshot.num_rollouts} ({snapshot.rollouts_per_second:.0f}/s)",
        f"tokens {snapshot.tokens_per_second:.0f}/s",
        *_loads(snapshot),
        *marks(snapshot.shares),
        f"cost {snapshot.cost:.2f}" if snapshot.cost is not None else "",
        f"elapsed {clock_text(snapshot.elapsed_seconds)}",
        f"ETA {eta_text(snapshot)}",
    ]
    return ", ".join(part for part in parts if part)


def _loads(snapshot: Snapshot) -> list[str]:
    return [
        f"decoding {snapshot.num_requests_running}" if snapshot.num_requests_running else "",
        f"KV {snapshot.kv_cache_use:.0%}" if snapshot.kv_cache_use is not None else "",
        f"judge queue {snapshot.judge_queue}" if snapshot.judge_queue else "",
    ]


def eta_text(snapshot: Snapshot) -> str:
    return "?" if snapshot.eta_seconds is None else clock_text(snapshot.eta_seconds)


def clock_text(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
