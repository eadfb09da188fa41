"""Loss, step AUC and calibration on questions that are not trained on, the same on any number of ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import distributed

from omegaprm.trainer.batches import EncodedRows
from omegaprm.trainer.prm import step_loss, step_scores

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Scored = tuple[list[float], list[float], float, float]
"""Scores, labels, and the sums of loss and weight."""

NUM_BINS = 10
"""Equally wide bins of the expected calibration error."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one look. auc: chance that a step with a label above 0 scores above one with label 0; None where
    there is only one kind. ece: mean over steps of |mean score - mean label| of their bin."""

    loss: float
    auc: float | None
    ece: float
    num_steps: int


class Forward(Protocol):
    """A model that gives the logits (steps, 2) of a batch."""

    def __call__(self, batch: dict[str, torch.Tensor]) -> torch.Tensor: ...


def look(rows: EncodedRows, forward: Forward, batch_size: int, positive_weight: float = 1.0) -> Figures:
    """Figures over all labelled steps of rows, whose batches the ranks share among them."""
    scores: list[float] = []
    labels: list[float] = []
    loss = weight = 0.0
    for places, counts_here in _turns(rows, batch_size):
        batch = rows.collate([rows[at] for at in places])
        with torch.no_grad():
            logits = forward(batch).float().cpu()
        if not counts_here:
            continue
        targets = batch["labels"].cpu()
        known = targets.sum(dim=1) > 0
        yes, no = targets[known].unbind(dim=1)
        scores += step_scores(logits)[known].tolist()
        labels += (yes / positive_weight / (yes / positive_weight + no)).tolist()
        loss += float(step_loss(logits, targets))
        weight += float(targets.sum())
    return figures(_of_all_ranks((scores, labels, loss, weight)))


def score(rows: EncodedRows, forward: Forward, batch_size: int) -> dict[int, list[float]]:
    """Scores (steps,) of every row, by its place among the rows that were given to be encoded; on every rank all."""
    found: dict[int, list[float]] = {}
    for places, counts_here in _turns(rows, batch_size):
        encoded = [rows[at] for at in places]
        with torch.no_grad():
            logits = forward(rows.collate(encoded))
        if not counts_here:
            continue
        scores = iter(step_scores(logits).tolist())
        for at, row in zip(places, encoded, strict=True):
            found[rows.rows.places[at]] = list(islice(scores, len(row["labels"])))
    return {place: scores for part in _of_all_ranks(found) for place, scores in part.items()}


def _turns(rows: EncodedRows, batch_size: int) -> Iterator[tuple[list[int], bool]]:
    """The batches of this rank, short rows first, and whether each counts.

    A rank that has no batch of its own left takes the last one again: all must take part in every pass.
    """
    order = sorted(range(len(rows)), key=rows.lengths.__getitem__)
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    num_ranks, rank = (distributed.get_world_size(), distributed.get_rank()) if distributed.is_initialized() else (1, 0)
    for mine in range(rank, -(-len(batches) // num_ranks) * num_ranks, num_ranks):
        yield batches[min(mine, len(batches) - 1)], mine < len(batches)


def figures(parts: Sequence[Scored]) -> Figures:
    """The figures of what every rank scored."""
    scores = np.array([score for part in parts for score in part[0]])
    labels = np.array([label for part in parts for label in part[1]])
    right = labels > 0
    return Figures(
        loss=math.fsum(part[2] for part in parts) / math.fsum(part[3] for part in parts),
        auc=float(roc_auc_score(right, scores)) if 0 < right.sum() < len(right) else None,
        ece=calibration_error(scores, labels),
        num_steps=len(scores),
    )


def calibration_error(scores: Floats, labels: Floats) -> float:
    """Expected calibration error against labels in [0, 1]."""
    bins = np.minimum((scores * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    return float(np.abs(np.bincount(bins, weights=scores - labels)).sum() / len(scores))


def _of_all_ranks(mine: T) -> list[T]:
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return [mine]
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, mine)
    return parts


def num_since_best(losses: Sequence[float]) -> int:
    """Looks since the one with the lowest loss, the first of equals; 0 where there was none."""
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0
