"""Every figure of Best-of-N at chosen N, each an exact expectation over which N of the candidates were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from omegaprm.engine.records import Candidates
from omegaprm.evaluator.aggregation import AGGREGATIONS
from omegaprm.evaluator.best_of_n import Curves, ProblemScores, against_random, curves_of
from omegaprm.evaluator.bootstrap import resampled_means

VOTES = ("majority", "weighted_vote")


def at_n(
    candidates: Sequence[Candidates],
    scores: Sequence[ProblemScores],
    sizes: Sequence[int],
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """By N as text: "random", "pass", and "best_of_n" and "votes" as figures() has them, all at this N.

    N is above 0; a problem with fewer than N candidates gives all it has, and an N above all of them is None.
    """
    curves = curves_of(candidates, scores, seed)
    longest = curves.baselines["random"].shape[1]
    return {str(n): _figures(curves, n, draws, seed) if n <= longest else None for n in sizes}


def _figures(curves: Curves, n: int, draws: int, seed: int) -> dict[str, Any]:
    columns = {name: curve[:, n - 1] for name, curve in (curves.baselines | curves.best).items()}
    table = np.stack([*columns.values()], axis=1)
    samples = dict(zip(columns, resampled_means(table, draws, seed).T, strict=True))
    means = {name: float(column.mean()) for name, column in columns.items()}
    return {
        "random": means["random"],
        "pass": means["pass"],
        "best_of_n": {name: against_random(name, means, samples) for name in AGGREGATIONS},
        "votes": {name: against_random(name, means, samples) for name in VOTES},
    }
