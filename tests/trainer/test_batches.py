"""The order of rows follows from seed and epoch, holds every row once, and puts like lengths together."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from omegaprm.engine.records import TrainingRow
from omegaprm.trainer.batches import EncodedRows, LengthGrouped, hold_out
from omegaprm.trainer.encoding import Encoder
from tests.trainer.samples import picture

RNG = random.Random(0)
LENGTHS = [RNG.randint(20, 400) for _ in range(1001)]


def orders(seed: int, epoch: int) -> list[int]:
    order = LengthGrouped(LENGTHS, 8, seed)
    order.set_epoch(epoch)
    return list(order)


def plain_row(question: str, images: tuple[str, ...] = ()) -> TrainingRow:
    return TrainingRow(id="", question=question, steps=("a", "b"), labels=(1.0, None), images=images)


def test_every_row_comes_once_an_epoch() -> None:
    assert sorted(orders(0, 0)) == list(range(len(LENGTHS)))


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    assert orders(0, 1) == orders(0, 1)
    assert len({tuple(orders(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_little_of_a_batch_is_padding() -> None:
    order = orders(0, 0)
    batches = [order[start : start + 8] for start in range(0, len(order), 8)]
    padded = sum(len(batch) * max(LENGTHS[at] for at in batch) for batch in batches)
    assert padded < 1.06 * sum(LENGTHS)


def test_batches_do_not_come_by_length() -> None:
    order = orders(0, 0)
    tops = [max(LENGTHS[at] for at in order[start : start + 8]) for start in range(0, len(order), 8)]
    rises = sum(later > earlier for earlier, later in pairwise(tops))
    assert 0.3 * len(tops) < rises < 0.7 * len(tops)


def test_a_question_is_held_out_with_all_its_rows() -> None:
    rows = [plain_row(f"question {number % 100}") for number in range(1000)]
    kept, held = hold_out(rows, 0.3, seed=0)
    assert not {row.question for row in kept} & {row.question for row in held}
    assert 15 <= len({row.question for row in held}) <= 45
    whole, none = hold_out(rows, 0.0, seed=0)
    assert (list(whole), list(none)) == (rows, [])


def test_a_batch_of_text_gets_a_masked_image_row_where_processes_must_agree(
    policy_folder: Path, tmp_path: Path
) -> None:
    rows = [plain_row("What is 7?"), plain_row("What is 8?", (str(tmp_path / picture(tmp_path, 1)),))]
    encoder = Encoder.load(policy_folder)
    alone = EncodedRows(rows, encoder, lambda: None)
    assert "pixel_values" not in alone.collate([alone[0]])
    together = EncodedRows(rows, encoder, lambda: None, images_in_every_batch=True)
    batch = together.collate([together[0]])
    assert batch["pixel_values"].shape[0] == 1
    assert batch["labels"].tolist() == [[1, 0], [0, 0], [0, 0], [0, 0]]
    assert len(together.collate([together[0], together[1]])["input_ids"]) == 2


def test_rows_of_one_problem_share_its_weight(policy_folder: Path) -> None:
    rows = [plain_row("What is 7?"), plain_row("What is 7?"), plain_row("What is 7?"), plain_row("What is 8?")]
    encoded = EncodedRows(rows, Encoder.load(policy_folder), lambda: None, weigh_problems=True)
    weights = [float(encoded[at]["labels"].sum()) for at in range(len(rows))]
    assert weights == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])


def test_rows_past_the_memory_are_made_again_the_same(policy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [plain_row("What is 7?"), plain_row("What is 8?")]
    kept = EncodedRows(rows, Encoder.load(policy_folder), lambda: None)
    monkeypatch.setattr("omegaprm.trainer.batches.MAX_KEPT_BYTES", 0)
    again = EncodedRows(rows, Encoder.load(policy_folder), lambda: None)
    for at in range(len(rows)):
        assert again[at].keys() == kept[at].keys()
        assert all(torch.equal(again[at][key], kept[at][key]) for key in kept[at])
