"""Step-level beam search as a policy: a process reward model decides, step by step, which solutions go on.

Each round every unfinished beam is continued by some next steps, and the best beams of old finished and new
ones are kept. Search and scoring are deterministic given the policy's and the guide's answers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

import msgspec

from omegaprm.engine.config import BeamScore
from omegaprm.engine.policy.base import Completion, ProblemFailed, Prompt, StepPolicy
from omegaprm.engine.prompts import Step, read_step
from omegaprm.engine.records import Problem
from omegaprm.engine.seams import Begun, Seams, StepFormat, begun_seams, begun_text, extended, text_of
from omegaprm.engine.seeds import derive_seed

MAX_STEPS = 64
"""Steps of a solution at the most; one that has no answer by then counts as truncated."""


class Guide(Protocol):
    """A process reward model: the chance that each step is right, one list a solution."""

    async def score(self, problem: Problem, solutions: Sequence[tuple[str, ...]]) -> list[list[float]]: ...

    async def close(self) -> None: ...


class BeamRule(msgspec.Struct, frozen=True, kw_only=True):
    """What decides a search: beams kept, next steps drawn for each, and one number from the scores of steps."""

    beam_width: int = 4
    beam_expand: int = 4
    beam_score: BeamScore = "min"


class Beam(msgspec.Struct, frozen=True):
    """The steps so far and their worth; finished where the last step is the answer. seams: see engine/seams.py; in full
    where it is finished."""

    steps: tuple[str, ...] = ()
    worth: float = 0.0
    finished: bool = False
    seams: Seams = ()


def worth(scores: Sequence[float], kind: BeamScore) -> float:
    """One number of the scores of a solution's steps, at least one."""
    if kind == "last":
        return scores[-1]
    if kind == "average":
        return math.fsum(scores) / len(scores)
    return min(scores) if kind == "min" else math.prod(scores)


def best(beams: Sequence[Beam], width: int) -> list[Beam]:
    """The best distinct beams, best first; equal worth goes by text, so that no order of arrival counts."""
    distinct = {(beam.steps, beam.finished): beam for beam in beams}
    return sorted(distinct.values(), key=lambda beam: (-beam.worth, not beam.finished, beam.steps))[:width]


class BeamPolicy:
    """A Policy whose completions are the beams that are left at the end, best first; num is not looked at.

    num_tokens of the first completion holds all tokens that the search drew. ProblemFailed where no step at all
    could be read; EngineDied as the policy and the guide raise it.
    """

    def __init__(self, policy: StepPolicy, guide: Guide, rule: BeamRule, step_format: StepFormat) -> None:
        self._policy = policy
        self._guide = guide
        self._rule = rule
        self._format: StepFormat = step_format

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        start = Beam(prompt.prefix, seams=prompt.seams)
        beams, num_tokens, num_calls = [start], 0, 0
        for at in range(MAX_STEPS):
            live = [beam for beam in beams if not beam.finished]
            if not live:
                break
            numbers = range(num_calls, num_calls := num_calls + len(live))
            width = self._rule.beam_width if at == 0 else 1
            drawn = await asyncio.gather(
                *(self._next(prompt, beam, width, seed, number) for beam, number in zip(live, numbers, strict=True))
            )
            num_tokens += sum(tokens for _, tokens in drawn)
            new = await self._scored(prompt.problem, [beam for found, _ in drawn for beam in found])
            kept = best([*(beam for beam in beams if beam.finished), *new], self._rule.beam_width)
            if not kept:
                break
            beams = kept
        if beams == [start]:
            raise ProblemFailed("beam search: no first step could be read from what the policy wrote")
        return [self._completion(beam, 0 if at else num_tokens) for at, beam in enumerate(beams)]

    async def close(self) -> None:
        await asyncio.gather(self._policy.close(), self._guide.close())

    async def _next(self, prompt: Prompt, beam: Beam, width: int, seed: int, number: int) -> tuple[list[Beam], int]:
        """Readable continuations of one beam by a step, not scored yet, and the tokens of all."""
        state = msgspec.structs.replace(prompt, prefix=beam.steps, seams=beam.seams)
        at = derive_seed(seed, prompt.problem.id, number)
        completions = await self._policy.sample_step(state, width * self._rule.beam_expand, at)
        read = [read_step(one.text, self._format) for one in completions if not (one.truncated or one.strayed)]
        found = [self._extended(beam, step) for step in read if step is not None]
        distinct = {(one.steps, one.finished): one for one in reversed(found)}
        return list(reversed(distinct.values())), sum(one.num_tokens for one in completions)

    def _extended(self, beam: Beam, step: Step) -> Beam:
        before, written = Begun(beam.steps, beam.seams), (step.before, step.after)
        if not step.is_answer:
            steps, seams = extended(before, (step.text,), written, 1, self._format)
            return Beam(steps, seams=seams)
        opened = begun_seams(len(beam.steps), self._format) if not beam.seams else beam.seams
        return Beam((*beam.steps, step.text), finished=True, seams=(*opened[:-1], opened[-1] + step.before, step.after))

    async def _scored(self, problem: Problem, drawn: Sequence[Beam]) -> list[Beam]:
        if not drawn:
            return []
        scores = await self._guide.score(problem, [beam.steps for beam in drawn])
        return [
            msgspec.structs.replace(beam, worth=worth(of_steps, self._rule.beam_score))
            for beam, of_steps in zip(drawn, scores, strict=True)
        ]

    def _completion(self, beam: Beam, num_tokens: int) -> Completion:
        if beam.finished:
            return Completion(text_of(beam.steps, beam.seams), num_tokens)
        return Completion(begun_text(Begun(beam.steps, beam.seams), self._format), num_tokens, truncated=True)
