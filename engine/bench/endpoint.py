"""The peers' judge: MM-PRM's question about each answer, put over HTTP to an endpoint on loopback.

The endpoint is OpenAI-compatible and runs in a process of its own. It reads the three parts out of the question,
decides by the exact rules, and says "Yes" or "No" after the time that a large model would take; to anything else it
says "OK".
"""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

from omegaprm.engine.judge import exact
from omegaprm.engine.judge.chatting import Reply
from omegaprm.engine.judge.llm import ASKING, filled, read_verdict
from omegaprm.engine.records import Problem, Verdict

JUDGE_THREADS = 32
"""Answers that MM-PRM asks about at once."""
MODEL = "judge"
_PARTS = re.compile(r"Question:\n(.*)\n-+\nCorrect Answer:\n(.*)\n-+\nModel's Answer:\n(.*)\n-+\s*", re.DOTALL)


class _Server(ThreadingHTTPServer):
    request_queue_size = 1024
    """Clients that connect at once; one that finds no place would try again after a second."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(float(self.path.split("/")[1]))
        reply = json.dumps(
            {
                "id": "reply",
                "object": "chat.completion",
                "created": 0,
                "model": MODEL,
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": _yes_or_no(body["messages"][0]["content"])},
                    }
                ],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _yes_or_no(content: str | list[dict[str, str]]) -> str:
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    parts = _PARTS.search(text)
    if parts is None:
        return "OK"
    verdict = exact.decide(*parts.groups())
    return "Yes" if verdict is not None and verdict.outcome == "correct" else "No"


def _serve(port: Connection) -> None:
    server = _Server(("127.0.0.1", 0), _Handler)
    port.send(server.server_address[1])
    server.serve_forever()


class JudgeEndpoint:
    """The endpoint while it runs; url(seconds) is the base under which it takes so long for a reply."""

    def __init__(self) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
        self._server.start()
        self.port: int = ours.recv()

    def url(self, seconds: float) -> str:
        return f"http://127.0.0.1:{self.port}/{seconds}/v1"

    def close(self) -> None:
        self._server.terminate()
        self._server.join()


class HttpJudge:
    """A request for each answer, at most JUDGE_THREADS at once, as MM-PRM asks; each is answered after `seconds`."""

    def __init__(self, endpoint: JudgeEndpoint, seconds: float = 0.0) -> None:
        self._port = endpoint.port
        self._path = f"/{seconds}/v1/chat/completions"
        self._threads = ThreadPoolExecutor(JUDGE_THREADS)
        self._own = threading.local()

    async def grade(self, problem: Problem, answer: str) -> Verdict:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, problem, answer)

    def _ask(self, problem: Problem, answer: str) -> Verdict:
        asking = ASKING["mmprm"]
        text = filled(asking.text, question=problem.question, reference=problem.correct_answer, answer=answer)
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": asking.max_tokens}
        self._own.connection.request("POST", self._path, json.dumps(body))
        reply = json.loads(self._own.connection.getresponse().read())
        verdict = read_verdict(Reply(reply["choices"][0]["message"]["content"], False), "mmprm")
        assert verdict is not None
        return verdict

    async def close(self) -> None:
        self._threads.shutdown()
