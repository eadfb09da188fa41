"""Serves a run's numbers on loopback or a Unix socket: /metrics for Prometheus, /health for whoever starts the run."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from omegaprm.engine import log
from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.snapshot import Snapshot

HOST = "127.0.0.1"

Value = float | None | Mapping[str, float]
"""A number, none, or one number a label value."""


class Figure(msgspec.Struct, frozen=True):
    """One metric: its name, kind and sentence, its label where it has one, and its value in a snapshot."""

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    value: Callable[[Snapshot], Value]
    label: str = ""

    def family(self, snapshot: Snapshot) -> Metric | None:
        """The metric with its values; None where there is none to give."""
        value = self.value(snapshot)
        if value is None:
            return None
        kind = GaugeMetricFamily if self.kind == "gauge" else CounterMetricFamily
        found = kind(self.name, self.text, labels=[self.label] if self.label else None)
        for name, number in value.items() if isinstance(value, Mapping) else [("", value)]:
            found.add_metric([name] if self.label else [], number)
        return found


def _problems(snapshot: Snapshot) -> Mapping[str, float]:
    waiting = snapshot.num_problems - snapshot.num_ended - snapshot.num_open
    return {
        "done": snapshot.num_done,
        "open": snapshot.num_open,
        "quarantined": snapshot.num_quarantined,
        "waiting": max(waiting, 0),
    }


FIGURES = (
    Figure("omegaprm_state", "gauge", "1 for the state that the run is in", lambda s: {s.state: 1}, "state"),
    Figure("omegaprm_elapsed_seconds", "gauge", "Seconds since this run began", lambda s: s.elapsed_seconds),
    Figure("omegaprm_eta_seconds", "gauge", "Seconds left at this run's pace", lambda s: s.eta_seconds),
    Figure("omegaprm_problems", "gauge", "Problems of the job by state", _problems, "state"),
    Figure("omegaprm_rejected_rows", "gauge", "Seed rows that could not be used", lambda s: s.num_rejected),
    Figure("omegaprm_estimates_total", "counter", "Estimates of this run", lambda s: s.num_estimates),
    Figure("omegaprm_rollouts_total", "counter", "Rollouts of this run by outcome", lambda s: s.outcomes, "outcome"),
    Figure("omegaprm_tokens_total", "counter", "Tokens of this run's rollouts", lambda s: s.num_tokens),
    Figure("omegaprm_rollouts_per_second", "gauge", "Over the last minute", lambda s: s.rollouts_per_second),
    Figure("omegaprm_tokens_per_second", "gauge", "Over the last minute", lambda s: s.tokens_per_second),
    Figure("omegaprm_kv_cache_use", "gauge", "Share of the KV cache in use, 0 to 1", lambda s: s.kv_cache_use),
    Figure("omegaprm_requests_running", "gauge", "Sequences being decoded", lambda s: s.num_requests_running),
    Figure("omegaprm_requests_waiting", "gauge", "Sequences waiting for room", lambda s: s.num_requests_waiting),
    Figure("omegaprm_judge_queue", "gauge", "Comparisons that are waited for", lambda s: s.judge_queue),
    Figure("omegaprm_judge_requests_total", "counter", "To the judge's model", lambda s: s.num_judge_requests),
    Figure("omegaprm_judge_failures_total", "counter", "Requests of these that failed", lambda s: s.num_judge_failures),
    Figure("omegaprm_judge_tokens_total", "counter", "Its prompts and replies", lambda s: s.num_judge_tokens),
    Figure("omegaprm_cost", "gauge", "Cost so far, in the currency of the prices", lambda s: s.cost),
)


class _Run(Collector):
    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        now = self._snapshot()
        return [family for figure in FIGURES if (family := figure.family(now)) is not None]

    def describe(self) -> Iterable[Metric]:
        return []


def application(snapshot: Callable[[], Snapshot]) -> web.Application:
    """What answers: both from a snapshot taken then."""
    registry = CollectorRegistry()
    registry.register(_Run(snapshot))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(snapshot()), content_type="application/json")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/health", health)
    return app


@asynccontextmanager
async def served(snapshot: Callable[[], Snapshot], port: int | None, path: str | None) -> AsyncIterator[None]:
    """Answer on the port, the socket or both while the body runs; ConfigurationError where one is taken."""
    runner = web.AppRunner(application(snapshot), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        if port is not None:
            await _listen(web.TCPSite(runner, HOST, port), f"--metrics-port {port}")
            bound = next(address[1] for address in runner.addresses if isinstance(address, tuple))
            log.tell("metrics", f"metrics at http://{HOST}:{bound}/metrics", port=bound)
        with _own_socket(path):
            if path is not None:
                await _listen(web.UnixSite(runner, path), f"--metrics-socket {path}")
            yield
    finally:
        await runner.cleanup()


async def _listen(site: web.BaseSite, flag: str) -> None:
    try:
        await site.start()
    except OSError as error:
        raise ConfigurationError(f"{flag}: cannot be listened on: {error.strerror or error}") from error


@contextlib.contextmanager
def _own_socket(name: str | None) -> Iterator[None]:
    """Remove the socket of a run that was killed, and this one's at the end; one that is listened on stays."""
    if name is None:
        yield
        return
    path = Path(name)
    if path.is_socket():
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(ConnectionRefusedError):
            probe.connect(name)
            raise ConfigurationError(f"--metrics-socket {name}: another process listens on it")
        path.unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
