"""bin/serve-prm: step scores over HTTP; every request is answered, what is too much is refused at once.

Stopping on a signal finishes the requests under way and ends with 0; a scorer that dies ends it with 70.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from omegaprm.engine.errors import EngineDied, OmegaprmError, UsageError
from omegaprm.engine.lifecycle import drain_on_signal
from omegaprm.evaluator.batching import Batcher, Full
from omegaprm.evaluator.config import EvaluateConfig
from omegaprm.evaluator.models import scorer_of
from omegaprm.evaluator.pooling_request import Refused, Solution, items_of, parse, response
from omegaprm.evaluator.scoring import StepScorer
from omegaprm.evaluator.serve_config import ServeConfig

RETRY_SECONDS = 1
"""What a client is told to wait when too much is waiting."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Metrics:
    """What /metrics shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("omegaprm_prm_requests", "Pooling requests by HTTP status", ["code"], **self._kept)
        self.solutions = Counter("omegaprm_prm_solutions", "Solutions scored", **self._kept)
        self.steps = Counter("omegaprm_prm_steps", "Steps scored", **self._kept)
        self.waiting = Gauge("omegaprm_prm_waiting", "Solutions that wait to be scored", **self._kept)
        self.batches = Histogram(
            "omegaprm_prm_batch_solutions", "Solutions a batch", buckets=(1, 4, 16, 64, 256), **self._kept
        )
        self.seconds = Histogram("omegaprm_prm_request_seconds", "Time from a request to its answer", **self._kept)

    @property
    def _kept(self) -> dict[str, CollectorRegistry]:
        return {"registry": self.registry}


class Service:
    """The HTTP application around one scorer; start() needs a running event loop."""

    def __init__(self, config: ServeConfig, scorer: StepScorer) -> None:
        self.config = config
        self.metrics = Metrics()
        self.batcher = Batcher(scorer, config.batch_size, config.max_waiting, self.metrics.batches.observe)
        self.metrics.waiting.set_function(lambda: self.batcher.num_waiting)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=int(self.config.max_body_mib * 2**20))
        app.router.add_post("/pooling", self._counted(self.pooling))
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.show_metrics)
        app.router.add_get("/v1/models", self.models)
        return app

    def _counted(self, handler: Handler) -> Handler:
        async def counted(request: web.Request) -> web.StreamResponse:
            started = time.monotonic()
            try:
                answer = await handler(request)
            except web.HTTPRequestEntityTooLarge:
                answer = _error(413, f"the body must be at most {self.config.max_body_mib} MiB")
            self.metrics.requests.labels(str(answer.status)).inc()
            self.metrics.seconds.observe(time.monotonic() - started)
            return answer

        return counted

    async def pooling(self, request: web.Request) -> web.StreamResponse:
        """Scores of the solutions of one request."""
        try:
            wanted, solutions = parse(await request.read())
            if wanted.model not in (None, self.config.model_name):
                return _error(404, f"model: {wanted.model!r} is not served, {self.config.model_name!r} is")
            scores = await self._scores(solutions)
        except Refused as refused:
            return _error(400, str(refused))
        except Full:
            full = _error(503, f"{self.batcher.num_waiting} solutions are waiting already: try again")
            full.headers["Retry-After"] = str(RETRY_SECONDS)
            return full
        except EngineDied:
            return _error(500, "the scorer has died")
        except OmegaprmError as error:
            return _error(400, str(error))
        self.metrics.solutions.inc(len(scores))
        self.metrics.steps.inc(sum(map(len, scores)))
        return web.json_response(response(self.config.model_name, uuid.uuid4().hex, int(time.time()), scores))

    async def _scores(self, solutions: list[Solution]) -> list[list[float]]:
        images = items_of(solutions, self.config.image_root)
        items = await asyncio.to_thread(images.__enter__)
        try:
            return await self.batcher.score(items)
        finally:
            images.__exit__(None, None, None)

    async def health(self, request: web.Request) -> web.StreamResponse:
        """200 while requests can be answered, 503 once the scorer is dead."""
        died = self.batcher.died.is_set()
        return web.json_response({"status": "dead" if died else "ok"}, status=503 if died else 200)

    async def show_metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(self.metrics.registry), content_type="text/plain", charset="utf-8")

    async def models(self, request: web.Request) -> web.StreamResponse:
        """The one model there is, in OpenAI's list."""
        model = {"id": self.config.model_name, "object": "model", "owned_by": "omegaprm"}
        return web.json_response({"object": "list", "data": [model]})


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status}}, status=status)


def serve(config: ServeConfig) -> None:
    """Load the PRM and answer until a signal. ConfigurationError, EngineDied, UsageError for an address in use."""
    backend = EvaluateConfig(prm=config.prm, out="", scorer=config.scorer, batch_size=config.batch_size)
    scorer = scorer_of(backend)(config.prm, config.batch_size)
    asyncio.run(run(config, scorer))


async def run(config: ServeConfig, scorer: StepScorer, on_start: Callable[[int], None] | None = None) -> None:
    """Answer requests until a signal; on_start is told the port, which is printed unless it is given."""
    stopping = asyncio.Event()
    with drain_on_signal(stopping):
        service = Service(config, scorer)
        runner = web.AppRunner(service.application(), access_log=None, shutdown_timeout=config.drain_seconds)
        await runner.setup()
        try:
            await _listen(runner, config)
            (on_start or _printer(config))(runner.addresses[0][1])
            ends = [asyncio.create_task(event.wait()) for event in (stopping, service.batcher.died)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
        finally:
            await runner.cleanup()
            await service.batcher.close()
    if service.batcher.died.is_set():
        raise EngineDied("the scorer has died")


async def _listen(runner: web.AppRunner, config: ServeConfig) -> None:
    try:
        await web.TCPSite(runner, config.host, config.port).start()
    except OSError as error:
        raise UsageError(f"--host {config.host} --port {config.port}: {error.strerror}") from error


def _printer(config: ServeConfig) -> Callable[[int], None]:
    def show(port: int) -> None:
        print(f"listening on http://{config.host}:{port}", flush=True)

    return show
