"""A loopback OpenAI-compatible server that misbehaves by script, and remembers every call."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

PROBE = "Say OK."

Answering = Callable[[str], str]
"""The text of the reply to a prompt."""

Behaving = Callable[[int], str]
"""How the call of that number, from 0, is treated: a key of BEHAVIOURS."""


class ChatServer:
    """Made by serving(). `behave` and `answer` may be replaced at any time.

    calls: number of calls by prompt; delivered: replies written to their end by prompt; repeated: prompts asked
    again after their reply was delivered.
    """

    def __init__(self, answer: Answering, behave: Behaving) -> None:
        self.answer = answer
        self.behave = behave
        self.url = ""
        self.elsewhere = "http://127.0.0.1:9/"
        self.num_calls = 0
        self.calls: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.repeated: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.requests: list[dict[str, Any]] = []
        self.closing = asyncio.Event()
        self.num_open = 0
        self.max_open = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        prompt = prompt_of(body["messages"][0]["content"])
        number = self.num_calls
        self.num_calls += 1
        self.calls[prompt] += 1
        self.headers.append(dict(request.headers))
        self.requests.append(body)
        del self.headers[:-100], self.requests[:-100]
        if self.delivered[prompt] and prompt != PROBE:
            self.repeated.append(prompt)
        self.num_open += 1
        self.max_open = max(self.max_open, self.num_open)
        try:
            return await BEHAVIOURS[self.behave(number)](self, request, prompt)
        finally:
            self.num_open -= 1

    def completion(self, prompt: str) -> dict[str, Any]:
        text = "OK" if prompt == PROBE else self.answer(prompt)
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}


def prompt_of(content: str | list[dict[str, Any]]) -> str:
    """A user's turn as one text: the URLs of its images, a line each, before what it says."""
    if isinstance(content, str):
        return content
    return "\n".join(part["image_url"]["url"] if part["type"] == "image_url" else part["text"] for part in content)


async def answer(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    response = web.json_response(server.completion(prompt))
    await response.prepare(request)
    await response.write_eof()
    server.delivered[prompt] += 1
    return response


async def slow(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    await asyncio.sleep(0.02)
    return await answer(server, request, prompt)


async def busy(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    return web.Response(status=429, headers={"Retry-After": "0"}, text="slow down")


async def failing(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    return web.json_response({"error": {"message": "Verdict: correct"}}, status=500)


async def garbage(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    return web.Response(text="<html>Verdict: correct</html>")


async def misshapen(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    return web.json_response({"choices": [{"message": {"content": ["Verdict: correct"]}}]})


async def half(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    """A reply that ends in the middle, where what came is JSON of no verdict or none at all."""
    body = json.dumps(server.completion(prompt)).encode()
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


async def reset(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    assert isinstance(request.transport, asyncio.Transport)
    request.transport.abort()
    return web.Response()


async def hang(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    await server.closing.wait()
    return web.Response()


async def hang_up(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    """Nothing for half a second, then the end of the connection."""
    await asyncio.sleep(0.5)
    return await reset(server, request, prompt)


async def redirect(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": server.elsewhere + "chat/completions"})


async def huge(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    """A body without end."""
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while not server.closing.is_set():
            await response.write(b" " * (1 << 16))
    return response


async def denied(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    return web.json_response({"error": f"bad key {request.headers.get('Authorization')}"}, status=401)


async def refused(server: ChatServer, request: web.Request, prompt: str) -> web.StreamResponse:
    return web.json_response({"error": "the prompt is too long"}, status=400)


BEHAVIOURS = {
    one.__name__: one
    for one in (
        answer,
        slow,
        busy,
        failing,
        garbage,
        misshapen,
        half,
        reset,
        hang,
        hang_up,
        redirect,
        huge,
        denied,
        refused,
    )
}


@contextlib.asynccontextmanager
async def serving(
    answering: Answering = lambda prompt: "Verdict: correct",
    behaving: Behaving = lambda number: "answer",
    pages: Mapping[str, Callable[[ChatServer], Awaitable[web.Response]]] | None = None,
) -> AsyncIterator[ChatServer]:
    """A server on a free loopback port while the body runs; its base URL ends with /v1. pages: what else it shows."""
    server = ChatServer(answering, behaving)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    for path, page in (pages or {}).items():
        app.router.add_get(path, lambda request, page=page: page(server))
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        server.closing.set()
        await runner.cleanup()
