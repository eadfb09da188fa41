"""The judge against an endpoint that misbehaves in a process of its own.

python -m tests.engine.judge_under_faults [NUM_CALLS]
"""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.judge.circuit import Pace
from omegaprm.engine.judge.endpoint import Endpoint
from omegaprm.engine.judge.llm import LlmRule
from omegaprm.engine.judge.math_rule import MathVerify
from omegaprm.engine.records import Problem
from tests.fakes.chat_process import chat_process, reply_to, seen_by

NUM_LANES = 256
"""Verdicts asked for at once."""
REQUEST_SECONDS = 5.0
"""Ends the calls that hang; what answers does so in a hundredth of it."""

PACE = Pace(first_seconds=0.001, max_seconds=0.02, open_after=30)
PROBLEM = Problem(id="p", question="What is it?", correct_answer="a cat")
VERDICTS = {"correct": ("correct", "llm"), "incorrect": ("incorrect", "llm"), None: ("unknown", "llm-unread")}


class Outcome(msgspec.Struct, frozen=True):
    """What came of it. invented: numbers of the things whose verdict is not what the server says of them."""

    num_calls: int
    by_kind: dict[str, int]
    repeated: list[str]
    verdicts: Counter[tuple[str, str]]
    invented: list[int]
    num_seconds: float
    resident_mib: list[float]
    """Resident memory of this process at the start and after each tenth of the calls."""
    peak_mib: float


async def judge_under_faults(num_calls: int) -> Outcome:
    """Ask for verdicts on ever new things until the endpoint was called so often. JudgeUnreachable."""
    verdicts: Counter[tuple[str, str]] = Counter()
    invented: list[int] = []
    things = itertools.count()
    async with chat_process() as url:
        endpoint = await Endpoint.start(
            url, "judge", None, concurrency=64, patience_seconds=60.0, request_seconds=REQUEST_SECONDS, pace=PACE
        )
        judge = Cascade(MathVerify(1, 5.0), None, LlmRule(endpoint, "own", 1, 64))
        forget_peak()
        started, resident = time.perf_counter(), [memory_mib("VmRSS")]

        async def lane() -> None:
            while endpoint.spent.num_requests < num_calls:
                thing = next(things)
                verdict = await judge.grade(PROBLEM, f"thing {thing}")
                found = (verdict.outcome, verdict.rule)
                verdicts[found] += 1
                if found not in (VERDICTS[reply_to(thing)], ("unknown", "llm-failed")):
                    invented.append(thing)
                if endpoint.spent.num_requests * 10 >= num_calls * len(resident):
                    resident.append(memory_mib("VmRSS"))

        await asyncio.gather(*(lane() for _ in range(NUM_LANES)))
        num_seconds = time.perf_counter() - started
        seen: dict[str, Any] = await seen_by(url)
        await judge.close()
    return Outcome(
        **seen,
        verdicts=verdicts,
        invented=invented,
        num_seconds=num_seconds,
        resident_mib=resident,
        peak_mib=memory_mib("VmHWM"),
    )


def forget_peak() -> None:
    """From now on VmHWM is the peak."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_mib(field: str) -> float:
    """A field of this process's memory in MiB: VmRSS is resident, VmHWM its peak."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) / 1024


def main(num_calls: int) -> None:
    outcome = asyncio.run(judge_under_faults(num_calls))
    print(f"calls      {outcome.num_calls:,} in {outcome.num_seconds:.0f} s: {dict(sorted(outcome.by_kind.items()))}")
    print(f"verdicts   {sum(outcome.verdicts.values()):,}: {dict(sorted(outcome.verdicts.items()))}")
    print(f"invented   {len(outcome.invented)}, repeated after a reply {len(outcome.repeated)}")
    print(
        f"resident   {' '.join(f'{mib:.0f}' for mib in outcome.resident_mib)} MiB, at its peak {outcome.peak_mib:.0f}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
