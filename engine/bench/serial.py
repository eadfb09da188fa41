"""Labelled states a second, this engine against the peers' schedule on the same model.

The peers' schedule (MM-PRM's): one question at a time, its 16 samples as one batch, then each sample's answer
judged by a request of its own over HTTP, up to 32 threads a question. Here the endpoint is on loopback, in a
process of its own, and answers at once by the exact rules, so the schedule alone is measured.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Literal

import msgspec

from engine.bench.clock import machine
from engine.bench.figures import Conditions, Measured
from engine.bench.growing import grow, seed_problems
from engine.bench.run import Run
from engine.config import SearchRule
from engine.judge import exact
from engine.records import Problem, Verdict

JUDGE_THREADS = 32


class _Endpoint(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        question, reference, answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        verdict = exact.decide(question, reference, answer)
        body = json.dumps("unknown" if verdict is None else verdict.outcome).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _serve(port: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    port.send(server.server_address[1])
    server.serve_forever()


class HttpJudge:
    """One HTTP request an answer, at most JUDGE_THREADS at once."""

    def __init__(self) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
        self._server.start()
        self._port: int = ours.recv()
        self._threads = ThreadPoolExecutor(JUDGE_THREADS)

    async def grade(self, problem: Problem, answer: str) -> Verdict:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, problem, answer)

    def _ask(self, problem: Problem, answer: str) -> Verdict:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("POST", "/", json.dumps([problem.question, problem.correct_answer, answer]))
            outcome: Literal["correct", "incorrect", "unknown"] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return Verdict(outcome, "http")

    async def close(self) -> None:
        self._threads.shutdown()
        self._server.terminate()
        self._server.join()


async def measure(run: Run) -> Measured:
    """Serial and concurrent by turns; each begins with an empty prefix cache."""
    config, recorder = run.config, await run.recorder()
    problems = seed_problems(run, config.num_problems)
    rule = msgspec.structs.replace(
        config.part(SearchRule), num_rollouts=config.serial_rollouts, rollout_budget=config.serial_budget
    )
    values, details = [], []
    for _ in range(config.repeats):
        await recorder.forget()
        serial = await grow(run, recorder.policy, problems[: config.num_serial_problems], 1, HttpJudge(), rule)
        await recorder.forget()
        ours = await grow(run, recorder.policy, problems, config.concurrency, rule=rule)
        rates = serial.num_estimates / serial.seconds, ours.num_estimates / ours.seconds
        values.append(rates[1] / rates[0])
        details.append(f"serial {rates[0]:.2f} labels/s, {ours.num_estimates} labels at {rates[1]:.2f} labels/s")
        run.say(f"  {values[-1]:.1f}: {details[-1]}")
    return Measured(tuple(values), _conditions(run) | {"repeats": "; ".join(details)})


def _conditions(run: Run) -> Conditions:
    config = run.config
    return {
        "model": config.model.rpartition("/")[2],
        "problems": config.num_problems,
        "serial_problems": config.num_serial_problems,
        "searches_open": config.concurrency,
        "k": config.serial_rollouts,
        "rollout_budget": config.serial_budget,
        "judge": "serial: HTTP on loopback, 32 threads, no language model; ours: the rules in process",
        "machine": machine(),
    }
