"""Samples ahead what a search may want next, where the engine would stand idle; labels never depend on it.

A request sampled ahead has the prompt, number and seed of the estimate it may become, so that it gives the very
completions that the search would have been given; what no search wants is dropped, and only estimates that were
wanted reach the store. A request that is wanted never waits for one sampled ahead: those are given up for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from omegaprm.engine import log
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.load import policy_load
from omegaprm.engine.policy.base import Completion, Policy, Prompt
from omegaprm.engine.policy.bounded import BoundedPolicy

FULL_KV_SHARE = 0.8
"""KV cache in use above which nothing is sampled ahead: it would push out prefixes that are wanted."""


class Ask(NamedTuple):
    """A request of a policy."""

    prompt: Prompt
    num: int
    seed: int


@dataclass
class Counts:
    """Requests sampled ahead: how many, how many of them were wanted, and the rollouts asked for in vain."""

    asked: int = 0
    wanted: int = 0
    wasted_rollouts: int = 0


@dataclass
class Ahead:
    """A policy, and up to max_guesses requests ahead of it while fewer than capacity() sequences are asked for."""

    policy: Policy
    max_guesses: int
    capacity: Callable[[], int]
    counts: Counts = field(default_factory=Counts)
    _guesses: dict[Ask, asyncio.Task[list[Completion]]] = field(default_factory=dict)
    _num_sequences: int = 0

    def has_room(self, num: int) -> bool:
        """Whether num sequences more would leave none waiting."""
        load = policy_load(self.policy)
        return (
            len(self._guesses) < self.max_guesses
            and not load.num_waiting
            and (load.kv_cache_use or 0) < FULL_KV_SHARE
            and self._num_sequences + num <= self.capacity()
        )

    async def sample(self, ask: Ask, next_asks: Callable[[], Iterable[Ask]]) -> list[Completion]:
        """The completions of a request that is wanted. next_asks: what may be wanted after it, if there is room."""
        task = self._guesses.pop(ask, None)
        self.counts.wanted += task is not None
        self.drop(ask.prompt.problem.id)
        if task is None:
            self._make_room(ask.num)
            task = self._start(ask)
        if self.has_room(ask.num):
            for guess in next_asks():
                self._guess(guess)
        return await task

    def _start(self, ask: Ask) -> asyncio.Task[list[Completion]]:
        self._num_sequences += ask.num
        task = asyncio.create_task(self.policy.sample(*ask))
        task.add_done_callback(lambda _: self._give_back(ask.num))
        return task

    def _give_back(self, num: int) -> None:
        self._num_sequences -= num

    def _guess(self, ask: Ask) -> None:
        if ask not in self._guesses and self.has_room(ask.num):
            self._guesses[ask] = self._start(ask)
            self._guesses[ask].add_done_callback(_retrieve)
            self.counts.asked += 1

    def _make_room(self, num: int) -> None:
        """Give up the latest guesses still under way, all of them where the engine says that requests wait."""
        waits = bool(policy_load(self.policy).num_waiting)
        num_over = self._num_sequences + num - self.capacity()
        for ask in [ask for ask, task in reversed(self._guesses.items()) if not task.done()]:
            if not waits and num_over <= 0:
                return
            self._give_up(ask)
            num_over -= ask.num

    def drop(self, problem_id: str) -> None:
        """Give up what was sampled ahead for a problem."""
        for ask in [ask for ask in self._guesses if ask.prompt.problem.id == problem_id]:
            self._give_up(ask)

    def _give_up(self, ask: Ask) -> None:
        self.counts.wasted_rollouts += ask.num
        self._guesses.pop(ask).cancel()

    async def close(self) -> None:
        """Give up all that nobody waits for."""
        tasks = list(self._guesses.values())
        for ask in list(self._guesses):
            self._give_up(ask)
        await asyncio.gather(*tasks, return_exceptions=True)


def of(config: AnnotateConfig, policy: Policy) -> Ahead | None:
    """What --speculate asks for; room is what the engine decodes at once, or as much of it as --in-flight lets in."""
    if not config.speculate:
        return None

    def capacity() -> int:
        places = config.max_num_seqs * config.data_parallel_size
        return min(places, policy.limit * config.num_rollouts) if isinstance(policy, BoundedPolicy) else places

    return Ahead(policy, config.speculate, capacity)


@asynccontextmanager
async def closing(ahead: Ahead | None) -> AsyncIterator[None]:
    """Drop what is still sampled ahead when the body ends, and tell what it was good for."""
    try:
        yield
    finally:
        if ahead is not None:
            await ahead.close()
            counts = ahead.counts
            log.tell(
                "speculated",
                f"sampled ahead {counts.asked} estimates: {counts.wanted} wanted, "
                f"{counts.wasted_rollouts} rollouts in vain",
                **asdict(counts),
            )


def _retrieve(task: asyncio.Task[list[Completion]]) -> None:
    """Take note of a guess's error even where nobody waits for it."""
    if not task.cancelled():
        task.exception()
