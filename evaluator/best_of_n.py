"""Every figure of Best-of-N as an expectation over which N of the candidates were drawn, with its interval.

Random, pass@N and Best-of-N are exact: no subset is ever drawn. Equal scores share a win evenly. A problem
with fewer than N candidates gives all it has. Nothing here reads a file or a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from omegaprm.engine.records import Candidates
from omegaprm.evaluator.aggregation import AGGREGATIONS, CLIP, aggregate_all
from omegaprm.evaluator.bootstrap import interval, ratio, resampled_means
from omegaprm.evaluator.voting import normalise, numbered, vote_curve

Floats = npt.NDArray[np.float64]
ProblemScores = Sequence[Sequence[float]]
"""Step scores of one problem: [candidate][step], each in [0, 1]."""

PASS_AT = (1, 2, 4, 8, 16)
VOTE_WEIGHT = "min"
"""Aggregation whose values are the weights of the PRM-weighted vote."""

ROUNDING = 1e-9
"""Differences below this are rounding, not gains."""


@lru_cache(maxsize=64)
def _none_drawn(num: int) -> Floats:
    """[m, N - 1] = C(m, N) / C(num, N): the chance that N of num candidates all come from some m of them."""
    m = np.arange(num + 1, dtype=np.float64)[:, None]
    i = np.arange(num, dtype=np.float64)[None, :]
    stay: Floats = np.maximum((m - i) / (num - i), 0.0)
    return np.multiply.accumulate(stay, axis=1)


def pass_curve(labels: Floats) -> Floats:
    """Chance that a right solution is among N of the n candidates, N = 1..n: 1 - C(n - c, N) / C(n, N)."""
    num = len(labels)
    misses: Floats = _none_drawn(num)[num - int(labels.sum())]
    return 1.0 - misses


def best_curve(values: Floats, labels: Floats) -> Floats:
    """Expected label of the highest valued among N of the n candidates, N = 1..n; equal values share evenly.

    The top of a random subset lies in a group of equal values with the chance that the subset holds nothing
    higher, less the chance that it holds neither something higher nor the group.
    """
    num = len(values)
    _, groups = np.unique(-values, return_inverse=True)
    sizes = np.bincount(groups)
    left = num - np.concatenate([[0], sizes.cumsum()])
    chances = _none_drawn(num)[left[:-1]] - _none_drawn(num)[left[1:]]
    means = np.bincount(groups, weights=labels) / sizes
    curve: Floats = means @ chances
    return curve


class Curves(msgspec.Struct, frozen=True):
    """Per problem and N, each of shape (num_problems, max n)."""

    baselines: dict[str, Floats]
    best: dict[str, Floats]


def figures(
    candidates: Sequence[Candidates], scores: Sequence[ProblemScores], draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """All figures of one PRM on one set of problems, ready for JSON; scores[problem][candidate][step].

    "random", "majority", "weighted_vote" are accuracies with all n candidates, "pass" {"1": ...} to 16 (None
    beyond the largest n), "best_of_n" {aggregation: accuracy, low, high, minus_random, minus_random_low,
    minus_random_high, gap_closed, gap_closed_low, gap_closed_high, note}, "votes" the same for the two votes,
    "weighted_minus_majority" {difference, low, high} of the two, paired by problem,
    "curves" lists over N = 1..n with "n" itself, "intervals" [low, high] of the plain figures. Intervals are
    95 %, from bootstrap draws over problems. What is undefined is None. ValueError where nothing is given or
    shapes differ.
    """
    curves = curves_of(candidates, scores, seed)
    finals = {name: curve[:, -1] for name, curve in (curves.baselines | curves.best).items()}
    of_pass = {f"pass@{n}": _at(curves.baselines["pass"], n) for n in PASS_AT}
    table = finals | {name: column for name, column in of_pass.items() if column is not None}
    samples = dict(zip(table, resampled_means(np.stack([*table.values()], axis=1), draws, seed).T, strict=True))
    means = {name: float(column.mean()) for name, column in table.items()}
    plain = ("random", "majority", "weighted_vote")
    return {
        **{name: means[name] for name in plain},
        "pass": {str(n): means.get(f"pass@{n}") for n in PASS_AT},
        "pass_all": means["pass"],
        "best_of_n": {name: against_random(name, means, samples) for name in AGGREGATIONS},
        "votes": {name: against_random(name, means, samples) for name in plain[1:]},
        "weighted_minus_majority": _difference("weighted_vote", "majority", means, samples),
        "curves": _mean_curves(curves),
        "intervals": {
            **{name: list(interval(samples[name])) for name in plain},
            "pass": {str(n): list(interval(samples[f"pass@{n}"])) if f"pass@{n}" in samples else None for n in PASS_AT},
        },
        **_sizes(candidates),
        "draws": draws,
        "seed": seed,
    }


def _check(candidates: Sequence[Candidates], scores: Sequence[ProblemScores]) -> None:
    if not candidates:
        raise ValueError("candidates: must hold at least one problem")
    for problem, of_problem in zip(candidates, scores, strict=True):
        num_steps = [len(steps) for steps in problem.solutions_splits]
        if not num_steps or len(problem.labels) != len(num_steps):
            raise ValueError(f"problem {problem.id}: must hold at least one solution and a label for each")
        if [len(steps) for steps in of_problem] != num_steps:
            raise ValueError(f"scores of problem {problem.id}: must be one a step, {num_steps} steps")


def curves_of(candidates: Sequence[Candidates], scores: Sequence[ProblemScores], seed: int) -> Curves:
    """The curves of every figure; ValueError where nothing is given or shapes differ."""
    _check(candidates, scores)
    rows = [_problem_curves(*pair, seed) for pair in zip(candidates, scores, strict=True)]
    longest = max(len(problem.labels) for problem in candidates)
    table = {name: np.stack([_extended(row[name], longest) for row in rows]) for name in rows[0]}
    best = {name: table.pop(name) for name in AGGREGATIONS}
    return Curves(table, best)


def _problem_curves(problem: Candidates, scores: ProblemScores, seed: int) -> dict[str, Floats]:
    labels = np.array(problem.labels, dtype=np.float64)
    values = {name: aggregate_all(name, scores) for name in AGGREGATIONS}
    answers = numbered(answers_of(problem))
    weights = np.maximum(values[VOTE_WEIGHT], CLIP)
    return {
        "random": np.full(len(labels), labels.mean()),
        "majority": vote_curve(answers, np.ones(len(labels)), labels, seed),
        "weighted_vote": vote_curve(answers, weights, labels, seed),
        "pass": pass_curve(labels),
        **{name: best_curve(of_solutions, labels) for name, of_solutions in values.items()},
    }


def answers_of(problem: Candidates) -> tuple[str, ...]:
    """The final answers; where the file gave none, the last step of each solution."""
    return problem.answers or tuple(steps[-1] if steps else "" for steps in problem.solutions_splits)


def _extended(curve: Floats, length: int) -> Floats:
    return np.concatenate([curve, np.full(length - len(curve), curve[-1])])


def _at(curve: Floats, n: int) -> Floats | None:
    return curve[:, n - 1] if n <= curve.shape[1] else None


def against_random(name: str, means: dict[str, float], samples: dict[str, Floats]) -> dict[str, Any]:
    """One figure with its interval, its paired difference to "random", and the share it closes of the gap to "pass"."""
    low, high = interval(samples[name])
    gains, room = samples[name] - samples["random"], samples["pass"] - samples["random"]
    gain_low, gain_high = interval(gains)
    closed_low, closed_high = interval(ratio(gains, room))
    gain = means[name] - means["random"]
    closed = ratio(np.array(gain), np.array(means["pass"] - means["random"])).item()
    return {
        "accuracy": means[name],
        "low": low,
        "high": high,
        "minus_random": gain,
        "minus_random_low": gain_low,
        "minus_random_high": gain_high,
        "gap_closed": _known(closed),
        "gap_closed_low": _known(closed_low),
        "gap_closed_high": _known(closed_high),
        "note": note(gain_low, gain_high),
    }


def _difference(name: str, other: str, means: dict[str, float], samples: dict[str, Floats]) -> dict[str, float]:
    low, high = interval(samples[name] - samples[other])
    return {"difference": means[name] - means[other], "low": low, "high": high}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def note(low: float, high: float) -> str:
    """The interval of a difference to random in words."""
    if low > ROUNDING:
        return "better than random"
    if high < -ROUNDING:
        return "worse than random"
    return "no difference from random shown: the interval holds zero"


def _mean_curves(curves: Curves) -> dict[str, list[Any]]:
    means = {name: curve.mean(0).tolist() for name, curve in (curves.baselines | curves.best).items()}
    return {"n": list(range(1, len(means["random"]) + 1)), **means}


def _sizes(candidates: Sequence[Candidates]) -> dict[str, Any]:
    """How many problems and candidates there are, and how different the candidates of a problem are."""
    texts = [len(set(problem.solutions_splits)) for problem in candidates]
    answers = [len({normalise(answer) for answer in answers_of(problem)}) for problem in candidates]
    num = [len(problem.labels) for problem in candidates]
    return {
        "num_problems": len(candidates),
        "num_candidates": sum(num),
        "fewest_candidates": min(num),
        "most_candidates": max(num),
        "distinct_texts": float(np.mean(texts)),
        "distinct_answers": float(np.mean(answers)),
    }
