"""The same scores from vLLM: the PRM runs as a pooling model whose one-label head is the row of Yes less that of No.

softmax over two logits is the sigmoid of their difference, so vLLM's STEP pooling at <prm> gives one number a
step and never a row of the vocabulary; a generator would have to return all logits of every prompt token.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from omegaprm.engine.config import EngineOptions
from omegaprm.engine.errors import ConfigurationError, EngineDied
from omegaprm.engine.policy import vllm_engine
from omegaprm.evaluator.scorer import Item, StepScores
from omegaprm.trainer.encoding import Encoded, Encoder, open_image

TOKENS_A_STEP = 8192
"""Tokens of one engine step on a CPU, or the model's context where that is more."""


class VllmScorer(StepScores):
    """A PRM folder on vLLM; see omegaprm.evaluator.scorer.Scorer for what it promises.

    Errors beside those: ConfigurationError where the folder's tokenizer and weights lack <prm> (an untrained
    policy is scored by transformers) or vLLM refuses the model, EngineDied where vLLM fails later.
    """

    def __init__(
        self, path: str | Path, options: EngineOptions | None = None, date: datetime.date | None = None
    ) -> None:
        super().__init__(Encoder.load(path, date=date))
        _require_prm(path, self._encoder)
        vllm_engine.prepare(Path(path))
        self._llm = _start(Path(path), self._encoder, options or EngineOptions())

    def _batches_of(self, items: Sequence[Item], rows: Sequence[Encoded]) -> Iterator[list[list[float]]]:
        from vllm import PoolingParams

        if not items:
            return
        prompts = [self._prompt(item, row) for item, row in zip(items, rows, strict=True)]
        try:
            outputs = self._llm.encode(
                prompts,
                PoolingParams(use_activation=False),
                pooling_task="token_classify",
                tokenization_kwargs={"add_special_tokens": self._encoder.adds_special(self._encoder.render(items[0]))},
                use_tqdm=False,
            )
        except (RuntimeError, ValueError) as error:
            raise EngineDied(f"vLLM could not score: {error}") from error
        yield [_probabilities(output.outputs.data) for output in outputs]

    def _prompt(self, item: Item, row: Encoded) -> dict[str, Any]:
        """Token ids where there are no images; with images vLLM itself puts their tokens in."""
        if not item.images:
            return {"prompt_token_ids": row["input_ids"][0].tolist()}
        images = [open_image(path) for path in item.images]
        return {"prompt": self._encoder.render(item), "multi_modal_data": {"image": images}}


def _probabilities(logits: torch.Tensor) -> list[float]:
    """(steps, 1) differences of the logits of Yes and No as probabilities."""
    found: list[float] = logits.float().flatten().sigmoid().tolist()
    return found


def _require_prm(path: str | Path, encoder: Encoder) -> None:
    num_rows = AutoConfig.from_pretrained(path).get_text_config().vocab_size
    if encoder.tokens.prm >= num_rows:
        raise ConfigurationError(f"--prm {path}: has no <prm>, so it is not a trained PRM; use --scorer transformers")


def _start(folder: Path, encoder: Encoder, options: EngineOptions) -> Any:
    """A vLLM engine in this process (on a CPU) whose token_classify gives one number at each <prm>."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm import LLM
    from vllm.config import PoolerConfig

    given = vllm_engine.arguments(folder, options)
    if vllm_engine.on_cpu():
        given["max_num_batched_tokens"] = options.max_num_batched_tokens or max(TOKENS_A_STEP, encoder.max_length)
    no_yes = encoder.tokenizer.convert_ids_to_tokens([encoder.tokens.no, encoder.tokens.yes])
    given |= {
        "runner": "pooling",
        "convert": "classify",
        "enable_prefix_caching": False,
        "max_model_len": options.max_model_len or encoder.max_length,
        "pooler_config": PoolerConfig(task="token_classify", tok_pooling_type="STEP", step_tag_id=encoder.tokens.prm),
        "hf_overrides": {"classifier_from_token": no_yes, "method": "from_2_way_softmax"},
    }
    try:
        return LLM(**given)
    except (ValueError, OSError, AssertionError, NotImplementedError) as error:
        raise ConfigurationError(f"--prm {folder}: vLLM refuses this model as a PRM: {error}") from error
    except RuntimeError as error:
        raise EngineDied(f"vLLM did not start on {folder}: {error}") from error
