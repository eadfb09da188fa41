"""Hugging Face's Trainer, taught to read step labels, to stop on request and to mark whole checkpoints."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import deepspeed
import torch
from torch import distributed
from torch.utils.data import Sampler
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from engine.errors import ConfigurationError, UsageError
from trainer.batches import EncodedRows, LengthGrouped
from trainer.config import TrainConfig
from trainer.encoding import Encoded, Encoder
from trainer.prm import step_logits, step_loss
from trainer.record import Record
from trainer.stop import StopRequest

CONFIGS = Path(__file__).parent / "configs"
LARGEST_MICRO_BATCH = {"cpu": 32, "gpu": 4}
NUM_CHECKPOINTS = 2
"""Kept at a time: while one is being written the one before it is still whole."""


def arguments(config: TrainConfig, checkpoints: Path, num_processes: int) -> TrainingArguments:
    """Our flags as the Trainer's. From here on DeepSpeed knows how models are to be loaded."""
    gpu = torch.cuda.is_available()
    micro = micro_batch_size(config, num_processes, gpu)
    checkpointing = gpu if config.gradient_checkpointing is None else config.gradient_checkpointing
    return TrainingArguments(
        output_dir=str(checkpoints),
        deepspeed=deepspeed_config(config.deepspeed),
        use_cpu=not gpu,
        ddp_backend=None if gpu else "gloo",
        optim="adamw_torch",
        bf16=gpu if config.bf16 is None else config.bf16,
        gradient_checkpointing=checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=config.batch_size // (micro * num_processes),
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_ratio,
        lr_scheduler_type="cosine" if config.cosine else "constant_with_warmup",
        weight_decay=config.weight_decay,
        seed=config.seed,
        save_steps=config.save_steps,
        save_total_limit=NUM_CHECKPOINTS,
        logging_steps=config.logging_steps,
        logging_nan_inf_filter=False,
        dataloader_num_workers=config.num_workers,
        dataloader_pin_memory=gpu,
        remove_unused_columns=False,
        use_cache=True,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
    )


def join_processes(args: TrainingArguments) -> None:
    """Make DeepSpeed know of the other processes, which ZeRO-3 must before a model loads."""
    backend = "gloo" if args.device.type == "cpu" else None
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)


def micro_batch_size(config: TrainConfig, num_processes: int, gpu: bool) -> int:
    """Rows a forward pass. UsageError where the batch cannot be cut into such passes."""
    rows, rest = divmod(config.batch_size, num_processes)
    micro = config.micro_batch_size
    if micro is None:
        limit = LARGEST_MICRO_BATCH["gpu" if gpu else "cpu"]
        micro = next(size for size in range(min(limit, max(rows, 1)), 0, -1) if rows % size == 0)
    if rest or not rows or rows % micro:
        raise UsageError(
            f"--batch-size {config.batch_size}: must be a multiple of --micro-batch-size {micro} "
            f"times {num_processes} processes"
        )
    return micro


def deepspeed_config(name: str) -> dict[str, Any]:
    """A configuration by name or file. ConfigurationError where there is none or it is not JSON."""
    bundled = CONFIGS / f"{name}.json"
    path = bundled if bundled.exists() else Path(name)
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--deepspeed {name}: not a DeepSpeed JSON file: {error}") from error
    return content


