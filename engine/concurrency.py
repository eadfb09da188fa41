"""How many requests are kept at the engine, decided from the engine's own signals: pure, no clock and no tasks.

The level where more in flight buys nothing is where requests begin to wait inside the engine: below it decoding
slots stand empty, above it they only hold memory. It is found as TCP finds a link's capacity: doubled until the
first sign of waiting, then a little more at a time, and cut by a share where the KV cache overflows.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

START = 16
"""Requests at first: a few batches of 16, enough to read signals from."""
LEAST = 1
"""A request must always be under way, or no signal would ever come again."""
GROWTH_SHARE = 0.05
"""Growth past the first sign of waiting: slow enough that one sample tells what the last one did."""
CUT_SHARE = 0.75
"""What a cut leaves: enough memory comes free at once, and a few samples of growth bring it back."""
FULL_KV_SHARE = 0.95
"""KV cache in use above which the next long request preempts another, whose work is then done twice."""
IDLE_WAITING_SHARE = 0.05
"""Waiting sequences, as a share of the running ones, below which a slot may stand empty: more may come in."""
HELD_SAMPLES = 4
"""Samples after a cut without growth or another cut: requests already in the engine go on filling it."""


class Signals(NamedTuple):
    """What the engine tells: sequences running and waiting, KV cache in use (0 to 1), and preemptions since the
    last sample; with the requests in flight when it was taken."""

    running: int
    waiting: int
    kv_share: float
    preemptions: int
    in_flight: int


class Level(msgspec.Struct, frozen=True):
    """The bound on requests in flight, whether it still doubles, and samples left without change after a cut."""

    limit: int = START
    is_searching: bool = True
    num_held: int = 0


def next_level(level: Level, signals: Signals, most: int) -> Level:
    """The level after a sample, between LEAST and most (the searches open, which are all that can ask)."""
    if level.num_held:
        return Level(level.limit, False, level.num_held - 1)
    if signals.preemptions or signals.kv_share > FULL_KV_SHARE:
        return Level(max(LEAST, int(level.limit * CUT_SHARE)), False, HELD_SAMPLES)
    if signals.waiting > IDLE_WAITING_SHARE * signals.running:
        return Level(level.limit, False)
    if signals.in_flight < level.limit:
        return level
    step = level.limit if level.is_searching else max(1, int(level.limit * GROWTH_SHARE))
    return Level(min(most, level.limit + step), level.is_searching)
