"""The judge protocol: a problem and an answer in, a verdict out."""

from __future__ import annotations

from typing import Protocol

from omegaprm.engine.records import Problem, Verdict


class Judge(Protocol):
    """Anything that can tell whether an answer is right.

    A judge that fails says "unknown", never "incorrect". The same (question, reference, answer) gives the same
    verdict for the whole run. Errors: JudgeUnreachable where it gives up for good.
    """

    async def grade(self, problem: Problem, answer: str) -> Verdict: ...

    async def close(self) -> None: ...
