"""One number a solution from the scores of its steps, in the eight ways MM-PRM compares (section 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CLIP = 1e-6
"""Scores are kept this far from 0 and 1, so that logarithms and odds are finite."""

NO_STEPS = float("-inf")
"""What a solution without steps is worth: less than any other."""


def _odds(scores: Floats) -> Floats:
    return scores / (1.0 - scores)


AGGREGATIONS: dict[str, Callable[[Floats], float]] = {
    "min": lambda p: float(p.min()),
    "last": lambda p: float(p[-1]),
    "product": lambda p: float(np.sort(p).prod()),
    "average": lambda p: float(np.sort(p).mean()),
    "max": lambda p: float(p.max()),
    "sum_logprob": lambda p: float(np.log(np.sort(p)).sum()),
    "sum_logits": lambda p: float(np.log(_odds(np.sort(p))).sum()),
    "mean_odd": lambda p: float(_odds(np.sort(p)).mean()),
}
"""By name. Sums run over sorted scores: two solutions with the same scores in another order tie exactly."""


def aggregate(name: str, scores: Sequence[float]) -> float:
    """The worth of one solution under the named aggregation; its step scores lie in [0, 1]."""
    if not len(scores):
        return NO_STEPS
    return AGGREGATIONS[name](np.clip(np.asarray(scores, dtype=np.float64), CLIP, 1.0 - CLIP))


def aggregate_all(name: str, solutions: Sequence[Sequence[float]]) -> Floats:
    """Worth of every solution of one problem, shape (n,)."""
    return np.array([aggregate(name, scores) for scores in solutions], dtype=np.float64)
