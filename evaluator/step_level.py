"""How well step scores tell right steps from wrong ones, pooled and within each problem.

A step's label is 1 where it is right and 0 where it is wrong; its score is the PRM's chance that it is right.
Figures that a set cannot give (one class only, no erroneous solution) are None.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Nested = Sequence[Sequence[Sequence[float]]]
"""[problem][solution][step]."""

NUM_BINS = 10
"""Equally wide bins of the expected calibration error."""

THRESHOLD = 0.5
"""Score below which a step is called wrong."""


def step_level(scores: Nested, labels: Nested, threshold: float = THRESHOLD) -> dict[str, Any]:
    """All step-level figures: AUC pooled and within problems, accuracy, F1, calibration, first errors.

    within_problem_auc is the mean over the num_problems_with_both problems that hold both kinds of steps.
    running_min_auc gives each step the lowest score of its solution so far: no step behind an error is right.
    ValueError where the shapes of scores and labels differ.
    """
    values, truths = _flat(scores), _flat(labels)
    if [len(row) for row in chain(*scores)] != [len(row) for row in chain(*labels)]:
        raise ValueError("step labels: must be one a score")
    within = [auc(_flat([s]), _flat([y])) for s, y in zip(scores, labels, strict=True)]
    known = [value for value in within if value is not None]
    best, at = best_f1(values, truths)
    return {
        "num_steps": len(values),
        "num_wrong_steps": int((truths == 0).sum()),
        "auc": auc(values, truths),
        "running_min_auc": auc(_flat(running_min(scores)), truths),
        "within_problem_auc": float(np.mean(known)) if known else None,
        "num_problems_with_both": len(known),
        "accuracy": accuracy(values, truths, threshold),
        "best_f1": best,
        "best_f1_threshold": at,
        "macro_f1": macro_f1(values, truths, threshold),
        "ece": calibration_error(values, truths),
        "first_error": first_error_f1(list(chain(*scores)), list(chain(*labels)), threshold),
        "threshold": threshold,
    }


def _flat(nested: Nested) -> Floats:
    return np.array([value for problem in nested for steps in problem for value in steps], dtype=np.float64)


def running_min(scores: Nested) -> Nested:
    return [[np.minimum.accumulate(steps).tolist() for steps in problem] for problem in scores]


def auc(scores: Floats, labels: Floats) -> float | None:
    """Chance that a right step scores above a wrong one, ties counting half."""
    num_right = int(labels.sum())
    num_wrong = len(labels) - num_right
    if not num_right or not num_wrong:
        return None
    _, groups, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (sizes.cumsum() - (sizes - 1) / 2)[groups]
    above = ranks[labels == 1].sum() - num_right * (num_right + 1) / 2
    return float(above / (num_right * num_wrong))


def accuracy(scores: Floats, labels: Floats, threshold: float = THRESHOLD) -> float | None:
    return float(((scores >= threshold) == (labels == 1)).mean()) if len(scores) else None


def _f1(found: int, called: int, there: int) -> float:
    return 2.0 * found / (called + there) if called + there else 0.0


def best_f1(scores: Floats, labels: Floats) -> tuple[float | None, float | None]:
    """The highest F1 of finding wrong steps as those scoring at most a threshold, and that threshold."""
    num_wrong = int((labels == 0).sum())
    if not num_wrong:
        return None, None
    order = np.argsort(scores, kind="stable")
    found = (labels[order] == 0).cumsum()
    f1 = 2.0 * found / (np.arange(1, len(scores) + 1) + num_wrong)
    last_of_equals = np.append(np.diff(scores[order]) > 0, True)
    best = int(np.where(last_of_equals, f1, -1.0).argmax())
    return float(f1[best]), float(scores[order][best])


def macro_f1(scores: Floats, labels: Floats, threshold: float = THRESHOLD) -> float | None:
    """VisualProcessBench's figure: the mean of the F1 of right steps and the F1 of wrong steps."""
    if not len(scores):
        return None
    called, truth = scores >= threshold, labels == 1
    right = _f1(int((called & truth).sum()), int(called.sum()), int(truth.sum()))
    wrong = _f1(int((~called & ~truth).sum()), int((~called).sum()), int((~truth).sum()))
    return (right + wrong) / 2


def calibration_error(scores: Floats, labels: Floats, num_bins: int = NUM_BINS) -> float | None:
    """Expected calibration error: mean over steps of |mean score - share right| of their bin."""
    if not len(scores):
        return None
    bins = np.minimum((scores * num_bins).astype(np.int64), num_bins - 1)
    gaps = np.bincount(bins, weights=scores - labels, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(scores))


def first_error(values: Sequence[float], threshold: float = THRESHOLD) -> int:
    """Index of the first step below the threshold, -1 where there is none; labels work alike."""
    return next((at for at, value in enumerate(values) if value < threshold), -1)


def first_error_f1(
    scores: Sequence[Sequence[float]], labels: Sequence[Sequence[float]], threshold: float = THRESHOLD
) -> dict[str, Any]:
    """ProcessBench's figure over solutions (arXiv 2412.06559, section 3).

    Accuracy on erroneous solutions (the very first error is named) and on right ones (none is named), and the
    harmonic mean of both as "f1".
    """
    pairs = [(first_error(s, threshold), first_error(y)) for s, y in zip(scores, labels, strict=True)]
    erroneous = [named == true for named, true in pairs if true >= 0]
    right = [named < 0 for named, true in pairs if true < 0]
    on_erroneous = sum(erroneous) / len(erroneous) if erroneous else None
    on_right = sum(right) / len(right) if right else None
    return {
        "accuracy_erroneous": on_erroneous,
        "accuracy_right": on_right,
        "f1": None if on_erroneous is None or on_right is None else _harmonic(on_erroneous, on_right),
        "num_erroneous": len(erroneous),
        "num_right": len(right),
    }


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
