"""The published figures of step benchmarks, with 95 % intervals from bootstrap draws over solutions.

A threshold is given, or chosen on one named subset as the one with the highest figure there; both are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from omegaprm.engine.errors import UsageError
from omegaprm.evaluator.bootstrap import interval, ratio, resampled_means
from omegaprm.evaluator.step_benchmarks import LabelledSolution
from omegaprm.evaluator.step_level import THRESHOLD

Floats = npt.NDArray[np.float64]
Scores = Sequence[Sequence[float]]
"""[solution][step]."""

ABOVE_ALL = 1.0 + 1e-9
"""A threshold that every score lies below."""


def process_figures(
    solutions: Sequence[LabelledSolution],
    scores: Scores,
    threshold: float | None = None,
    chosen_on: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """ProcessBench (arXiv 2412.06559, section 3): F1 of the accuracies on erroneous and on right solutions.

    The first step below the threshold is named as the first error. By subset: accuracy_erroneous,
    accuracy_right, f1, low, high, num_erroneous, num_right; "average_f1" is the mean over subsets. The threshold
    is chosen on chosen_on, by default the first subset, unless one is given.
    """
    windows = np.array([_window(one, s) for one, s in zip(solutions, scores, strict=True)]).reshape(-1, 3)
    names = list(dict.fromkeys(one.subset for one in solutions))
    parts = {name: windows[[one.subset == name for one in solutions]] for name in names}
    on = None if threshold is not None else _known_subset(chosen_on or names[0], names)
    at = _best_threshold(parts[on]) if on is not None else threshold
    assert at is not None
    subsets = {name: _process_row(part, at, draws, seed) for name, part in parts.items()}
    known = [row["f1"] for row in subsets.values() if row["f1"] is not None]
    return {
        "threshold": at,
        "threshold_chosen_on": on,
        "average_f1": float(np.mean(known)) if known else None,
        "subsets": subsets,
    }


def _window(solution: LabelledSolution, scores: Sequence[float]) -> tuple[float, float, float]:
    """(low, high, erroneous): the answer is right for low < threshold <= high."""
    lowest = np.minimum.accumulate(np.array(scores))
    error = solution.first_error
    if error < 0:
        return -np.inf, float(lowest[-1]), 0.0
    return float(lowest[error]), float(lowest[error - 1]) if error else np.inf, 1.0


def _hits(windows: Floats, thresholds: Floats) -> Floats:
    """Whether each solution is answered rightly at each threshold, shape (solutions, thresholds)."""
    hits: Floats = ((windows[:, :1] < thresholds) & (thresholds <= windows[:, 1:2])).astype(np.float64)
    return hits


def _best_threshold(windows: Floats) -> float:
    """The lowest of the thresholds with the highest F1; half way between the scores it lies between."""
    edges = np.unique(windows[:, :2][np.isfinite(windows[:, :2])])
    thresholds = np.concatenate([edges, [ABOVE_ALL]])
    hits, erroneous = _hits(windows, thresholds), windows[:, 2] == 1
    on_both = [hits[part].mean(0) if part.any() else np.zeros(len(thresholds)) for part in (erroneous, ~erroneous)]
    best = int(np.argmax(_harmonic(*on_both)))
    below = edges[best - 1] if best else 0.0
    return float((below + thresholds[best]) / 2)


def _harmonic(a: Floats, b: Floats) -> Floats:
    total = a + b
    return np.where(total > 0, 2 * a * b / np.where(total > 0, total, 1.0), 0.0)


def _process_row(windows: Floats, threshold: float, draws: int, seed: int) -> dict[str, Any]:
    hit, erroneous = _hits(windows, np.array([threshold]))[:, 0], windows[:, 2]
    table = np.stack([hit * erroneous, erroneous, hit * (1 - erroneous), 1 - erroneous], axis=1)
    on_erroneous, on_right, f1 = _process_f1(table.mean(0, keepdims=True))[:, 0]
    low, high = interval(_process_f1(resampled_means(table, draws, seed))[2])
    return {
        "accuracy_erroneous": _known(on_erroneous),
        "accuracy_right": _known(on_right),
        "f1": _known(f1),
        "low": _known(low),
        "high": _known(high),
        "num_erroneous": int(erroneous.sum()),
        "num_right": int((1 - erroneous).sum()),
    }


def _process_f1(means: Floats) -> Floats:
    """(draws, 4) means -> accuracy on erroneous, on right solutions, and F1, shape (3, draws); NaN if undefined."""
    on_erroneous, on_right = ratio(means[:, 0], means[:, 1]), ratio(means[:, 2], means[:, 3])
    return np.stack([on_erroneous, on_right, _harmonic(on_erroneous, on_right) + 0 * on_erroneous * on_right])


def macro_figures(
    solutions: Sequence[LabelledSolution],
    scores: Scores,
    threshold: float | None = None,
    chosen_on: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """VisualProcessBench (arXiv 2503.10291) and PRMBench's PRMScore: the mean of the F1 of right and wrong steps.

    Over the steps that have a label, by subset and for all steps together: macro_f1, low, high, f1_right,
    f1_wrong, num_right, num_wrong. The threshold is 0.5 unless one is given or a subset to choose it on.
    """
    names = list(dict.fromkeys(one.subset for one in solutions))
    at = threshold if threshold is not None else THRESHOLD
    on = _known_subset(chosen_on, names) if chosen_on is not None and threshold is None else None
    if on is not None:
        of_subset = [(one, s) for one, s in zip(solutions, scores, strict=True) if one.subset == on]
        at = _best_macro_threshold(*zip(*of_subset, strict=True))
    table = np.array([_tally(one, s, at) for one, s in zip(solutions, scores, strict=True)])
    rows = {name: table[[one.subset == name for one in solutions]] for name in names}
    return {
        "threshold": at,
        "threshold_chosen_on": on,
        **_macro_row(table, draws, seed),
        "subsets": {name: _macro_row(part, draws, seed) for name, part in rows.items()},
    }


def _tally(solution: LabelledSolution, scores: Sequence[float], threshold: float) -> list[float]:
    """Of one solution's labelled steps: right found, called, there; wrong found, called, there."""
    pairs = [(s >= threshold, y == 1) for s, y in zip(scores, solution.labels, strict=True) if y is not None]
    counts = []
    for kind in (True, False):
        found = sum(called == truth == kind for called, truth in pairs)
        counts += [found, sum(called == kind for called, _ in pairs), sum(truth == kind for _, truth in pairs)]
    return [float(count) for count in counts]


