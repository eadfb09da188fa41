"""Equal texts are one solution: how many there are a problem, and every figure with each text counted once.

Where right solutions share one text and wrong ones are all different, the highest of N scores sits on a wrong
text more often than the candidates' labels suggest; the figures over texts show how far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from omegaprm.engine.records import Candidates
from omegaprm.evaluator.best_of_n import ProblemScores, answers_of, figures
from omegaprm.evaluator.voting import normalise

LEFT_OUT = ("curves", "draws", "seed")


class Variety(msgspec.Struct, frozen=True):
    """How different the candidates of one problem are. A text counts as right where its candidate is."""

    id: str
    candidates: int
    texts: int
    right_texts: int
    wrong_texts: int
    answers: int


def variety(problem: Candidates) -> Variety:
    """Distinct texts and answers of one problem."""
    kept = _first_of_each(problem)
    num_right = sum(problem.labels[at] for at in kept)
    answers = {normalise(answer) for answer in answers_of(problem)}
    num = len(problem.solutions_splits)
    return Variety(problem.id, num, len(kept), num_right, len(kept) - num_right, len(answers))


def over_texts(
    candidates: Sequence[Candidates], scores: Sequence[ProblemScores], draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """figures() over distinct texts, without its curves, with the mean of right and wrong ones a problem."""
    kept = [_first_of_each(problem) for problem in candidates]
    found = figures(
        [_only(problem, at) for problem, at in zip(candidates, kept, strict=True)],
        [[of_problem[i] for i in at] for of_problem, at in zip(scores, kept, strict=True)],
        draws,
        seed,
    )
    varieties = [variety(problem) for problem in candidates]
    return {
        **{name: value for name, value in found.items() if name not in LEFT_OUT},
        "right_texts": float(np.mean([one.right_texts for one in varieties])),
        "wrong_texts": float(np.mean([one.wrong_texts for one in varieties])),
    }


def _first_of_each(problem: Candidates) -> list[int]:
    """The candidates that are the first with their text, in order."""
    first: dict[tuple[str, ...], int] = {}
    for at, steps in enumerate(problem.solutions_splits):
        first.setdefault(steps, at)
    return list(first.values())


def _only(problem: Candidates, kept: Sequence[int]) -> Candidates:
    answers = answers_of(problem)
    return msgspec.structs.replace(
        problem,
        solutions_splits=tuple(problem.solutions_splits[at] for at in kept),
        labels=tuple(problem.labels[at] for at in kept),
        answers=tuple(answers[at] for at in kept),
    )
