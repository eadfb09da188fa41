"""The loss is the cross-entropy a hand computes, at <prm> alone, and the narrow output layer changes nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from omegaprm.trainer import prm
from omegaprm.trainer.encoding import Encoder, Item
from omegaprm.trainer.families import freeze
from tests.trainer.test_encoding import without_prm

LOGITS = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, -1.0]])
TARGETS = torch.tensor([[0.25, 0.75], [0.0, 0.0], [3.0, 1.0]])


def log_share(one: float, other: float) -> float:
    return one - math.log(math.exp(one) + math.exp(other))


def test_the_loss_weighs_yes_and_no_as_the_targets_say() -> None:
    first = -(0.25 * log_share(1, 0) + 0.75 * log_share(0, 1))
    third = -(3 * log_share(3, -1) + log_share(-1, 3))
    assert prm.step_loss(LOGITS, TARGETS).item() == pytest.approx(first + third)


def test_a_masked_step_gets_no_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    prm.step_loss(logits, TARGETS).backward()
    assert logits.grad is not None
    assert logits.grad[1].tolist() == [0, 0]
    assert bool((logits.grad[[0, 2]] != 0).all())


def test_a_score_is_the_softmax_of_yes_and_no() -> None:
    expected = [math.exp(log_share(*pair)) for pair in LOGITS.tolist()]
    assert prm.step_scores(LOGITS).tolist() == pytest.approx(expected)


def test_logits_at_prm_are_those_of_the_whole_output_layer(policy_folder: Path) -> None:
    encoder = Encoder.load(policy_folder)
    model = prm.load(policy_folder, encoder, torch.float32).eval()
    head = model.get_output_embeddings()
    items = [Item("What is 1+2?", ("1+2=3", "3")), Item("What is 2*3-4?", ("2*3=6, so 6-4", "6-4=2", "2"))]
    batch = encoder.collate([encoder.encode(item) for item in items])
    with torch.no_grad():
        narrow = prm.step_logits(model, head, batch, encoder.tokens)
        whole = prm.step_logits(model, None, batch, encoder.tokens)
    assert narrow.shape == (5, 2)
    torch.testing.assert_close(narrow, whole, atol=1e-5, rtol=1e-5)
    assert "forward" not in vars(head), "the output layer is its own again"


def test_only_the_vision_tower_is_frozen(policy_folder: Path) -> None:
    model = prm.load(policy_folder, Encoder.load(policy_folder), torch.float32)
    freeze(model, {"projector", "language"})
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if "vision_tower" in name}
    assert frozen


def test_a_policy_without_prm_is_given_it_and_its_folder_keeps_it(policy_folder: Path, tmp_path: Path) -> None:
    encoder = Encoder.load(without_prm(policy_folder, tmp_path / "policy"))
    model = prm.load(tmp_path / "policy", encoder, torch.float32)
    for part in (encoder.processor, model):
        part.save_pretrained(tmp_path / "grown")
    again = Encoder.load(tmp_path / "grown")
    embedding = AutoModelForImageTextToText.from_pretrained(tmp_path / "grown").get_input_embeddings().weight
    assert again.tokens == encoder.tokens
    assert len(embedding) == again.tokens.prm + 1
    torch.testing.assert_close(embedding[-1], embedding[:-1].mean(dim=0))
