"""The viewer's routes: pages as JSON, a problem's images, and the files of the page itself. Nothing can be written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from omegaprm.engine.errors import StoreFailed
from omegaprm.engine.images import ImageError
from omegaprm.engine.view import listing, runs, trees
from omegaprm.engine.view.guard import allowed_names, guard
from omegaprm.engine.view.pictures import picture
from omegaprm.engine.view.scores import StepScores
from omegaprm.engine.view.shelf import Shelf, Shelved

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
IDLE_SECONDS = 0.5
"""Between two looks at whether the stores have changed."""

Answer = TypeVar("Answer")


class Viewer:
    """Answers a browser from a shelf of stores."""

    def __init__(self, shelf: Shelf, scores: StepScores, image_root: str | None = None) -> None:
        self._shelf, self._scores, self._image_root = shelf, scores, image_root
        self._files = {path.name: path for path in STATIC.iterdir() if path.suffix in TYPES}

    def app(self, host: str = "127.0.0.1") -> web.Application:
        app = web.Application(middlewares=[guard(allowed_names(host))])
        app.add_routes(
            [
                web.get("/", self.index),
                web.get("/static/{name}", self.static),
                web.get("/api/version", self.version),
                web.get("/api/problems", self.problems),
                web.get("/api/run", self.run),
                web.get("/api/tree", self.tree),
                web.get("/api/node", self.node),
                web.get("/api/rollout", self.rollout),
                web.get("/image", self.image),
            ]
        )
        app.cleanup_ctx.append(self._following)
        return app

    async def _following(self, app: web.Application) -> AsyncIterator[None]:
        """Look through the stores before the first answer, and on while the viewer runs."""
        await asyncio.to_thread(self._shelf.refresh)
        task = asyncio.create_task(self._follow())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await asyncio.to_thread(self._shelf.refresh)
            if not await asyncio.to_thread(self._shelf.fold):
                await asyncio.sleep(IDLE_SECONDS)

    async def index(self, request: web.Request) -> web.Response:
        return self._file("index.html")

    async def static(self, request: web.Request) -> web.Response:
        return self._file(request.match_info["name"])

    def _file(self, name: str) -> web.Response:
        if name not in self._files:
            raise web.HTTPNotFound(text="There is no such file.")
        path = self._files[name]
        return web.Response(body=path.read_bytes(), content_type=TYPES[path.suffix], charset="utf-8")

    async def version(self, request: web.Request) -> web.Response:
        names = [shelved.name for shelved in self._shelf.stores]
        return _json({"version": self._shelf.version, "stores": names, "has_scores": bool(self._scores)})

    async def problems(self, request: web.Request) -> web.Response:
        try:
            asked = listing.query(request.query)
        except (msgspec.ValidationError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return _json(await asyncio.to_thread(listing.listed, self._shelf.entries, asked))

    async def run(self, request: web.Request) -> web.Response:
        return _json(await asyncio.to_thread(runs.run_page, self._shelf))

    async def tree(self, request: web.Request) -> web.Response:
        shelved, problem_id = self._asked(request)
        return _json(await _found(trees.tree_page, shelved, problem_id, self._scores))

    async def node(self, request: web.Request) -> web.Response:
        shelved, problem_id = self._asked(request)
        return _json(await _found(trees.node_page, shelved, problem_id, _number(request, "node"), self._scores))

    async def rollout(self, request: web.Request) -> web.Response:
        shelved, problem_id = self._asked(request)
        numbers = _number(request, "estimate"), _number(request, "rollout")
        return _json(await _found(trees.rollout_page, shelved, problem_id, *numbers, self._scores))

    async def image(self, request: web.Request) -> web.Response:
        shelved, problem_id = self._asked(request)
        record = await _found(shelved.record, problem_id)
        try:
            shown = await asyncio.to_thread(picture, record.problem, _number(request, "index"), self._image_root)
        except ImageError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        return web.Response(body=shown.content, content_type=shown.media_type)

    def _asked(self, request: web.Request) -> tuple[Shelved, str]:
        at = _number(request, "store")
        if not 0 <= at < len(self._shelf.stores):
            raise web.HTTPNotFound(text="There is no such store.")
        return self._shelf.stores[at], request.query.get("id", "")


async def _found(read: Callable[..., Answer | None], *arguments: Any) -> Answer:
    try:
        found = await asyncio.to_thread(read, *arguments)
    except StoreFailed as error:
        raise web.HTTPInternalServerError(text=str(error)) from error
    if found is None:
        raise web.HTTPNotFound(text="The store has no such problem, node or rollout.")
    return found


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise web.HTTPBadRequest(text=f"{name}: must be a number")
    return int(text)


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
