"""Prints the judge's figures: python -m tests.engine.judge_figures"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.records import Problem

NUM_CACHED = 100_000
NUM_COMPARED = 2_000
BOMBS = (
    *("(x+y+z)^{300}", "\\frac{1}{" * 50 + "x" + "}" * 50, "2^{10^{10}}"),
    *("(" * 450 + "x" + ")" * 450, "1+" * 500_000),
)

Pairing = Callable[[int], tuple[str, str]]
"""The reference and the answer of that number, which only a comparison tells the same."""


def algebra(number: int) -> Problem:
    return Problem(id=str(number), question="", correct_answer=f"x+{number}")


def asked(reference: str) -> Problem:
    return Problem(id="", question="", correct_answer=reference)


async def cached_per_second(num: int = NUM_CACHED) -> float:
    """Verdicts given before, a second of this process's CPU time: 200 problems, 10 answers each, over and over."""
    judge = await Cascade.start(num_workers=1, deadline_seconds=60)
    pairs = [(algebra(number), f"{number} + x + {other} - {other}") for number in range(200) for other in range(10)]
    await asyncio.gather(*(judge.grade(*pair) for pair in pairs))
    started = time.process_time()
    for at in range(num):
        await judge.grade(*pairs[at % len(pairs)])
    seconds = time.process_time() - started
    await judge.close()
    return num / seconds


def sums(number: int) -> tuple[str, str]:
    return f"x+{number}", f"{number}+x"


def squares(number: int) -> tuple[str, str]:
    return f"(x+{number})^2", f"x^2+{2 * number}x+{number**2}"


def squares_of_few(number: int) -> tuple[str, str]:
    """100 references in turn, as of 100 searches at once."""
    root = number % 100
    return f"(x+{root})^2", f"x^2+{2 * root}x+{root**2 + number}-{number}"


async def compared_per_second(pair: Pairing = sums, num: int = NUM_COMPARED, num_workers: int = 2) -> float:
    """Verdicts a second that need a comparison by math-verify each, its processes running already."""
    judge = await Cascade.start(num_workers=num_workers, deadline_seconds=60)
    await asyncio.gather(*(judge.grade(algebra(number), f"x-{number}") for number in range(-20, 0)))
    started = time.perf_counter()
    await asyncio.gather(*(judge.grade(asked(reference), answer) for reference, answer in map(pair, range(num))))
    seconds = time.perf_counter() - started
    assert judge.counts["correct", "math-verify"] == num
    await judge.close()
    return num / seconds


async def lag_under_bombs_seconds(num_seconds: float = 20.0) -> float:
    """The 99th percentile of the loop's delay while answer bombs and plain answers arrive for so long."""
    judge = await Cascade.start(num_workers=2, deadline_seconds=2)
    await judge.grade(algebra(1), "1+x")
    lags: list[float] = []
    until = time.perf_counter() + num_seconds

    async def feed(lane: int) -> None:
        number = 0
        while time.perf_counter() < until:
            number += 1
            bomb = BOMBS[number % len(BOMBS)]
            await judge.grade(Problem(id="", question="", correct_answer=f"{lane * 10_000 + number}"), bomb)
            await judge.grade(algebra(number), f"{number}+x")

    async def watch() -> None:
        while time.perf_counter() < until:
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - started - 0.005)

    await asyncio.gather(watch(), *(feed(lane) for lane in range(16)))
    await judge.close()
    return sorted(lags)[int(len(lags) * 0.99)]


async def main() -> None:
    print(f"cached verdicts/s       {await cached_per_second():,.0f} of CPU time, one thread")
    for pair in (sums, squares, squares_of_few):
        rates = [await compared_per_second(pair, num_workers=num) for num in (1, 2)]
        print(f"math-verify verdicts/s  {rates[0]:,.0f} with 1 worker, {rates[1]:,.0f} with 2: {pair.__name__}")
    print(f"loop lag p99            {1000 * await lag_under_bombs_seconds():.1f} ms while answer bombs arrive")


if __name__ == "__main__":
    asyncio.run(main())
