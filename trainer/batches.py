"""Rows encoded once, and an order of them that follows from the seed and the epoch alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from zlib import crc32

import msgspec
import torch
from torch.utils.data import Dataset, Sampler

from omegaprm.engine.records import TrainingRow
from omegaprm.trainer.encoding import Encoded, Encoder, Item, Unusable, length
from omegaprm.trainer.rows import Part
from omegaprm.trainer.targets import LossRule, pairs, problem_of, problem_weights

MAX_KEPT_BYTES = 2**31
"""Image features past this much memory are made again whenever their row is due."""
ROWS_A_STRIDE = 1024
BATCHES_A_POOL = 32
"""Batches drawn together and cut by length: padding falls to a few per cent, and the order stays random."""


class EncodedRows(Dataset[Encoded]):
    """Rows as model inputs; dropped says of each that could not become any where it stood, and why.

    The targets of a row stand in the key "labels", (steps, 2): the weights of Yes and of No.
    """

    def __init__(
        self,
        rows: Sequence[TrainingRow],
        encoder: Encoder,
        check: Callable[[], None],
        rule: LossRule | None = None,
        images_in_every_batch: bool = False,
        weigh_problems: bool = False,
    ) -> None:
        """check is called now and then, and may raise to end the work.

        images_in_every_batch, where any row has images: a batch of text gets one such row more, its targets 0.
        Several processes need it: all must have gradients for the same weights in every pass.
        """
        self.lengths: list[int] = []
        self.dropped: dict[int, Unusable] = {}
        self._encoder = encoder
        self._rule = rule or LossRule()
        self._kept: list[Encoded | None] = []
        places: list[int] = []
        room = MAX_KEPT_BYTES
        for start in range(0, len(rows), ROWS_A_STRIDE):
            check()
            part = rows[start : start + ROWS_A_STRIDE]
            for at, encoded in enumerate(encoder.encode_many(list(map(_item, part)))):
                if isinstance(encoded, Unusable):
                    self.dropped[start + at] = encoded
                    continue
                encoded["labels"] = self._targets(part[at])
                room -= _num_bytes(encoded)
                places.append(start + at)
                self.lengths.append(length(encoded))
                self._kept.append(encoded if room >= 0 else None)
        self.rows = Part(rows, places)
        self._weights = problem_weights(map(problem_of, self.rows)) if weigh_problems else None
        self._stand_in = self._shortest_with_images() if images_in_every_batch else None

    @property
    def num_dropped(self) -> Counter[str]:
        """By kind of reason."""
        return Counter(reason.kind for reason in self.dropped.values())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> Encoded:
        encoded = self._kept[at]
        if encoded is None:
            row = self.rows[at]
            encoded = {**self._encoder.encode(_item(row)), "labels": self._targets(row)}
        weight = self._weights[at] if self._weights else 1.0
        return {**encoded, "labels": encoded["labels"] * weight}

    def collate(self, rows: list[Encoded]) -> Encoded:
        """A batch with "labels" (steps of all rows, 2), in the order of the <prm> in it."""
        if self._stand_in and not any(row.keys() >= self._stand_in.keys() for row in rows):
            rows = [*rows, self._stand_in]
        labels = torch.cat([row["labels"] for row in rows])
        inputs = [{key: value for key, value in row.items() if key != "labels"} for row in rows]
        return {**self._encoder.collate(inputs), "labels": labels}

    def _targets(self, row: TrainingRow) -> torch.Tensor:
        return torch.tensor(pairs(row, self._rule))

    def _shortest_with_images(self) -> Encoded | None:
        having = [at for at, row in enumerate(self.rows) if row.images]
        if not having:
            return None
        row = self[min(having, key=self.lengths.__getitem__)]
        return {**row, "labels": torch.zeros_like(row["labels"])}


class LengthGrouped(Sampler[int]):
    """Every row once an epoch, rows of a batch of nearly one length, batches in random order.

    batch_size is what all devices together take in one forward pass.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.epoch = 0
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self._seed} {self.epoch}")
        order = list(range(len(self._lengths)))
        rng.shuffle(order)
        batches = []
        for pool in _cut(order, self._batch_size * BATCHES_A_POOL):
            batches += _cut(sorted(pool, key=self._lengths.__getitem__), self._batch_size)
        rest = batches.pop() if len(order) % self._batch_size else []
        rng.shuffle(batches)
        return iter([at for batch in [*batches, rest] for at in batch])


def hold_out(rows: Sequence[TrainingRow], fraction: float, seed: int) -> tuple[Part, Part]:
    """Rows to train on and rows held out, all rows of one question on the same side."""
    if not fraction:
        return Part(rows, range(len(rows))), Part(rows, [])
    kept: list[int] = []
    held: list[int] = []
    for at, row in enumerate(rows):
        place = crc32(msgspec.json.encode([seed, *problem_of(row)])) / 2**32
        (held if place < fraction else kept).append(at)
    return Part(rows, kept), Part(rows, held)


def _item(row: TrainingRow) -> Item:
    return Item(row.question, row.steps, row.images)


def _num_bytes(encoded: Encoded) -> int:
    return sum(value.nbytes for value in encoded.values())


def _cut(order: list[int], size: int) -> list[list[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]