class Learner(Trainer):
    """Trains on EncodedRows; the loss is the mean over all weights of the whole batch's targets."""

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        rows: EncodedRows,
        encoder: Encoder,
        config: TrainConfig,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=rows,
            data_collator=rows.collate,
            processing_class=encoder.processor,
        )
        self.model_accepts_loss_kwargs = True
        self.order = LengthGrouped(rows.lengths, args.train_batch_size * args.world_size, args.seed)
        self._tokens = encoder.tokens
        self._head = model.get_output_embeddings()
        self.remove_callback(PrinterCallback)

    def compute_loss(
        self,
        model: Any,
        inputs: Encoded,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """num_items_in_batch is the sum of the whole batch's targets, over all devices."""
        assert num_items_in_batch is not None
        return self._summed(model, inputs) / num_items_in_batch * self.args.world_size

    def get_batch_samples(
        self, epoch_iterator: Iterator[Encoded], num_batches: int, device: torch.device
    ) -> tuple[list[Encoded], torch.Tensor]:
        """The passes of one optimizer step, and the sum of their targets over all devices.

        The Trainer's own count leaves out the first label, which a language model has no prediction for.
        """
        passes = list(islice(epoch_iterator, num_batches))
        weight = sum(batch["labels"].sum() for batch in passes)
        return passes, self.accelerator.gather(torch.as_tensor(weight, device=device)).sum()

    def held_out_loss(self, rows: EncodedRows, batch_size: int) -> float:
        """Mean over all targets of rows; every process goes through all of them."""
        self.model.eval()
        total = torch.zeros((), device=self.args.device)
        weight = 0.0
        order = sorted(range(len(rows)), key=rows.lengths.__getitem__)
        with torch.no_grad():
            for start in range(0, len(order), batch_size):
                batch = rows.collate([rows[at] for at in order[start : start + batch_size]])
                weight += float(batch["labels"].sum())
                total += self._summed(self.model_wrapped, self._prepare_inputs(batch))
        return float(total) / weight

    def floating_point_ops(self, inputs: Encoded) -> int:
        """Not counted: walking over all parameters costs a small model more than its step."""
        return 0

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """DeepSpeed gathers a tied output layer as a copy of the embedding; a folder holds it once."""
        tied = self.model.all_tied_weights_keys
        kept = {name: weight for name, weight in (state_dict or {}).items() if name not in tied}
        super()._save(output_dir, kept)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self.order

    def _summed(self, model: Any, inputs: Encoded) -> torch.Tensor:
        batch = {key: value for key, value in inputs.items() if key != "labels"}
        logits = step_logits(model, self._head, batch, self._tokens)
        return step_loss(logits, inputs["labels"])


class Pace(TrainerCallback):
    """Keeps the order of the rows in step with the epoch, marks checkpoints, and ends on request."""

    def __init__(self, order: LengthGrouped, record: Record, stop: StopRequest) -> None:
        self._order = order
        self._record = record
        self._stop = stop

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._order.set_epoch(int(state.epoch or 0))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = True
        if self._anyone_stops(args):
            control.should_save = control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if args.world_size > 1:
            distributed.barrier()
        if state.is_world_process_zero:
            self._record.complete(state.global_step)

    def _anyone_stops(self, args: TrainingArguments) -> bool:
        """All processes end at the same step, whichever saw the signal first."""
        if args.world_size == 1:
            return self._stop.received is not None
        flag = torch.tensor(int(self._stop.received is not None), device=args.device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)


class Progress(TrainerCallback):
    """One plain line on stderr a log, and the log on disk."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._first = (0, time.monotonic())

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._first = (state.global_step, time.monotonic())

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **_: Any,
    ) -> None:
        if "loss" not in logs or not state.is_world_process_zero:
            return
        first_step, started = self._first
        seconds = (time.monotonic() - started) / max(1, state.global_step - first_step)
        left = round(seconds * (state.max_steps - state.global_step))
        print(
            f"step {state.global_step}/{state.max_steps}  loss {logs['loss']:.4f}  "
            f"lr {logs['learning_rate']:.2e}  {seconds:.2f} s/step  ETA {left // 60}:{left % 60:02d}",
            file=sys.stderr,
            flush=True,
        )
        self._record.write_log(loss_log(state))


def loss_log(state: TrainerState) -> list[dict[str, float]]:
    """Step, epoch, loss, gradient norm and learning rate of every log, those before a resume too."""
    return [entry for entry in state.log_history if "loss" in entry]
