"""All that differs between model families: how their parts are called, and what loads them.

                        vision tower          projector                        language model
InternVL (-hf)          vision_tower          multi_modal_projector            language_model
Gemma 3                 vision_tower          multi_modal_projector            language_model
Qwen2-VL, Qwen2.5-VL    visual                visual.merger                    language_model
Qwen3-VL                visual                visual.merger, deepstack ones    language_model
Qwen2, Qwen3, Llama                                                            all
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel

from omegaprm.trainer.config import Part

VISION_TOWERS = {"vision_tower", "vision_model", "visual", "vision_encoder"}
PROJECTORS = {"multi_modal_projector", "merger", "deepstack_merger_list", "connector"}


def part_of(name: str) -> Part:
    """Which part of its model a parameter or module belongs to, by its dotted name."""
    words = set(name.split("."))
    if words & PROJECTORS:
        return "projector"
    return "vision" if words & VISION_TOWERS else "language"


def auto_class(config: Any) -> Any:
    """The class that loads a model: image-text-to-text where its architecture has that."""
    takes_images = type(config) in AutoModelForImageTextToText._model_mapping
    return AutoModelForImageTextToText if takes_images else AutoModelForCausalLM


def freeze(model: nn.Module, trained: set[Part]) -> None:
    """Leave all but the trained parts as they are."""
    for name, parameter in model.named_parameters():
        if part_of(name) not in trained:
            parameter.requires_grad_(False)


def linear_layers(model: PreTrainedModel, parts: set[Part]) -> list[str]:
    """Names of the linear layers of these parts, the output layer left out: what LoRA adapts."""
    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and part_of(name) in parts
    ]
