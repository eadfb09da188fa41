"""The bound on requests in flight grows where the engine has room and falls where its memory overflows."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from omegaprm.engine.concurrency import FULL_KV_SHARE, HELD_SAMPLES, LEAST, START, Level, Signals, next_level
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.errors import EngineDied, UsageError
from omegaprm.engine.opening import start_enduring
from omegaprm.engine.policy.base import Completion, ProblemFailed, Prompt
from omegaprm.engine.policy.bounded import STEPS_A_SAMPLE, InFlight, Listener
from omegaprm.engine.policy.enduring import MAX_SENDS
from omegaprm.engine.records import Problem

MOST = 512


def levels(trace: list[Signals], level: Level | None = None) -> list[int]:
    """The bound after each sample of a trace."""
    level, limits = level or Level(), []
    for signals in trace:
        level = next_level(level, signals, MOST)
        limits.append(level.limit)
    return limits


def engine(limit: int, slots: int, kv_sequences: int) -> Signals:
    """What an engine with so many decoding slots and room for so many sequences tells, all places taken."""
    sequences = 16 * limit
    running = min(sequences, slots, kv_sequences)
    return Signals(
        running=running,
        waiting=sequences - running,
        kv_share=min(sequences, slots) / kv_sequences if min(sequences, slots) < kv_sequences else 1.0,
        preemptions=max(0, min(sequences, slots) - kv_sequences) // 8,
        in_flight=limit,
    )


def settled(slots: int, kv_sequences: int) -> list[int]:
    """The bounds of the last 50 of 200 samples of a simulated engine."""
    level, limits = Level(), []
    for _ in range(200):
        level = next_level(level, engine(level.limit, slots, kv_sequences), MOST)
        limits.append(level.limit)
    return limits[-50:]


def test_it_doubles_while_no_request_waits():
    idle = [Signals(256, 0, 0.1, 0, 10**6)] * 4
    assert levels(idle) == [START * 2, START * 4, START * 8, START * 16]


def test_it_stays_where_requests_wait():
    waiting = [Signals(256, 100, 0.4, 0, 16)] * 5
    assert levels(waiting) == [START] * 5


def test_it_grows_slowly_once_requests_have_waited():
    trace = [Signals(256, 100, 0.4, 0, 100), Signals(256, 0, 0.4, 0, 100)]
    assert levels(trace, Level(100)) == [100, 105]


@pytest.mark.parametrize("signals", [Signals(64, 0, 0.5, 3, 100), Signals(64, 0, FULL_KV_SHARE + 0.01, 0, 100)])
def test_it_is_cut_once_where_memory_overflows_and_then_held(signals: Signals):
    assert levels([signals] * (1 + HELD_SAMPLES), Level(100)) == [75] * (1 + HELD_SAMPLES)


def test_it_never_ends_below_one_request():
    assert levels([Signals(1, 0, 1.0, 1, 1)] * 100)[-1] == LEAST


def test_it_does_not_grow_past_what_is_asked_for():
    assert levels([Signals(16, 0, 0.1, 0, START - 1)] * 5) == [START] * 5
    assert max(levels([Signals(16, 0, 0.1, 0, 10**6)] * 10)) == MOST


@pytest.mark.parametrize(("slots", "kv_sequences"), [(512, 10_000), (128, 10_000)])
def test_it_settles_just_above_the_decoding_slots(slots: int, kv_sequences: int):
    limits = settled(slots, kv_sequences)
    assert min(limits) * 16 >= slots
    assert max(limits) * 16 <= 2 * slots


def test_it_settles_near_what_the_kv_cache_holds():
    limits = settled(10_000, 2_000)
    assert max(limits) * 16 <= 1.1 * 2_000
    assert min(limits) * 16 >= 0.6 * 2_000


def test_the_listener_leads_the_places_by_the_steps_of_all_engine_processes():
    places = InFlight(START)
    places.num_taken = START
    listener = Listener(places, MOST)
    none, one = (SimpleNamespace(preempted_requests=num) for num in (0, 1))
    step_of = SimpleNamespace(num_running_reqs=4, num_waiting_reqs=0, num_skipped_waiting_reqs=0, kv_cache_usage=0.1)
    quiet, preempting = (SimpleNamespace(**vars(step_of), prefix_cache_stats=cache) for cache in (none, one))
    for step in range(STEPS_A_SAMPLE):
        listener.hear(step % 2, quiet)
    assert places.limit == 2 * START
    for step in range(STEPS_A_SAMPLE):
        listener.hear(step % 2, quiet if step else preempting)
    assert places.limit == 2 * START * 3 // 4


async def test_no_more_than_the_limit_are_in_flight_and_a_new_limit_lets_more_in():
    places, inside, most = InFlight(3), 0, 0
    gate = asyncio.Event()

    async def request() -> None:
        nonlocal inside, most
        async with places:
            inside += 1
            most = max(most, inside)
            await gate.wait()
            inside -= 1

    tasks = [asyncio.create_task(request()) for _ in range(20)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert most == 3
    places.set_limit(5)
    for _ in range(5):
        await asyncio.sleep(0)
    assert most == 5
    tasks[-1].cancel()
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (most, inside, places.num_taken) == (5, 0, 0)


class Mortal:
    """A policy whose first engine dies with its first request; the next one never answers."""

    def __init__(self) -> None:
        self.num_starts = self.num_asked = 0

    async def start(self, config: AnnotateConfig) -> Mortal:
        self.num_starts += 1
        return self

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        self.num_asked += 1
        if self.num_asked == 1:
            raise EngineDied("gone")
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        pass


async def test_a_deadline_begins_with_a_place_and_places_outlive_the_engine():
    mortal = Mortal()
    config = AnnotateConfig(seeds=("s",), model="m", store="d", in_flight=1, request_seconds=0.05, engine_restarts=1)
    policy = await start_enduring(config, mortal.start)
    prompt = Prompt(Problem(id="p", question="q", correct_answer="1"))
    ended = await asyncio.gather(*(policy.sample(prompt, 1, seed) for seed in (1, 2)), return_exceptions=True)
    assert [type(end) for end in ended] == [ProblemFailed, ProblemFailed]
    assert (mortal.num_starts, mortal.num_asked) == (2, 1 + 2 * MAX_SENDS)


@pytest.mark.parametrize(("flags", "message"), [
    ({"in_flight": 0}, "--in-flight 0: must be at least 1, or auto"),
    ({"commit_window_ms": 2000.0}, "--commit-window-ms 2000: must be at most 1000"),
    ({"commit_window_ms": -1.0}, "--commit-window-ms -1.0: must be at least 0"),
])  # fmt: skip
def test_bounds_that_cannot_be_are_usage_errors(flags: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        AnnotateConfig(seeds=("s",), model="m", store="d", **flags)
