"""Two PRMs on the same candidates: every difference pairs by problem and comes with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from omegaprm.engine.records import Candidates
from omegaprm.evaluator.aggregation import AGGREGATIONS
from omegaprm.evaluator.best_of_n import ROUNDING, ProblemScores, curves_of
from omegaprm.evaluator.bootstrap import interval, resampled_means
from omegaprm.evaluator.candidates import StepLabels
from omegaprm.evaluator.step_level import auc

Floats = npt.NDArray[np.float64]

COMPARED = (*AGGREGATIONS, "weighted_vote")


def comparison(
    candidates: Sequence[Candidates],
    first: Sequence[ProblemScores],
    second: Sequence[ProblemScores],
    step_labels: Sequence[StepLabels | None] = (),
    sizes: Sequence[int] = (),
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """First PRM less second, by aggregation: {difference, low, high, num_better, num_worse, note}.

    "best_of_n" holds them with all candidates, "weighted_vote" among them, "at_n" the same at each of sizes
    (None above the largest n), "within_problem_auc" the difference of that figure over the problems whose step
    labels hold both kinds, None without one. num_better counts problems in which the first PRM does better.
    """
    curves = [curves_of(candidates, scores, seed) for scores in (first, second)]
    one, other = ({**curve.best, "weighted_vote": curve.baselines["weighted_vote"]} for curve in curves)
    longest = one["min"].shape[1]

    def at(n: int) -> dict[str, Any]:
        gaps = {name: one[name][:, n - 1] - other[name][:, n - 1] for name in COMPARED}
        return {name: difference(gap, draws, seed) for name, gap in gaps.items()}

    return {
        "num_problems": len(candidates),
        "best_of_n": at(longest),
        "at_n": {str(n): at(n) if n <= longest else None for n in sizes},
        "within_problem_auc": _auc_difference(first, second, step_labels, draws, seed),
    }


def difference(gaps: Floats, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """The mean of differences (num_problems,) with its bootstrap interval, and in how many problems it holds."""
    low, high = interval(resampled_means(gaps[:, None], draws, seed)[:, 0])
    return {
        "difference": float(gaps.mean()),
        "low": low,
        "high": high,
        "num_better": int((gaps > ROUNDING).sum()),
        "num_worse": int((gaps < -ROUNDING).sum()),
        "note": _note(low, high),
    }


def _note(low: float, high: float) -> str:
    if low > ROUNDING:
        return "better"
    if high < -ROUNDING:
        return "worse"
    return "no difference shown: the interval holds zero"


def _auc_difference(
    first: Sequence[ProblemScores],
    second: Sequence[ProblemScores],
    step_labels: Sequence[StepLabels | None],
    draws: int,
    seed: int,
) -> dict[str, Any] | None:
    gaps = []
    for one, other, labels in zip(first, second, step_labels, strict=False):
        if labels is None:
            continue
        truths = _flat(labels)
        of_first, of_second = auc(_flat(one), truths), auc(_flat(other), truths)
        if of_first is not None and of_second is not None:
            gaps.append(of_first - of_second)
    return difference(np.array(gaps), draws, seed) if gaps else None


def _flat(nested: Sequence[Sequence[float]]) -> Floats:
    return np.array([value for steps in nested for value in steps], dtype=np.float64)
