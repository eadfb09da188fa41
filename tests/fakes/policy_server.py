"""A loopback OpenAI-compatible endpoint that answers as the scripted policy does, and fails by script."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from omegaprm.engine.policy.base import Prompt
from omegaprm.engine.records import Problem
from tests.fakes.policy import ScriptedPolicy

QUESTION = re.compile(r"What is (\d+)\?")
STEP = re.compile(r"<step>(.*?)</step>?")
REST = re.compile(r"</step$")
"""A prompt that leaves the end of a tag to the policy."""


class PolicyServer:
    """behave(number of the call) is "answer", a status to answer with, or "reset". requests: the bodies that came.

    takes_n: whether n completions are given; knows_vllm: whether vLLM's own fields are taken, and what a completion
    stopped at is shown.
    """

    def __init__(self, behave: Callable[[int], str | int], takes_n: bool, knows_vllm: bool) -> None:
        self.behave = behave
        self.takes_n = takes_n
        self.knows_vllm = knows_vllm
        self.url = ""
        self.context: int | None = None
        self.tag_tokens = False
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append(body)
        self.keys.add(request.headers.get("Authorization"))
        how = self.behave(len(self.requests) - 1)
        if how == "reset":
            assert request.transport is not None
            request.transport.abort()
        if how != "answer":
            return web.json_response({"error": "no"}, status=how if isinstance(how, int) else 500)
        if not self.knows_vllm and {"top_k", "repetition_penalty", "continue_final_message"} & body.keys():
            return web.json_response({"error": "unknown field"}, status=400)
        return web.json_response(self.completion(body))

    async def tokenize(self, request: web.Request) -> web.Response:
        """vLLM's own address; as a tokenizer in which the tags are tokens, or in which "><" is one."""
        body = await request.json()
        pieces = re.findall(r"</?(?:step|answer)>|." if self.tag_tokens else r"><|.", body["prompt"], re.DOTALL)
        return web.json_response({"tokens": [hash(piece) % (1 << 30) for piece in pieces]})

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m", "max_model_len": self.context}]})

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt, chat = text_of(body), "messages" in body
        found = QUESTION.search(prompt)
        if not found:
            texts = ["OK"] * body.get("n", 1)
        else:
            problem = Problem(id=f"p{found[1]}", question=found[0], correct_answer=found[1])
            state = Prompt(problem, tuple(STEP.findall(prompt[found.end() :])))
            drawn = [
                ScriptedPolicy(odd_rate=0.0).completion(state, random.Random(body["seed"] + at))
                for at in range(body["n"])
            ]
            rest = ">" if REST.search(prompt) else ""
            texts = [rest + one.text for one in drawn]
        texts = texts if self.takes_n else texts[:1]
        if not body.get("include_stop_str_in_output"):
            texts = [text.removesuffix("</answer>") for text in texts]
        choices = [{"finish_reason": "stop"} | ({"message": {"content": t}} if chat else {"text": t}) for t in texts]
        return {"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 7 * len(texts)}}


def text_of(body: dict[str, Any]) -> str:
    """A prompt, or the texts of a chat from the user's turn on."""
    if "prompt" in body:
        return str(body["prompt"])
    texts = []
    for message in body["messages"]:
        content = message["content"]
        texts += [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    return "\n".join(texts)


@contextlib.asynccontextmanager
async def serving(
    behave: Callable[[int], str | int] = lambda number: "answer", takes_n: bool = True, knows_vllm: bool = True
) -> AsyncIterator[PolicyServer]:
    """A server on a free loopback port while the body runs; its base URL ends with /v1."""
    server = PolicyServer(behave, takes_n, knows_vllm)
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/completions", server.handle)
    app.router.add_get("/v1/models", server.models)
    if knows_vllm:
        app.router.add_post("/tokenize", server.tokenize)
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
