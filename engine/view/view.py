"""bin/view: serves the viewer until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from aiohttp import web

from omegaprm.engine.errors import UsageError
from omegaprm.engine.prompt_version import note
from omegaprm.engine.store import StoreDamaged
from omegaprm.engine.view.config import ViewConfig
from omegaprm.engine.view.scores import StepScores
from omegaprm.engine.view.server import Viewer
from omegaprm.engine.view.shelf import Shelf

SHUTDOWN_SECONDS = 1.0


def view(config: ViewConfig) -> None:
    """Serve until SIGINT or SIGTERM. Errors as for Store.open_reader and StepScores; UsageError for the address."""
    scores = StepScores([Path(path) for path in config.prm_scores])
    shelf = Shelf([Path(path) for path in config.stores])
    try:
        _print_notes(shelf)
        asyncio.run(_serve(config, Viewer(shelf, scores, config.image_root)))
    finally:
        shelf.close()


def _print_notes(shelf: Shelf) -> None:
    """What is to be known of a store before its trees are read; one with damaged settings is shown all the same."""
    for shelved in shelf.stores:
        with contextlib.suppress(StoreDamaged):
            if said := note(str(shelved.folder), shelved.store.fingerprint()):
                print(said, file=sys.stderr, flush=True)


async def _serve(config: ViewConfig, viewer: Viewer) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner = web.AppRunner(viewer.app(config.host), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(f"--host {config.host} --port {config.port}: {error.strerror or error}") from error
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"viewer: http://{shown}:{port}/ (Ctrl-C ends it)", file=sys.stderr, flush=True)
        await stopped.wait()
    finally:
        await runner.cleanup()
