"""The controller on what the real engine told, recorded by tests/engine/record_trace.py on two busy cores."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from omegaprm.engine.concurrency import FULL_KV_SHARE, GROWTH_SHARE, Level, Signals, next_level

TRACES = Path(__file__).with_name("traces")
NUM_ROLLOUTS = 16
"""Sequences a request."""


def replayed(name: str) -> tuple[list[Signals], list[int]]:
    """The samples of a trace, and the bound after each, the first being the one before them all."""
    trace = [Signals(*sample) for sample in json.loads((TRACES / name).read_text())]
    level = Level()
    limits = [level.limit]
    for signals in trace:
        level = next_level(level, signals, 256)
        limits.append(level.limit)
    return trace, limits


def test_replaying_gives_the_bounds_that_the_run_kept_to():
    trace, limits = replayed("roomy.json")
    assert all(signals.in_flight <= limit for signals, limit in zip(trace, limits, strict=False))
    assert max(signals.in_flight for signals in trace) == max(limits[:-1])


def test_with_room_in_memory_it_settles_where_the_256_decoding_slots_are_full_and_few_wait():
    trace, limits = replayed("roomy.json")
    settled = trace[len(trace) // 2 :]
    assert min(signals.running for signals in settled) > 0.85 * 256
    assert max(signals.waiting for signals in settled) < 0.5 * 256
    assert 256 / NUM_ROLLOUTS <= limits[-1] <= 2.5 * 256 / NUM_ROLLOUTS
    first = next(at for at, signals in enumerate(trace) if signals.waiting)
    assert all(after <= before * (1 + GROWTH_SHARE) for before, after in pairwise(limits[first:]))
    assert max(signals.kv_share for signals in trace) < FULL_KV_SHARE


def test_where_sequences_push_each_other_out_the_bound_falls_to_what_memory_holds():
    trace, limits = replayed("tight.json")
    assert sum(signals.preemptions for signals in trace[:10]) > 0
    most_running = max(signals.running for signals in trace)
    settled = limits[len(limits) // 2 :]
    assert max(settled) * NUM_ROLLOUTS <= 2.5 * most_running
    assert min(settled) >= 1
    rates = [sum(signals.preemptions for signals in part) / len(part) for part in (trace[:15], trace[15:])]
    assert rates[1] < rates[0]
