"""Reads all numbers of a run at once, from its progress, its policy and its judge, as far as they are there yet."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from omegaprm.engine.load import judge_load, policy_load
from omegaprm.engine.progress import Progress
from omegaprm.engine.snapshot import Prices, Snapshot, State, line


@dataclass
class Meter:
    """Everything that shows a run holds this, and nothing else of the run.

    >>> meter = Meter(draining=asyncio.Event())
    >>> meter.run(progress, policy, judge)
    >>> meter.snapshot().state
    'running'
    """

    draining: asyncio.Event
    prices: Prices = field(default_factory=Prices)
    progress: Progress = field(default_factory=lambda: Progress(0))
    policy: object = None
    judge: object = None
    running: asyncio.Event = field(default_factory=asyncio.Event)
    ended: State | None = None

    def run(self, progress: Progress, policy: object, judge: object) -> None:
        """From now on the run is running, and these are its parts."""
        self.progress, self.policy, self.judge = progress, policy, judge
        self.running.set()

    @contextlib.contextmanager
    def until_end(self) -> Iterator[None]:
        """Where the body has ended the run has, well or not: done where every problem has, stopped otherwise."""
        try:
            yield
        finally:
            self.ended = "done" if self.progress.num_ended >= self.progress.num_problems else "stopped"

    @property
    def state(self) -> State:
        if self.ended:
            return self.ended
        if self.draining.is_set():
            return "draining"
        return "running" if self.running.is_set() else "loading"

    def line(self) -> str:
        return line(self.snapshot())

    def snapshot(self) -> Snapshot:
        progress = self.progress
        engine, judge = policy_load(self.policy), judge_load(self.judge)
        rollouts_per_second, tokens_per_second = progress.rates()
        return Snapshot(
            state=self.state,
            at=time.time(),
            elapsed_seconds=progress.seconds,
            eta_seconds=progress.eta_seconds,
            num_problems=progress.num_problems,
            num_done=progress.num_ended_before - progress.num_quarantined_before + progress.num_done,
            num_quarantined=progress.num_quarantined_before + progress.num_quarantined,
            num_open=progress.num_open,
            num_rejected=progress.num_rejected,
            num_estimates=progress.num_estimates,
            num_rollouts=progress.num_rollouts,
            num_tokens=progress.num_tokens,
            outcomes={str(outcome): count for outcome, count in progress.outcomes.items()},
            from_root=msgspec.structs.asdict(progress.shares.from_root),
            from_prefixes=msgspec.structs.asdict(progress.shares.from_prefixes),
            rollouts_per_second=rollouts_per_second,
            tokens_per_second=tokens_per_second,
            kv_cache_use=engine.kv_cache_use,
            num_requests_running=engine.num_running,
            num_requests_waiting=engine.num_waiting,
            judge_queue=judge.queue,
            num_judge_requests=judge.num_requests,
            num_judge_failures=judge.num_failures,
            num_judge_tokens=judge.num_tokens,
            cost=self.prices.cost(progress.seconds, progress.num_tokens, judge.num_tokens),
        )