def _macro_row(table: Floats, draws: int, seed: int) -> dict[str, Any]:
    sums = table.sum(0)
    right, wrong, macro = _macro_f1(sums[None])[:, 0]
    low, high = interval(_macro_f1(resampled_means(table, draws, seed))[2])
    return {
        "macro_f1": _known(macro),
        "low": _known(low),
        "high": _known(high),
        "f1_right": _known(right),
        "f1_wrong": _known(wrong),
        "num_right": int(sums[2]),
        "num_wrong": int(sums[5]),
    }


def _macro_f1(counts: Floats) -> Floats:
    """(draws, 6) tallies -> F1 of right steps, of wrong steps, and their mean, shape (3, draws)."""
    kinds = [counts[:, at : at + 3] for at in (0, 3)]
    right, wrong = (np.nan_to_num(ratio(2 * kind[:, 0], kind[:, 1] + kind[:, 2])) for kind in kinds)
    return np.stack([right, wrong, (right + wrong) / 2])


def _best_macro_threshold(solutions: Sequence[LabelledSolution], scores: Scores) -> float:
    """The lowest of the thresholds, half way between neighbouring scores, with the highest macro F1."""
    pairs = sorted(
        (score, label)
        for one, of_one in zip(solutions, scores, strict=True)
        for score, label in zip(of_one, one.labels, strict=True)
        if label is not None
    )
    values, truths = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    num, num_right = len(values), truths.sum()
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(values) > 0) + 1, [num]])
    right_below = np.concatenate([[0.0], truths.cumsum()])[cuts]
    wrong_below = cuts - right_below
    counts = [num_right - right_below, num - cuts, num_right + 0 * cuts, wrong_below, cuts, num - num_right + 0 * cuts]
    best = int(cuts[np.argmax(_macro_f1(np.stack(counts, axis=1))[2])])
    neighbours = values[best - 1] if best else 0.0, values[best] if best < num else ABOVE_ALL
    return float(np.mean(neighbours))


def _known_subset(name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise UsageError(f"--threshold-on {name}: must be one of {', '.join(names)}")
    return name


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
