"""A model of each family takes a training step, is saved, loaded again and scores the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omegaprm.engine.records import TrainingRow
from omegaprm.evaluator import Scorer
from omegaprm.trainer import prm
from omegaprm.trainer.batches import EncodedRows
from omegaprm.trainer.encoding import Encoder
from omegaprm.trainer.families import freeze, linear_layers, part_of
from tests.trainer.families import FAMILIES, TEXT_ONLY
from tests.trainer.samples import picture

STEPS = ("1+1=2", "2")


def row(*images: str) -> TrainingRow:
    return TrainingRow(id="", question="1+1?", steps=STEPS, labels=(1.0, 1.0), images=images)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_each_family_is_trained_saved_and_scores_as_before(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    FAMILIES[family](tmp_path / "policy")
    encoder = Encoder.load(tmp_path / "policy")
    image = str(tmp_path / picture(tmp_path, 1))
    rows = EncodedRows([row(), row(image)][: 1 if family in TEXT_ONLY else 2], encoder, lambda: None)
    assert not rows.num_dropped
    model = prm.load(tmp_path / "policy", encoder, torch.float32)
    freeze(model, {"projector", "language"})
    batch = rows.collate([rows[at] for at in range(len(rows))])
    labels = batch.pop("labels")

    def logits() -> torch.Tensor:
        return prm.step_logits(model, model.get_output_embeddings(), batch, encoder.tokens)

    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-3)
    before = prm.step_loss(logits(), labels)
    before.backward()
    has_gradient = {part_of(name) for name, weight in model.named_parameters() if weight.grad is not None}
    assert has_gradient == ({"language"} if family in TEXT_ONLY else {"projector", "language"})
    optimizer.step()
    after = logits()
    assert prm.step_loss(after, labels) < before

    for part in (model, encoder.processor):
        part.save_pretrained(tmp_path / "prm")
    scorer = Scorer(tmp_path / "prm", device="cpu")
    scores = scorer.score("1+1?", STEPS) + (scorer.score("1+1?", STEPS, [image]) if len(rows) > 1 else [])
    assert scores == pytest.approx(prm.step_scores(after).tolist(), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_adapts_every_layer_of_the_language_model_and_not_its_output(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path)
    model = prm.load(tmp_path, Encoder.load(tmp_path), torch.float32)
    adapted = linear_layers(model, {"language"})
    assert len(adapted) == 2 * 7
    assert not [name for name in adapted if "head" in name or part_of(name) != "language"]
