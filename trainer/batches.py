"""Rows encoded once, and an order of them that follows from the seed and the epoch alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from zlib import crc32

import msgspec
import torch
from torch.utils.data import Dataset, Sampler

from engine.records import TrainingRow
from trainer.encoding import Encoded, Encoder, Item, Unusable, length
from trainer.prm import MASKED

MAX_KEPT_BYTES = 2**31
"""Image features past this much memory are made again whenever their row is due."""
ROWS_A_STRIDE = 1024
BATCHES_A_POOL = 32
"""Batches drawn together and cut by length: padding falls to a few per cent, and the order stays random."""


class EncodedRows(Dataset[Encoded]):
    """Rows as model inputs; num_dropped counts by reason what could not become any.

    labels of a row stand in the key "labels", (steps,), MASKED where there is none.
    """

    def __init__(
        self,
        rows: Sequence[TrainingRow],
        encoder: Encoder,
        check: Callable[[], None],
        images_in_every_batch: bool = False,
    ) -> None:
        """check is called now and then, and may raise to end the work.

        images_in_every_batch, where any row has images: a batch of text gets one such row more, its labels
        MASKED. Several processes need it: all must have gradients for the same weights in every pass.
        """
        self.rows: list[TrainingRow] = []
        self.lengths: list[int] = []
        self.num_dropped: Counter[str] = Counter()
        self._encoder = encoder
        self._kept: list[Encoded | None] = []
        room = MAX_KEPT_BYTES
        for start in range(0, len(rows), ROWS_A_STRIDE):
            check()
            part = rows[start : start + ROWS_A_STRIDE]
            for row, encoded in zip(part, encoder.encode_many(list(map(_item, part))), strict=True):
                if isinstance(encoded, Unusable):
                    self.num_dropped[encoded.kind] += 1
                    continue
                room -= _num_bytes(encoded)
                self.rows.append(row)
                self.lengths.append(length(encoded))
                self._kept.append(encoded if room >= 0 else None)
        self._stand_in = self._shortest_with_images() if images_in_every_batch else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> Encoded:
        encoded = self._kept[at] or self._encoder.encode(_item(self.rows[at]))
        labels = [MASKED if label is None else label for label in self.rows[at].labels]
        return {**encoded, "labels": torch.tensor(labels)}

    def collate(self, rows: list[Encoded]) -> Encoded:
        """A batch with "labels" (steps of all rows), in the order of the <prm> in it."""
        if self._stand_in and not any(row.keys() >= self._stand_in.keys() for row in rows):
            rows = [*rows, dict(self._stand_in)]
        labels = torch.cat([row.pop("labels") for row in rows])
        return {**self._encoder.collate(rows), "labels": labels}

    def _shortest_with_images(self) -> Encoded | None:
        having = [at for at, row in enumerate(self.rows) if row.images]
        if not having:
            return None
        row = self[min(having, key=self.lengths.__getitem__)]
        return {**row, "labels": torch.full_like(row["labels"], MASKED)}


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


def hold_out(rows: Sequence[TrainingRow], fraction: float, seed: int) -> tuple[list[TrainingRow], list[TrainingRow]]:
    """Rows to train on and rows held out, all rows of one question on the same side."""
    kept: list[TrainingRow] = []
    held: list[TrainingRow] = []
    for row in rows:
        names = [Path(image).name for image in row.images]
        place = crc32(msgspec.json.encode([seed, row.question, names])) / 2**32
        (held if place < fraction else kept).append(row)
    return kept, held


def _item(row: TrainingRow) -> Item:
    return Item(row.question, row.steps, row.images)


def _num_bytes(encoded: Encoded) -> int:
    return sum(value.nbytes for value in encoded.values())


def _cut(order: list[int], size: int) -> list[list[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]
