"""What a training needs of each GPU's memory, counted from the model's config before anything is booked.

Parameters, gradients and optimiser state are exact up to padding (ZeRO, arXiv 1910.02054, section 3); activations are
an estimate: what autograd keeps of the language model's layers, the logits left out since only those at <prm> are made.
"""

from __future__ import annotations

from collections import Counter

import msgspec
import torch
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from omegaprm.engine.errors import ConfigurationError
from omegaprm.trainer.arguments import micro_batch_size
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.families import auto_class, freeze, linear_layers, part_of

GIB = 2**30
BF16_BYTES = {"parameters": 2, "gradients": 2, "optimiser": 12}
"""A trained weight: itself, its gradient, and in float32 the master copy and both moments of AdamW."""
FP32_BYTES = {"parameters": 4, "gradients": 4, "optimiser": 8}

STAGES: dict[str, tuple[str, ...]] = {
    "zero1": ("optimiser",),
    "zero2": ("optimiser", "gradients"),
    "zero3": ("optimiser", "gradients", "parameters"),
}
"""What each ZeRO stage divides among the GPUs."""
LIVE_PARAMETERS = 10**9
"""DeepSpeed's stage3_max_live_parameters: parameters gathered at a time at the most."""
CARDS_GIB = (24, 40, 80)
RESERVED_GIB = 1.5
"""CUDA's own context and fragmentation: a card is full before its last byte."""


class Sizes(msgspec.Struct, frozen=True):
    """Weights of a model: all, the trained ones, and all by part."""

    num_weights: int
    num_trained: int
    by_part: dict[str, int]


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes a GPU; host is what offloading moves to the machine's memory, a process."""

    stage: str
    parameters: float
    gradients: float
    optimiser: float
    activations: float
    host: float = 0

    @property
    def total(self) -> float:
        return self.parameters + self.gradients + self.optimiser + self.activations


def load_config(folder: str) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--model {folder}: no config could be loaded: {error}") from error


def sizes(model_config: PretrainedConfig, config: TrainConfig) -> Sizes:
    """Weights of the model, built without memory for them."""
    with torch.device("meta"):
        model: PreTrainedModel = auto_class(model_config).from_config(model_config)
    model.tie_weights()
    freeze(model, config.trained_parts)
    by_part: Counter[str] = Counter()
    for name, weight in model.named_parameters():
        by_part[part_of(name)] += weight.numel()
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    total = by_part.total()
    if config.lora_rank:
        trained = num_adapter_weights(model, config)
        total += trained
    return Sizes(total, trained, dict(by_part))


def num_adapter_weights(model: PreTrainedModel, config: TrainConfig) -> int:
    rank = config.lora_rank or 0
    layers = [model.get_submodule(name) for name in linear_layers(model, config.trained_parts)]
    return sum(rank * (layer.in_features + layer.out_features) for layer in layers if isinstance(layer, nn.Linear))


def layer_elements(text: PretrainedConfig) -> int:
    """Numbers a token that autograd keeps of one layer: two norms, attention and a gated MLP."""
    heads = text.num_attention_heads
    head_size = getattr(text, "head_dim", None) or text.hidden_size // heads
    queries, keys = heads * head_size, (getattr(text, "num_key_value_heads", None) or heads) * head_size
    elements: int = 8 * text.hidden_size + 3 * queries + 4 * keys + 4 * text.intermediate_size
    return elements


def activation_bytes(text: PretrainedConfig, num_tokens: int, checkpointing: bool, width: int) -> int:
    """Of a forward pass over num_tokens; with checkpointing one layer is whole and each keeps its input alone."""
    whole = layer_elements(text) * num_tokens * width
    layers: int = text.num_hidden_layers
    return layers * text.hidden_size * num_tokens * width + whole if checkpointing else layers * whole


def needs(size: Sizes, activations: float, gpus: int, bf16: bool) -> list[Need]:
    """One row for each ZeRO stage, and for the optimiser in the machine's memory."""
    width = BF16_BYTES if bf16 else FP32_BYTES
    whole = {
        "parameters": size.num_weights * width["parameters"],
        "gradients": size.num_trained * width["gradients"],
        "optimiser": size.num_trained * width["optimiser"],
    }
    found = []
    for stage, divided in STAGES.items():
        part = {name: value / (gpus if name in divided else 1) for name, value in whole.items()}
        if "parameters" in divided and gpus > 1:
            part["parameters"] += min(LIVE_PARAMETERS, size.num_weights) * width["parameters"]
        found.append(Need(stage=stage, activations=activations, **part))
        if stage != "zero1":
            moved = part | {"optimiser": 0.0}
            found.append(Need(stage=f"{stage} + offload", activations=activations, host=part["optimiser"], **moved))
    return found


def text(config: TrainConfig) -> str:
    """The plan for a person to read."""
    model_config = load_config(config.model)
    language = model_config.get_text_config()
    bf16, checkpointing = config.bf16 is not False, config.gradient_checkpointing is not False
    micro = micro_batch_size(config, config.gpus, gpu=True)
    length = config.max_length or language.max_position_embeddings
    size = sizes(model_config, config)
    activations = activation_bytes(language, micro * length, checkpointing, 2 if bf16 else 4)
    parts = ", ".join(f"{part} {count / 1e9:.3f}e9" for part, count in size.by_part.items())
    head = [
        f"{size.num_weights / 1e9:.3f}e9 weights ({parts}), {size.num_trained / 1e9:.3f}e9 trained",
        f"{config.gpus} GPUs, {micro} rows x {length} tokens a pass, {'bfloat16' if bf16 else 'float32'}, "
        f"gradient checkpointing {'on' if checkpointing else 'off'}",
        "",
        f"{'GiB a GPU':<16}{'parameters':>11}{'gradients':>11}{'optimiser':>11}{'activations':>13}{'total':>9}"
        f"{'host':>8}  fits",
    ]
    return "\n".join([*head, *map(_line, needs(size, activations, config.gpus, bf16)), "", NOTE])


NOTE = (
    "Activations are an estimate, without a trained vision tower's. "
    f"A card counts as fitting with {RESERVED_GIB} GiB to spare.\n"
    "host: the machine's memory a process, for the optimiser."
)


def _line(need: Need) -> str:
    values = [need.parameters, need.gradients, need.optimiser, need.activations, need.total, need.host]
    cells = "".join(f"{value / GIB:>{room}.2f}" for value, room in zip(values, (11, 11, 11, 13, 9, 8), strict=True))
    fits = [f"{card} GB" for card in CARDS_GIB if need.total / GIB + RESERVED_GIB <= card]
    return f"{need.stage:<16}{cells}  {', '.join(fits) or 'none'}"
