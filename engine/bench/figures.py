"""The table of all figures; a new one is one entry here and one function `async def measure(run) -> Measured`.

The function is imported only when its figure is asked for, so it may live in any package.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from statistics import median
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from omegaprm.engine.bench.run import Run

Conditions = dict[str, str | int | float]


class Measured(msgspec.Struct, frozen=True):
    """One value for each repeat, and what they were measured under."""

    values: tuple[float, ...]
    conditions: Conditions


Measure = Callable[["Run"], Awaitable[Measured]]


class Figure(msgspec.Struct, frozen=True):
    """A figure: where its function is ("module:name"), its unit, its goal, and which way is better."""

    name: str
    function: str
    unit: str
    better: Literal["higher", "lower"]
    goal: float | None = None

    def load(self) -> Measure:
        module, _, name = self.function.partition(":")
        found: Measure = getattr(importlib.import_module(module), name)
        return found

    def entry(self, measured: Measured) -> Entry:
        values = measured.values
        return Entry(
            value=median(values),
            unit=self.unit,
            conditions=measured.conditions,
            min=min(values),
            median=median(values),
            max=max(values),
            repeats=len(values),
            better=self.better,
            goal=self.goal,
        )


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure as it is printed; against and ratio (value / against) where an earlier output was given."""

    value: float
    unit: str
    conditions: Conditions
    min: float
    median: float
    max: float
    repeats: int
    better: str
    goal: float | None = None
    against: float | None = None
    ratio: float | None = None


FIGURES = (
    Figure("bytes_per_open_search", "omegaprm.engine.bench.memory:measure", "bytes", "lower", 64 * 1024),
    Figure("resume_s_per_million", "omegaprm.engine.bench.resume:measure", "seconds a million rollouts", "lower", 20),
    Figure("loop_rollouts_per_s", "omegaprm.engine.bench.loop:measure_rate", "rollouts/s", "higher", 10_000),
    Figure("loop_lag_p99_ms", "omegaprm.engine.bench.loop:measure_lag", "ms", "lower", 50),
    Figure("train_tokens_per_s", "examples.train_bench:measure", "of a bare loop's tokens/s", "higher", 0.9),
    Figure("engine_efficiency", "omegaprm.engine.bench.efficiency:measure", "share of the bare engine", "higher", 0.95),
    Figure(
        "speedup_over_serial", "omegaprm.engine.bench.serial:measure", "times as many labels a second", "higher", 10
    ),
)
"""In the order of measuring: memory first, on a heap that nothing was freed on; the real engine last."""
