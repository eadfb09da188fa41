"""Prints how far the cascade's rules, and math-verify alone, agree with the hard pairs, and where the rules do not."""

from __future__ import annotations

import asyncio
from collections import Counter

from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.records import Problem, Verdict
from tests.engine.hard_pairs import Pair, load


async def by_cascade(pairs: list[Pair]) -> list[Verdict]:
    judge = await Cascade.start(num_workers=2, deadline_seconds=60)
    try:
        return await asyncio.gather(
            *(
                judge.grade(Problem(id="", question=one.question, correct_answer=one.reference), one.answer)
                for one in pairs
            )
        )
    finally:
        await judge.close()


def by_math_verify(pair: Pair) -> str:
    """math-verify's parse and verify; each text as it is and in dollars, whichever it gets right the pair by."""
    from math_verify import parse, verify

    references, answers = ([parse(text), parse(f"${text}$")] for text in (pair.reference, pair.answer))
    same = any(verify(one, other) for one in references for other in answers)
    return "correct" if same else "incorrect"


def main() -> None:
    pairs = load()
    verdicts = asyncio.run(by_cascade(pairs))
    alone = [by_math_verify(one) for one in pairs]
    total, ours, theirs = Counter[str](), Counter[str](), Counter[str]()
    for one, verdict, other in zip(pairs, verdicts, alone, strict=True):
        for key in (one.type, one.expected, "all"):
            total[key] += 1
            ours[key] += verdict.outcome == one.expected
            theirs[key] += other == one.expected
        if verdict.outcome != one.expected:
            print(
                f"{one.type}: {one.reference!r} <- {one.answer!r} ({one.reason}): {verdict.outcome} by {verdict.rule}"
            )
    print("| type | pairs | rules | math-verify alone |\n|---|---|---|---|")
    for key in total:
        print(f"| {key} | {total[key]} | {ours[key] / total[key]:.1%} | {theirs[key] / total[key]:.1%} |")


if __name__ == "__main__":
    main()
