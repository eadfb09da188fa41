"""How fast bin/train goes beside a bare PyTorch loop: the same model, batches, order, loss and optimiser.

measure(TrainConfig(rows=..., model=..., out=..., max_steps=20, batch_size=16))
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from omegaprm.engine.errors import BadInput, UsageError
from omegaprm.trainer import environment, families, prm, rows
from omegaprm.trainer.arguments import arguments, deepspeed_config, join_processes
from omegaprm.trainer.batches import EncodedRows
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.encoding import Encoded, Encoder
from omegaprm.trainer.learner import Learner

NUM_WARM_STEPS = 2
"""First steps, which also allocate, are left out of the clock."""


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens a second, padding not counted; train_tokens_per_s is bin/train's way, bare_tokens_per_s the loop's."""

    train_tokens_per_s: float
    bare_tokens_per_s: float
    num_tokens: int
    num_steps: int

    @property
    def ratio(self) -> float:
        return self.train_tokens_per_s / self.bare_tokens_per_s


def measure(config: TrainConfig) -> Throughput:
    """Time config.max_steps optimizer steps each way, less the first ones; the loop goes before and after.

    UsageError for ZeRO-3 and LoRA, BadInput where one pass over the rows has fewer steps. Nothing stays on disk.
    """
    if config.lora_rank or deepspeed_config(config.deepspeed)["zero_optimization"]["stage"] == 3:
        raise UsageError("the bare loop holds the whole model: neither ZeRO-3 nor --lora-rank can be held against it")
    environment.prepare()
    with TemporaryDirectory() as folder:
        race = _Race(config, Path(folder))
        before = race.bare_seconds()
        trained = race.trainer_seconds()
        bare = (before + race.bare_seconds()) / 2
    return Throughput(
        train_tokens_per_s=race.num_tokens / trained,
        bare_tokens_per_s=race.num_tokens / bare,
        num_tokens=race.num_tokens,
        num_steps=race.num_steps,
    )


class Clock(TrainerCallback):
    """The time at which each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.ends.append(_now())


class _Race:
    def __init__(self, config: TrainConfig, folder: Path) -> None:
        prm.limit_threads()
        self.num_steps = config.max_steps or 20
        quiet = {"max_steps": self.num_steps, "save_steps": 10**9, "logging_steps": 10**9, "tensorboard": False}
        self._config = msgspec.structs.replace(config, **quiet)
        self._args = arguments(self._config, folder, environment.num_processes())
        join_processes(self._args)
        self._encoder = Encoder.load(config.model, config.max_length)
        read = rows.read(config.rows, config.loss_rule, config.image_root)
        self._rows = EncodedRows(read.rows, self._encoder, lambda: None, config.loss_rule)
        needed = self.num_steps * config.batch_size
        if len(self._rows) < needed or self.num_steps <= NUM_WARM_STEPS:
            raise BadInput(
                f"--rows: {len(self._rows)} usable; {self.num_steps} steps need {needed}, and more than 2 steps"
            )
        learner = Learner(self._model(), self._args, self._rows, self._encoder, self._config)
        self._learner = learner
        timed = list(learner.order)[NUM_WARM_STEPS * config.batch_size : needed]
        self.num_tokens = sum(self._rows.lengths[at] for at in timed)

    def trainer_seconds(self) -> float:
        clock = Clock()
        self._learner.add_callback(clock)
        self._learner.train()
        return _seconds(clock.ends)

    def bare_seconds(self) -> float:
        model = self._model().to(self._args.device).train()
        optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-6)
        micro = self._args.per_device_train_batch_size
        loader = iter(DataLoader(self._rows, micro, sampler=self._learner.order, collate_fn=self._rows.collate))
        ends = []
        for _ in range(self.num_steps):
            self._bare_step(model, optimizer, [next(loader) for _ in range(self._args.gradient_accumulation_steps)])
            ends.append(_now())
        return _seconds(ends)

    def _bare_step(self, model: Any, optimizer: torch.optim.Optimizer, passes: list[Encoded]) -> None:
        weight = sum(float(batch["labels"].sum()) for batch in passes)
        for batch in passes:
            inputs = {key: value.to(self._args.device) for key, value in batch.items()}
            targets = inputs.pop("labels")
            logits = prm.step_logits(model, model.get_output_embeddings(), inputs, self._encoder.tokens)
            (prm.step_loss(logits, targets) / weight).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def _model(self) -> Any:
        model = prm.load(self._config.model, self._encoder, prm.weights_dtype(self._args.bf16), self._config.attention)
        families.freeze(model, self._config.trained_parts)
        return model


def _now() -> float:
    """Seconds on the wall on a GPU, once it has done what it was asked; else of this process on its cores.

    Cores are shared more often than not, and other work must not decide the race.
    """
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.monotonic()


def _seconds(ends: Sequence[float]) -> float:
    return sum(later - earlier for earlier, later in pairwise(ends[NUM_WARM_STEPS - 1 :]))
