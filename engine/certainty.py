"""How sure a label is: the rollouts behind it and the interval that its true value lies in; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from omegaprm.engine.nodes import ROOT_DIGEST, Tree, state_digests
from omegaprm.engine.selection import Labelled

Z = 1.959964
"""Standard normal deviate of a 95 % interval."""
DIGITS = 4

StepCounts = tuple[tuple[int, int] | None, ...]
"""(correct, judged) of each step."""


def step_counts(tree: Tree, solution: Labelled, min_judged: int = 0) -> StepCounts:
    """(correct, judged) of the rollouts that estimated each very step; None where none did.

    An estimate that the label is not made from is left out: MC = 0 before the first error, MC > 0 behind it, fewer
    than min_judged. The last step is its own verdict, (1, 1) or (0, 1).
    """
    steps, labels = solution.steps, solution.labels
    first_error = labels.index(0) if 0 in labels else len(labels)
    counts: list[tuple[int, int] | None] = []
    for at, digest in enumerate(state_digests(ROOT_DIGEST, steps[:-1])):
        node = tree.node(digest)
        if node is None or node.judged < max(1, min_judged) or (node.correct > 0) != (at < first_error):
            counts.append(None)
        else:
            counts.append((node.correct, node.judged))
    return (*counts, (int(first_error == len(labels)), 1))


def intervals(counts: Sequence[tuple[int, int] | None]) -> list[tuple[float, float] | None]:
    """The Wilson interval of each step's value; None where no rollouts estimated it, and for the last step."""
    found = [None if count is None else wilson(*count) for count in counts[:-1]]
    return [*found, None]


def wilson(correct: int, judged: int) -> tuple[float, float]:
    """The 95 % score interval (Wilson, 1927) of a share of which correct of judged was seen; judged is above 0.

    >>> wilson(0, 16)
    (0.0, 0.1936)
    """
    share, square = correct / judged, Z * Z
    middle = (share + square / (2 * judged)) / (1 + square / judged)
    spread = Z * math.sqrt(share * (1 - share) / judged + square / (4 * judged**2)) / (1 + square / judged)
    return round(max(0.0, middle - spread), DIGITS), round(min(1.0, middle + spread), DIGITS)
