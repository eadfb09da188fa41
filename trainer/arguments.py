"""Our flags as Hugging Face's TrainingArguments and a DeepSpeed configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import deepspeed
import torch
from transformers import TrainingArguments

from omegaprm.engine.errors import ConfigurationError, UsageError
from omegaprm.trainer.config import TrainConfig

CONFIGS = Path(__file__).parent / "configs"
LARGEST_MICRO_BATCH = {"cpu": 32, "gpu": 4}
NUM_CHECKPOINTS = 2
"""Kept at a time: while one is being written the one before it is still whole."""


class Arguments(TrainingArguments):
    """The Trainer's, whose warm-up leaves a step: in a training of one step the only rate would be 0."""

    def get_warmup_steps(self, num_training_steps: int) -> int:
        wanted: int = super().get_warmup_steps(num_training_steps)
        return max(0, min(wanted, num_training_steps - 1))


def arguments(config: TrainConfig, checkpoints: Path, num_processes: int) -> TrainingArguments:
    """Our flags as the Trainer's. From here on DeepSpeed knows how models are to be loaded."""
    gpu = torch.cuda.is_available()
    micro = micro_batch_size(config, num_processes, gpu)
    checkpointing = gpu if config.gradient_checkpointing is None else config.gradient_checkpointing
    return Arguments(
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
        names = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.json")))
        raise ConfigurationError(
            f"--deepspeed {name}: not a DeepSpeed JSON file, nor one of {names}: {error}"
        ) from error
    return content
