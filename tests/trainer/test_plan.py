"""A plan counts weights exactly, divides what each ZeRO stage divides, and is near what autograd keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, Qwen2Config, Qwen2ForCausalLM

from omegaprm.engine.errors import ConfigurationError, UsageError
from omegaprm.trainer import plan
from omegaprm.trainer.config import TrainConfig

SIZE = plan.Sizes(1000, 400, {})


def config(model: Path | str, **flags: object) -> TrainConfig:
    return TrainConfig(**{"model": str(model), "plan": True, "batch_size": 8, **flags})


def test_weights_are_counted_without_loading_them(policy_folder: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(policy_folder)
    size = plan.sizes(plan.load_config(str(policy_folder)), config(policy_folder))
    in_vision = sum(weight.numel() for name, weight in model.named_parameters() if "vision_tower" in name)
    assert size.num_weights == sum(weight.numel() for weight in model.parameters())
    assert size.num_trained == size.num_weights - in_vision
    assert size.by_part["vision"] == in_vision


def test_adapters_are_what_lora_trains(policy_folder: Path) -> None:
    size = plan.sizes(plan.load_config(str(policy_folder)), config(policy_folder, lora_rank=4))
    assert 0 < size.num_trained < 0.2 * size.num_weights


def test_each_stage_divides_its_share_among_the_gpus() -> None:
    by_stage = {need.stage: need for need in plan.needs(SIZE, 50, gpus=4, bf16=True)}
    assert (by_stage["zero1"].parameters, by_stage["zero1"].gradients, by_stage["zero1"].optimiser) == (2000, 800, 1200)
    assert by_stage["zero2"].gradients == 200
    assert by_stage["zero3"].parameters == 500 + 2000, "its share, and what is gathered at a time"
    assert (by_stage["zero2 + offload"].optimiser, by_stage["zero2 + offload"].host) == (0, 1200)
    assert by_stage["zero1"].total == 2000 + 800 + 1200 + 50


def test_the_estimate_of_activations_is_near_what_autograd_keeps() -> None:
    """Of a decoder in float32, the logits left out; weights and what several operations share count once."""
    text = Qwen2Config(
        vocab_size=64, hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256,
    )  # fmt: skip
    model = Qwen2ForCausalLM(text).model
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(input_ids=torch.zeros((2, 100), dtype=torch.long), use_cache=False)
    assert output is not None
    estimate = plan.activation_bytes(text, 200, checkpointing=False, width=4)
    assert estimate == pytest.approx(sum(kept.values()), rel=0.25)


def test_a_plan_names_stages_and_cards(policy_folder: Path) -> None:
    written = plan.text(config(policy_folder, gpus=2))
    assert "2 GPUs, 4 rows x 512 tokens a pass, bfloat16, gradient checkpointing on" in written
    assert [line.split()[0] for line in written.splitlines() if line.startswith("zero")] == [
        *("zero1", "zero2", "zero2", "zero3", "zero3")
    ]
    assert "24 GB, 40 GB, 80 GB" in written


def test_a_plan_needs_a_model_and_a_training_needs_rows(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no config could be loaded"):
        plan.text(config(tmp_path))
    with pytest.raises(UsageError, match="--rows: is needed"):
        TrainConfig(model="m", out="o").require_paths()
