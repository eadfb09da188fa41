"""A real server on loopback: scores come back in order, too much is refused, one bad request spares the others."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from omegaprm.engine.errors import BadInput, EngineDied, UsageError
from omegaprm.evaluator.scorer import Item
from omegaprm.evaluator.serve import run
from omegaprm.evaluator.serve_config import ServeConfig
from tests.fakes.scorer import ScriptedScorer

GOOD = {"question": "What is 1+2?", "steps": ["1+2=3", "3"]}


class Gate(ScriptedScorer):
    """Scores when it is let, and tells when it has been asked."""

    def __init__(self) -> None:
        super().__init__(lambda item, at: 0.5 + at / 10)
        self.asked_now, self.let = threading.Event(), threading.Event()

    def score_many(self, items: Sequence[Item]) -> list[list[float]]:
        self.asked_now.set()
        assert self.let.wait(20)
        return super().score_many(items)


def data_uri(colour: int = 7) -> str:
    stream = io.BytesIO()
    Image.new("L", (8, 8), colour).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


@asynccontextmanager
async def served(scorer: Any, **flags: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a server that is running; both are gone afterwards."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(run(ServeConfig(prm="p", port=0, **flags), scorer, port.set_result))
    await asyncio.wait([server, port], return_when=asyncio.FIRST_COMPLETED)
    if server.done():
        server.result()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port.result()}") as client:
            yield client
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


async def posted(client: aiohttp.ClientSession, body: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client.post("/pooling", data=data) as answer:
        return answer.status, await answer.json()


async def test_scores_come_back_in_the_order_of_the_input() -> None:
    scorer = ScriptedScorer(lambda item, at: len(item.steps[at]) / 10)
    async with served(scorer) as client:
        text = "Question: What is 2?\nProcess: abc<prm>\n\nd<prm>"
        status, answer = await posted(client, {"model": "prm", "input": [GOOD, text]})
    assert status == 200
    assert [one["data"] for one in answer["data"]] == [[0.5, 0.1], [0.3, 0.1]]
    assert [one["index"] for one in answer["data"]] == [0, 1]
    assert (answer["object"], answer["usage"]["num_steps"]) == ("list", 4)


async def test_an_image_reaches_the_scorer_and_leaves_no_file() -> None:
    sizes: list[tuple[int, int]] = []

    def rule(item: Item, at: int) -> float:
        sizes.append(Image.open(item.images[0]).size)
        return 0.5

    scorer = ScriptedScorer(rule)
    async with served(scorer) as client:
        status, _ = await posted(client, {"input": {**GOOD, "images": [data_uri(), data_uri()]}})
    assert (status, sizes[0]) == (200, (8, 8))
    assert not any(map(os.path.exists, scorer.asked[0].images))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "truncated"),
        ({"model": "prm"}, "input"),
        ({"input": []}, "input"),
        ({"input": "no process"}, "input[0]"),
        ({"input": [GOOD, {"question": "q", "steps": []}]}, "input[1].steps"),
        ({"input": {**GOOD, "step": 1}}, "step"),
        ({"input": {**GOOD, "images": ["/etc/passwd"]}}, "--image-root"),
        ({"input": {**GOOD, "images": ["data:image/png;base64,!!"]}}, "base64"),
        ({"input": {**GOOD, "images": ["data:image/png;base64,AAAA"]}}, "must be an image"),
    ],
    ids=str,
)
async def test_a_wrong_request_is_told_what_is_wrong(body: Any, named: str) -> None:
    async with served(ScriptedScorer()) as client:
        status, answer = await posted(client, body)
        assert (status, named in answer["error"]["message"]) == (400, True), answer
        assert (await posted(client, {"input": GOOD}))[0] == 200


async def test_paths_stay_in_the_image_root(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "root").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "root" / "b.png")
    async with served(ScriptedScorer(), image_root=str(tmp_path / "root")) as client:
        inside = await posted(client, {"input": {**GOOD, "images": ["b.png"]}})
        outside = await posted(client, {"input": {**GOOD, "images": ["../a.png"]}})
    assert (inside[0], outside[0]) == (200, 400)


async def test_another_model_is_not_found() -> None:
    async with served(ScriptedScorer(), model_name="mine") as client:
        assert (await posted(client, {"input": GOOD, "model": "other"}))[0] == 404
        async with client.get("/v1/models") as answer:
            assert (await answer.json())["data"][0]["id"] == "mine"


async def test_a_body_beyond_the_limit_is_refused() -> None:
    async with served(ScriptedScorer(), max_body_mib=0.01) as client:
        assert (await posted(client, {"input": {"question": "q" * 20_000, "steps": ["a"]}}))[0] == 413


async def test_requests_that_wait_are_scored_together_and_those_beyond_the_bound_get_503() -> None:
    gate = Gate()
    async with served(gate, max_waiting=3) as client:
        first = asyncio.create_task(posted(client, {"input": GOOD}))
        await asyncio.to_thread(gate.asked_now.wait, 20)
        waiting = [asyncio.create_task(posted(client, {"input": {**GOOD, "question": f"{at}?"}})) for at in range(3)]
        while "omegaprm_prm_waiting 3.0" not in await metrics(client):
            assert not any(one.done() for one in waiting)
        async with client.post("/pooling", data=json.dumps({"input": GOOD})) as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        gate.let.set()
        answers = await asyncio.gather(first, *waiting)
        shown = await metrics(client)
    assert [status for status, _ in answers] == [200] * 4
    assert gate.calls == [1, 3]
    assert 'omegaprm_prm_requests_total{code="503"} 1.0' in shown
    assert "omegaprm_prm_steps_total 8.0" in shown


async def metrics(client: aiohttp.ClientSession) -> str:
    async with client.get("/metrics") as answer:
        return await answer.text()


async def test_one_request_that_cannot_be_scored_spares_those_beside_it() -> None:
    class Picky(Gate):
        def score_many(self, items: Sequence[Item]) -> list[list[float]]:
            found = super().score_many(items)
            if any(item.question == "bad" for item in items):
                raise BadInput("bad: cannot be scored")
            return found

    picky = Picky()
    async with served(picky) as client:
        first = asyncio.create_task(posted(client, {"input": GOOD}))
        await asyncio.to_thread(picky.asked_now.wait, 20)
        others = [asyncio.create_task(posted(client, {"input": {**GOOD, "question": q}})) for q in ("bad", "good")]
        while "omegaprm_prm_waiting 2.0" not in await metrics(client):
            assert not any(one.done() for one in others)
        picky.let.set()
        answers = await asyncio.gather(first, *others)
    assert [status for status, _ in answers] == [200, 400, 200]


async def test_a_dead_scorer_is_told_and_ends_the_server_with_70() -> None:
    class Dying(ScriptedScorer):
        def score_many(self, items: Sequence[Item]) -> list[list[float]]:
            raise EngineDied("gone")

    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(run(ServeConfig(prm="p", port=0), Dying(), port.set_result))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{await port}") as client:
        assert (await posted(client, {"input": GOOD}))[0] == 500
    with pytest.raises(EngineDied) as died:
        await server
    assert died.value.exit_code == 70


async def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}"):
            await run(ServeConfig(prm="p", port=port), ScriptedScorer(), lambda port: None)


@pytest.mark.parametrize("wrong", [{"port": 70000}, {"max_waiting": 0}, {"max_body_mib": 0}])
def test_flags_that_cannot_be_are_usage_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ServeConfig(prm="p", **wrong)
