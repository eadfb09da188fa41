"""math-verify in processes of its own: one comparison at a time each, within a deadline, whatever it is fed.

A comparison that overruns its deadline or its memory ends as "unknown", at most with its process; the others
go on. Processes start with the first comparison that needs them and never outlive the one that started them.
"""

from __future__ import annotations

import asyncio
import re
import struct
import sys
from pathlib import Path

import msgspec

import omegaprm
from omegaprm.engine.errors import JudgeUnreachable
from omegaprm.engine.judge import lists
from omegaprm.engine.judge.math_worker import READY
from omegaprm.engine.judge.units import split_unit
from omegaprm.engine.records import Verdict

MAX_WORKER_BYTES = 2 << 30
"""Address space of one process."""

START_SECONDS = 120.0
"""Time that a process gets to import math-verify; not part of any comparison's deadline."""

MAX_FAILED_STARTS = 3
"""Starts in a row that may fail before the judge gives up for good."""

_ROOT = Path(omegaprm.__file__).resolve().parents[1]
_NAMES = re.compile(r"(?<![\\A-Za-z])(pi|theta|alpha|beta|gamma|sin|cos|tan|cot|log|ln)(?![A-Za-z])")
_ANGLE_OF = re.compile(r"(?:sin|cos|tan|cot)(?![a-z])")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)°")
_BEFORE_FACTOR = re.compile(
    r"(\\[a-z]+(?:[_^](?:\{[^{}]*\}|\w))*|_\{[^{}]*\}|_\w|[\d)}])(?=\(-?\d+(?:\.\d+)?\))", re.IGNORECASE
)
"""What a number in brackets follows: a factor, or the name of a function and its index."""
_LAST_EQUAL = re.compile(r"[^,;<>\\]*=([^=,;<>]+)")
_VERDICTS = {outcome: Verdict(outcome, "math-verify") for outcome in ("correct", "incorrect")} | {
    "unread": Verdict("unknown", "math-verify-unread"),
    "rounded": Verdict("unknown", "rounded"),
    "too-large": Verdict("unknown", "math-verify-too-large"),
    "failed": Verdict("unknown", "math-verify-failed"),
    "timeout": Verdict("unknown", "math-verify-timeout"),
}


class MathVerify:
    """A pool of math-verify processes.

    >>> rule = MathVerify(num_workers=1, deadline_seconds=5.0)
    >>> await rule.compare("\\\\frac{1}{2}", "2^{-1}")
    Verdict(outcome='correct', rule='math-verify')
    """

    def __init__(self, num_workers: int, deadline_seconds: float, max_worker_bytes: int = MAX_WORKER_BYTES) -> None:
        self._workers = [_Worker(deadline_seconds, max_worker_bytes) for _ in range(num_workers)]
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        for worker in reversed(self._workers):
            self._idle.put_nowait(worker)

    async def compare(self, reference: str, answer: str) -> Verdict:
        """The verdict on two normalised answers; waits for a free process first, outside the deadline.

        Raises JudgeUnreachable where math-verify does not start at all. Cancelling ends the comparison.
        """
        worker = await self._idle.get()
        try:
            return _VERDICTS[await worker.ask(*formulas(reference, answer))]
        finally:
            self._idle.put_nowait(worker)

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [worker.process.pid for worker in self._workers if worker.process]

    async def close(self) -> None:
        for worker in self._workers:
            await worker.stop()


def formulas(reference: str, answer: str) -> tuple[str, str]:
    """What a worker compares for two normalised answers."""
    wanted, given = (formula(text) for text in lists.as_sets(reference, answer))
    return wanted, given if "=" in wanted else last_value(given)


def formula(text: str) -> str:
    """Without its unit, and with plain-text names as LaTeX commands: "2pi cm" as "2\\\\pi"."""
    if _ANGLE_OF.search(text):
        text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)
    return _BEFORE_FACTOR.sub(_times, _NAMES.sub(r"\\\1 ", split_unit(text)[0]))


def _times(match: re.Match[str]) -> str:
    """With a multiplication sign, where a number in brackets is a factor: math-verify reads "2(3)" as a sum."""
    is_function = match[1].startswith(("\\", "_")) and match[1] != "\\pi"
    return match[1] if is_function else f"{match[1]}\\cdot "


def last_value(text: str) -> str:
    """ "3+4=7" as "7": the end of a chain of equals, which is what was answered. Lists stay whole."""
    match = _LAST_EQUAL.fullmatch(text)
    return match[1] if match else text


class _Worker:
    """One process, started on demand and replaced when it was killed."""

    def __init__(self, deadline_seconds: float, max_bytes: int) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self._deadline_seconds = deadline_seconds
        self._max_bytes = max_bytes
        self._num_failed_starts = 0

    async def ask(self, reference: str, answer: str) -> str:
        """The worker's outcome, or "timeout" or "failed" where it had to be ended."""
        process = await self._running()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await _send(process, msgspec.msgpack.encode((reference, answer)))
                return await _receive(process)
        except TimeoutError:
            await self.stop()
            return "timeout"
        except (EOFError, OSError):
            await self.stop()
            return "failed"
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def _running(self) -> asyncio.subprocess.Process:
        while self.process is None or self.process.returncode is not None:
            self.process = await self._start()
            if await self._is_ready(self.process):
                self._num_failed_starts = 0
                break
            await self.stop()
            self._num_failed_starts += 1
            if self._num_failed_starts >= MAX_FAILED_STARTS:
                raise JudgeUnreachable(
                    f"math-verify: its process did not start {MAX_FAILED_STARTS} times in a row, for the "
                    f"reason above; it must import in {START_SECONDS:.0f} s and {self._max_bytes >> 20} MiB"
                )
        return self.process

    async def _start(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "omegaprm.engine.judge.math_worker", str(self._max_bytes)),
            stdin=pipe,
            stdout=pipe,
            cwd=_ROOT,
            start_new_session=True,
        )

    async def _is_ready(self, process: asyncio.subprocess.Process) -> bool:
        try:
            async with asyncio.timeout(START_SECONDS):
                return await _receive(process) == READY
        except (TimeoutError, EOFError, OSError):
            return False
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the process, whatever it is doing; the next question starts another."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if process.stdin:
            process.stdin.close()
        await process.wait()


async def _send(process: asyncio.subprocess.Process, body: bytes) -> None:
    assert process.stdin
    process.stdin.write(struct.pack(">I", len(body)) + body)
    await process.stdin.drain()


async def _receive(process: asyncio.subprocess.Process) -> str:
    """The next frame; EOFError where the process is gone."""
    assert process.stdout
    (size,) = struct.unpack(">I", await process.stdout.readexactly(4))
    return msgspec.msgpack.decode(await process.stdout.readexactly(size), type=str)
