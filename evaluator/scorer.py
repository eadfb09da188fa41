"""Scores of a PRM for every step of given solutions, the same for a solution whatever it is scored beside.

Inputs are made by omegaprm.trainer.encoding and read by omegaprm.trainer.prm, exactly as in training.
"""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from omegaprm.engine.errors import BadInput
from omegaprm.trainer import prm
from omegaprm.trainer.encoding import Encoded, Encoder, Item, Unusable, length

__all__ = ["Item", "Scorer", "StepScores"]

ITEMS_A_STRIDE = 2048
"""Encoded at a time, so that the images of a long list are not all in memory at once."""
Progress = Callable[[int, int], None]
Images = str | Path | Sequence[str | Path]


class StepScores(ABC):
    """What every way of running a PRM does alike: equal items once, too long ones 0, short ones first.

    num_too_long counts solutions so far that the model's context could not hold; their steps score 0.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.num_too_long = 0
        self._encoder = encoder

    @abstractmethod
    def _batches_of(self, items: Sequence[Item], rows: Sequence[Encoded]) -> Iterator[list[list[float]]]:
        """Scores of items that fit the context, each beside its inputs: in their order, a batch at a time."""

    def score(self, question: str, steps: Sequence[str], images: Images = ()) -> list[float]:
        """The probability, for each step, that it is right; images is a path or several."""
        paths = [images] if isinstance(images, (str, Path)) else images
        return self.score_many([Item(question, tuple(steps), tuple(map(str, paths)))])[0]

    def score_many(self, items: Sequence[Item], progress: Progress | None = None) -> list[list[float]]:
        """Scores of each item, (steps,) each, in the order of items; equal items are scored once.

        progress is told now and then how many of how many distinct items are done.
        """
        distinct = sorted({item for item in items if item.steps}, key=_size)
        scores: dict[Item, list[float]] = {}
        for start in range(0, len(distinct), ITEMS_A_STRIDE):
            fitting = self._fitting(distinct[start : start + ITEMS_A_STRIDE], scores)
            left = iter(item for item, _ in fitting)
            for found in self._batches_of([item for item, _ in fitting], [row for _, row in fitting]):
                scores.update((next(left), of_item) for of_item in found)
                if progress:
                    progress(len(scores), len(distinct))
        return [list(scores.get(item, [])) for item in items]

    def _fitting(self, items: list[Item], scores: dict[Item, list[float]]) -> list[tuple[Item, Encoded]]:
        """Encoded items, the shortest first; those too long get their scores right away."""
        fitting: list[tuple[Item, Encoded]] = []
        for item, row in zip(items, self._encoder.encode_many(items), strict=True):
            if not isinstance(row, Unusable):
                fitting.append((item, row))
            elif row.kind == "too long":
                self.num_too_long += 1
                scores[item] = [0.0] * len(item.steps)
            else:
                raise BadInput(f"{', '.join(item.images)}: {row}")
        fitting.sort(key=lambda pair: length(pair[1]))
        return fitting


class Scorer(StepScores):
    """A PRM folder, or any policy folder: one that lacks <prm> is given it in memory.

    batch_size: solutions a forward pass. device: where it runs, by default a GPU if there is one. date: for a chat
    template that writes today's, by default the one that the folder records (see omegaprm.engine.template_date).
    Errors: ConfigurationError where the folder cannot be loaded, BadInput where an image cannot be read.
    """

    def __init__(
        self,
        path: str | Path,
        batch_size: int = 32,
        device: str | None = None,
        date: datetime.date | None = None,
    ) -> None:
        prm.limit_threads()
        super().__init__(Encoder.load(path, date=date))
        self._batch_size = batch_size
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = prm.weights_dtype(bf16=self._device.type == "cuda")
        self._model = prm.load(path, self._encoder, dtype).to(self._device).eval()
        self._head = self._model.get_output_embeddings()

    def _batches_of(self, items: Sequence[Item], rows: Sequence[Encoded]) -> Iterator[list[list[float]]]:
        for start in range(0, len(rows), self._batch_size):
            yield self._forward(list(rows[start : start + self._batch_size]))

    @torch.inference_mode()
    def _forward(self, rows: list[Encoded]) -> list[list[float]]:
        batch = {key: value.to(self._device) for key, value in self._encoder.collate(rows).items()}
        logits = prm.step_logits(self._model, self._head, batch, self._encoder.tokens)
        counts = (batch["input_ids"] == self._encoder.tokens.prm).sum(dim=1).tolist()
        return [part.tolist() for part in prm.step_scores(logits).split(counts)]


def _size(item: Item) -> tuple[int, str, tuple[str, ...], tuple[str, ...]]:
    """Text first by its length; the rest makes the order the same in every run."""
    num_characters = len(item.question) + sum(map(len, item.steps))
    return num_characters, item.question, item.steps, item.images
