"""Every option of the loss is one pair of weights (yes, no) a step: the loss is -(yes log p + no log(1 - p)).

A step that is left out has the pair (0, 0). The mean over a batch is taken over the sum of all its weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from omegaprm.engine.records import TrainingRow

Target = Literal["soft", "hard", "counts"]
Pair = tuple[float, float]
Problem = tuple[str, tuple[str, ...]]
"""A question with the names of its images."""

LEFT_OUT: Pair = (0.0, 0.0)


class LossRule(msgspec.Struct, frozen=True, kw_only=True):
    """How the labels of a row become its pairs."""

    kind: Target = "soft"
    mask_after_error: bool = False
    mask_unestimated: bool = False
    positive_weight: float = 1.0


def pairs(row: TrainingRow, rule: LossRule) -> list[Pair]:
    """The pairs of a row's steps, its own weight in them."""
    made = [_KINDS[rule.kind](row, at) for at in range(len(row.steps))]
    if rule.mask_unestimated:
        made = [pair if _is_estimated(row, at) else LEFT_OUT for at, pair in enumerate(made)]
    if rule.mask_after_error:
        end = first_error(row.labels) + 1
        made[end:] = [LEFT_OUT] * len(made[end:])
    return [(yes * rule.positive_weight * row.weight, no * row.weight) for yes, no in made]


def has_weight(row: TrainingRow, rule: LossRule) -> bool:
    """Whether the rule leaves any step of a row for the loss."""
    return any(map(any, pairs(row, rule)))


def first_error(labels: Sequence[float | None]) -> int:
    """Index of the first step whose label is 0; the last index where there is none."""
    return next((at for at, label in enumerate(labels) if label == 0), len(labels) - 1)


def _soft(row: TrainingRow, at: int) -> Pair:
    label = row.labels[at]
    return LEFT_OUT if label is None else (label, 1 - label)


def _hard(row: TrainingRow, at: int) -> Pair:
    label = row.labels[at]
    return LEFT_OUT if label is None else (float(label > 0), float(label <= 0))


def _counts(row: TrainingRow, at: int) -> Pair:
    """The binomial likelihood of correct among judged: a step weighs as much as it was judged."""
    count = row.counts[at] if row.counts else None
    if count is None or row.labels[at] is None:
        return LEFT_OUT
    correct, judged = count
    return float(correct), float(judged - correct)


_KINDS: dict[Target, Callable[[TrainingRow, int], Pair]] = {"soft": _soft, "hard": _hard, "counts": _counts}


def _is_estimated(row: TrainingRow, at: int) -> bool:
    return bool(row.counts) and row.counts[at] is not None


def problem_of(row: TrainingRow) -> Problem:
    return row.question, tuple(Path(image).name for image in row.images)


def problem_weights(problems: Iterable[Problem]) -> list[float]:
    """One weight a row, so that every problem has the same share of the loss; their mean is 1."""
    listed = list(problems)
    sizes = Counter(listed)
    share = len(listed) / max(1, len(sizes))
    return [share / sizes[problem] for problem in listed]
