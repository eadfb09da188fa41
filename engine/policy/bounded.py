"""A policy with a bound on its requests in flight; the others wait here, first come, first served.

The bound is a number, or is led by omegaprm.engine.concurrency from what vLLM reports of each of its steps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Literal, Protocol, runtime_checkable

from omegaprm.engine.concurrency import START, Level, Signals, next_level
from omegaprm.engine.load import PolicyLoad, policy_load
from omegaprm.engine.policy.base import Completion, Policy, Prompt
from omegaprm.engine.policy.gauge import Hear

STEPS_A_SAMPLE = 32
"""Engine steps from one sample to the next: a step is one token of every sequence, and a change takes a few to show."""


class InFlight:
    """Places for requests: at most `limit` are taken at once. The limit may change at any time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.num_taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self.num_taken < self.limit and not self._waiting:
            self.num_taken += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._give_back()
            raise

    async def __aexit__(self, *error: object) -> None:
        self._give_back()

    def set_limit(self, limit: int) -> None:
        self.limit = limit
        self._let_in()

    def _give_back(self) -> None:
        self.num_taken -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self.num_taken < self.limit:
            future = self._waiting.popleft()
            if not future.done():
                self.num_taken += 1
                future.set_result(None)


class BoundedPolicy:
    """A policy whose requests go through places."""

    def __init__(self, policy: Policy, places: InFlight) -> None:
        self._policy = policy
        self._places = places

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return self._places.limit

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        async with self._places:
            return await self._policy.sample(prompt, num, seed)

    def policy_load(self) -> PolicyLoad:
        return policy_load(self._policy)

    async def close(self) -> None:
        await self._policy.close()


class Listener:
    """Hears each step of each engine process and leads the bound by them, a sample every STEPS_A_SAMPLE steps."""

    def __init__(self, places: InFlight, most: int) -> None:
        self.level = Level(limit=places.limit)
        self._places = places
        self._most = most
        self._latest: dict[int, Any] = {}
        self._num_steps = 0
        self._num_preemptions = 0

    def forget_engine(self) -> None:
        """A new engine's steps follow: the old one's last signals say nothing any more."""
        self._latest.clear()
        self._num_preemptions = 0

    def hear(self, engine: int, stats: Any) -> None:
        """vLLM's SchedulerStats of one step. A sequence counts as preempted in the step that takes it up again."""
        self._num_preemptions += stats.prefix_cache_stats.preempted_requests
        self._latest[engine] = stats
        self._num_steps += 1
        if self._num_steps % STEPS_A_SAMPLE == 0:
            self.level = next_level(self.level, self.signals(), self._most)
            self._num_preemptions = 0
            self._places.set_limit(self.level.limit)

    def signals(self) -> Signals:
        latest = self._latest.values()
        return Signals(
            running=sum(one.num_running_reqs for one in latest),
            waiting=sum(one.num_waiting_reqs + one.num_skipped_waiting_reqs for one in latest),
            kv_share=max(one.kv_cache_usage for one in latest),
            preemptions=self._num_preemptions,
            in_flight=self._places.num_taken,
        )


@runtime_checkable
class Telling(Protocol):
    """A policy whose engine tells of its steps."""

    def tell(self, hear: Hear) -> None: ...


class Bound:
    """What --in-flight asks for: no bound, a number, or "auto", led by whatever engine is listened to."""

    def __init__(self, places: InFlight | None, listener: Listener | None = None) -> None:
        self.listener = listener
        self._places = places

    @classmethod
    def of(cls, in_flight: int | Literal["auto"] | None, most: int) -> Bound:
        """most: requests that can be asked at once, the bound of the bound."""
        if in_flight is None:
            return cls(None)
        places = InFlight(min(START, most) if in_flight == "auto" else in_flight)
        return cls(places, Listener(places, most) if in_flight == "auto" else None)

    def listen_to(self, policy: object) -> None:
        """Follow this engine from now on; one that tells nothing leaves the bound where it is."""
        if self.listener is not None and isinstance(policy, Telling):
            self.listener.forget_engine()
            policy.tell(self.listener.hear)

    def around(self, policy: Policy) -> Policy:
        return policy if self._places is None else BoundedPolicy(policy, self._places)
