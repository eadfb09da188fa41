"""A judge that follows a script: a function decides, and failures come where they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from omegaprm.engine.records import Problem, Verdict

Decision = Verdict | bool | None
"""A verdict; or True, False and None for correct, incorrect and unknown."""


def matches_reference(problem: Problem, answer: str) -> bool:
    """The simplest script: equal texts are right."""
    return answer.strip() == problem.correct_answer.strip()


class ScriptedJudge:
    """A Judge for tests.

    >>> judge = ScriptedJudge(lambda problem, answer: answer == "5")
    >>> judge.failures = [JudgeUnreachable("down")]   # the next call raises it, later ones answer
    >>> judge.gate.clear()                            # calls wait until gate.set()
    """

    def __init__(
        self,
        decide: Callable[[Problem, str], Decision] = matches_reference,
        failures: Iterable[Exception] = (),
    ) -> None:
        self.decide = decide
        self.failures = list(failures)
        self.asked: list[tuple[str, str]] = []
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def grade(self, problem: Problem, answer: str) -> Verdict:
        self.asked.append((problem.id, answer))
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        decision = self.decide(problem, answer)
        if isinstance(decision, Verdict):
            return decision
        outcomes: dict[bool | None, Verdict] = {
            True: Verdict("correct", "script"),
            False: Verdict("incorrect", "script"),
            None: Verdict("unknown", "script"),
        }
        return outcomes[decision]

    async def close(self) -> None:
        self.closed = True
