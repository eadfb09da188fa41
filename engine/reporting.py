"""Everything that tells of a run from its start to its end: metrics, the service manager, the form of its lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from omegaprm.engine import log
from omegaprm.engine.config import PolicyFlags
from omegaprm.engine.meter import Meter
from omegaprm.engine.notify import notified
from omegaprm.engine.snapshot import Prices


@asynccontextmanager
async def reported(config: PolicyFlags, draining: asyncio.Event) -> AsyncIterator[Meter]:
    """The run's meter; what the flags ask for tells of it while the body runs."""
    log.use(config.log_format)
    meter = Meter(draining, config.part(Prices))
    async with AsyncExitStack() as outlets:
        if config.metrics_port is not None or config.metrics_socket is not None:
            from omegaprm.engine.metrics import served

            await outlets.enter_async_context(served(meter.snapshot, config.metrics_port, config.metrics_socket))
        await outlets.enter_async_context(notified(meter))
        yield meter
