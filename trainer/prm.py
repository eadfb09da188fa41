"""The PRM: a policy's own network, read at each <prm> through the logits of "Yes" and "No".

The score of a step is softmax over these two; the loss is cross-entropy against the pairs of omegaprm.trainer.targets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, PreTrainedModel
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.utils import is_flash_attn_2_available, logging

from omegaprm.engine.errors import ConfigurationError
from omegaprm.trainer.encoding import Encoded, Encoder, ScoreTokens
from omegaprm.trainer.families import auto_class

ATTENTION = {"sdpa": "sdpa", "flash": "flash_attention_2", "eager": "eager"}


def load(folder: str | Path, encoder: Encoder, dtype: torch.dtype, attention: str = "auto") -> PreTrainedModel:
    """The model of a folder, image-text-to-text where its architecture has that, with rows for <prm>, "Yes" and "No".

    attention: a key of ATTENTION, or "auto": flash-attn where it is installed and can run, SDPA otherwise.
    ConfigurationError where it cannot be loaded. A model that lacks one starts from the mean embedding, so
    that an untrained PRM scores alike whenever it is loaded.
    """
    logging.disable_progress_bar()
    if attention == "auto" and _has_flash_attention(dtype):
        attention = "flash"
    extra = {} if attention == "auto" else {"attn_implementation": ATTENTION[attention]}
    try:
        kind = auto_class(AutoConfig.from_pretrained(folder))
        model: PreTrainedModel = kind.from_pretrained(folder, dtype=dtype, **extra)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigurationError(f"model {folder}: could not be loaded: {error}") from error
    num_rows = model.config.get_text_config().vocab_size
    if max(encoder.tokens.prm, encoder.tokens.yes, encoder.tokens.no) >= num_rows:
        _grow(model, num_rows, len(encoder.tokenizer))
    return model


def _has_flash_attention(dtype: torch.dtype) -> bool:
    return dtype == torch.bfloat16 and torch.cuda.is_available() and bool(is_flash_attn_2_available())


def _grow(model: PreTrainedModel, old: int, new: int) -> None:
    model.resize_token_embeddings(new, mean_resizing=False)
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    weights = list({id(layer.weight): layer.weight for layer in layers if layer is not None}.values())
    with _gathered(weights), torch.no_grad():
        for weight in weights:
            weight[old:] = weight[:old].mean(dim=0)


@contextmanager
def _gathered(weights: list[nn.Parameter]) -> Iterator[None]:
    """Under ZeRO-3 a weight is spread over the ranks; here it is whole and may be written."""
    if not is_deepspeed_zero3_enabled():
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(weights, modifier_rank=0):
        yield


def step_logits(model: Any, head: nn.Module | None, batch: Encoded, tokens: ScoreTokens) -> torch.Tensor:
    """Logits (steps, 2) of Yes and No at each <prm> of a batch, row by row.

    head is the output layer of the model, which itself may be wrapped. Where it is a plain linear layer only
    these positions and these two rows of it are computed; elsewhere all logits are, and the same ones taken.
    """
    at_prm = batch["input_ids"] == tokens.prm
    answers = torch.tensor([tokens.yes, tokens.no], device=at_prm.device)
    if type(head) is not nn.Linear:
        logits: torch.Tensor = model(**batch, use_cache=False).logits
        return logits[at_prm][:, answers]
    with _only(head, at_prm, answers):
        logits = model(**batch, use_cache=False).logits
    return logits[0]


@contextmanager
def _only(head: nn.Linear, at: torch.Tensor, rows: torch.Tensor) -> Iterator[None]:
    """Within this, the output layer gives logits (1, positions, rows) of these positions and rows alone."""

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        bias = head.bias[rows] if head.bias is not None else None
        return functional.linear(hidden[at], head.weight[rows], bias)[None]

    head.__dict__["forward"] = forward
    try:
        yield
    finally:
        del head.__dict__["forward"]


def step_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum of -(yes log p + no log(1 - p)) over (steps, 2) logits and (steps, 2) targets of omegaprm.trainer.targets."""
    return -(targets * logits.float().log_softmax(dim=-1)).sum()


def step_scores(logits: torch.Tensor) -> torch.Tensor:
    """The probability (steps,) that a step is right, of (steps, 2) logits."""
    return logits.float().softmax(dim=-1)[:, 0]


def weights_dtype(bf16: bool) -> torch.dtype:
    return torch.bfloat16 if bf16 else torch.float32


def limit_threads() -> None:
    """Keep to OMP_NUM_THREADS on a CPU, 1 where it is not set: cores are shared more often than not."""
    if not torch.cuda.is_available():
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0]))
