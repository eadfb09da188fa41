"""LoRA adapters (arXiv 2106.09685) by peft: what is trained is small, what is written at the end is a whole PRM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from omegaprm.trainer import prm
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.encoding import Encoder
from omegaprm.trainer.families import linear_layers

ADAPTER = "adapter"
"""Folder of the adapters alone, beside the merged PRM."""


def adapted(model: PreTrainedModel, config: TrainConfig) -> Any:
    """The model with adapters on the linear layers of the parts that are trained, all else frozen."""
    assert config.lora_rank is not None
    settings = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or 2 * config.lora_rank,
        lora_dropout=config.lora_dropout,
        target_modules=linear_layers(model, config.trained_parts),
    )
    return get_peft_model(model, settings)


def merge(folder: Path, config: TrainConfig, bf16: bool) -> None:
    """The base model with the adapters of folder/adapter in its weights, written to the folder."""
    unset_hf_deepspeed_config()
    encoder = Encoder.load(config.model, config.max_length)
    model = prm.load(config.model, encoder, prm.weights_dtype(bf16))
    merged = PeftModel.from_pretrained(model, folder / ADAPTER).merge_and_unload()
    for part in (merged, encoder.processor):
        part.save_pretrained(folder)
    (folder / ADAPTER / "training_args.bin").unlink(missing_ok=True)
