"""One problem with a right and a wrong solution and the PRM's score of every step, chosen without flattery.

The problem is the median one by the difference of the two solutions' weakest steps, neither the best nor the
worst case; so are the solutions among those of their kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from omegaprm.engine.records import Candidates


class Told(msgspec.Struct, frozen=True):
    """A solution and the PRM's score of each step."""

    steps: tuple[str, ...]
    scores: tuple[float, ...]


class Case(msgspec.Struct, frozen=True):
    """A problem with a right and a wrong solution; images are absolute paths."""

    question: str
    correct_answer: str
    images: tuple[str, ...]
    right: Told
    wrong: Told


def find_case(
    candidates: Sequence[Candidates],
    scores: Sequence[Sequence[Sequence[float]]],
    images: Sequence[tuple[str, ...]],
) -> Case | None:
    """The median case; problems with an image go first. None where no problem has both kinds of solutions."""
    cases = [_case(*row) for row in zip(candidates, scores, images, strict=True)]
    both = [case for case in cases if case is not None]
    pool = [case for case in both if case.images] or both
    ranked = sorted(pool, key=lambda case: (min(case.right.scores) - min(case.wrong.scores), case.question))
    return ranked[len(ranked) // 2] if ranked else None


def _case(problem: Candidates, scores: Sequence[Sequence[float]], images: tuple[str, ...]) -> Case | None:
    right, wrong = (_median_solution(problem, scores, label) for label in (1, 0))
    if right is None or wrong is None:
        return None
    return Case(problem.question, problem.correct_answer, images, right, wrong)


def _median_solution(problem: Candidates, scores: Sequence[Sequence[float]], label: int) -> Told | None:
    """The median solution with this label by its weakest step."""
    rows = zip(problem.solutions_splits, scores, problem.labels, strict=True)
    told = [Told(steps, tuple(of_steps)) for steps, of_steps, given in rows if given == label and steps]
    ranked = sorted(told, key=lambda one: (min(one.scores), one.steps))
    return ranked[len(ranked) // 2] if ranked else None
