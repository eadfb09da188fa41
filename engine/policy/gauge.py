"""Reads the engine core's own counts, its KV cache among them, and leaves out what vLLM measures a request.

vLLM counts in two places: the core, a few numbers a step, which are kept here; and this process, times of every
token of every request, which cost the event loop and are turned off. Call take_over before the first request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omegaprm.engine.load import PolicyLoad

Hear = Callable[[int, Any], None]
"""Takes the number of an engine core and vLLM's SchedulerStats of one of its steps."""


class Gauge:
    """Stands where vLLM's logger_manager does and keeps each core's last counts; hearers are told of each step."""

    def __init__(self) -> None:
        self.hearers: list[Hear] = []
        self._last: dict[int, Any] = {}

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any = None,
        mm_cache_stats: Any = None,
        engine_idx: int | None = None,
    ) -> None:
        if scheduler_stats is not None:
            self._last[engine_idx or 0] = scheduler_stats
            for hear in self.hearers:
                hear(engine_idx or 0, scheduler_stats)

    def load(self) -> PolicyLoad:
        """Over all cores: the mean share of their KV caches, and the sums of their sequences."""
        last = list(self._last.values())
        if not last:
            return PolicyLoad()
        return PolicyLoad(
            kv_cache_use=sum(one.kv_cache_usage for one in last) / len(last),
            num_running=sum(one.num_running_reqs for one in last),
            num_waiting=sum(one.num_waiting_reqs + one.num_skipped_waiting_reqs for one in last),
        )

    def __getattr__(self, name: str) -> Any:
        """All else that vLLM would have logged is not."""
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **named: None


def take_over(engine: Any) -> None:
    """Put a Gauge in the place of the engine's logging."""
    engine.log_stats = engine.output_processor.log_stats = False
    engine.logger_manager = Gauge()
