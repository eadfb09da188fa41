"""The misbehaving chat server in a process of its own: python -m tests.fakes.chat_process

Prints its URL, then serves until its input ends. GET /v1/seen says, as JSON, what it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web

from tests.fakes.chat_server import ChatServer, serving

KINDS = (
    *("answer",) * 10,
    *("slow", "busy", "failing", "garbage", "misshapen", "half", "reset", "redirect"),
)
RARE = {100: "hang", 300: "huge", 700: "hang_up", 1200: "huge"}
"""By number of the call, in every 1,500."""
OUTAGE = range(400, 500)
"""Calls in every 5,000 that all fail, so that the circuit opens."""

UNREAD = ("I think it is correct.", "Verdict: correct\nVerdict: incorrect", "Verdict: maybe", "")


def reply_to(number: int) -> str | None:
    """The verdict that the server gives on "thing N", the same at every asking; None where its reply says none."""
    return None if number % 10 == 7 else ("correct", "incorrect")[number // 3 % 2]


def scripted_reply(prompt: str) -> str:
    number = int(re.findall(r"thing (\d+)", prompt)[-1])
    verdict = reply_to(number)
    if verdict is None:
        return UNREAD[number // 10 % len(UNREAD)]
    return f"They {'agree' if verdict == 'correct' else 'differ'}.\n\nVerdict: {verdict}"


class Misbehaving:
    """How each call is treated, by its number and a seed, and how many were treated so."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.num_by_kind: Counter[str] = Counter()

    def __call__(self, number: int) -> str:
        kind = self._random.choice(KINDS)
        if number == 0:
            kind = "answer"
        elif number % 5000 in OUTAGE:
            kind = "failing"
        else:
            kind = RARE.get(number % 1500, kind)
        self.num_by_kind[kind] += 1
        return kind


async def serve() -> None:
    behaving = Misbehaving(seed=7)

    async def seen(server: ChatServer) -> web.Response:
        return web.json_response(
            {"num_calls": server.num_calls, "by_kind": behaving.num_by_kind, "repeated": server.repeated[:10]}
        )

    async with serving(scripted_reply, behaving, {"/v1/seen": seen}) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextlib.asynccontextmanager
async def chat_process() -> AsyncIterator[str]:
    """The URL of such a server while the body runs."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


async def seen_by(url: str) -> dict[str, Any]:
    """What the server of that URL saw: num_calls, by_kind, and the first prompts asked again after their reply."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/seen") as response:
        return json.loads(await response.text())


if __name__ == "__main__":
    asyncio.run(serve())
