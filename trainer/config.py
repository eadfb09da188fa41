"""Every flag of bin/train."""

from __future__ import annotations

from typing import Literal

import msgspec

from omegaprm.engine import template_date
from omegaprm.engine.errors import UsageError
from omegaprm.trainer.selection import Select, SelectionRule
from omegaprm.trainer.targets import LossRule, Target

Part = Literal["vision", "projector", "language"]


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Train a process reward model on step labels through DeepSpeed. The same command resumes.

    One process trains on one device; --processes starts several.
    """

    rows: tuple[str, ...] = ()
    """Training rows: JSONL files or JSON lists, or InternVL meta files that name them."""
    model: str
    """Local folder of the policy that the PRM starts from, a Hugging Face model."""
    image_root: str | None = None
    """Folder that image paths of rows start from; absolute ones must lie inside. Default: "root" of a meta file, or the
    folder of the rows."""
    out: str = ""
    """Folder the PRM is written to; checkpoints lie in it while the training lasts."""
    loss: Target = "soft"
    """"soft": cross-entropy against the label itself; "hard": against [label > 0]; "counts": the binomial likelihood
    of the rows' counts, under which a step weighs as much as it was judged."""
    mask_after_error: bool = False
    """Leave the steps behind the first one whose label is 0 out of the loss."""
    mask_unestimated: bool = False
    """Leave the steps out that no rollouts estimated themselves, by the rows' counts."""
    positive_weight: float = 1.0
    """How much more than a wrong step a right one weighs in the loss."""
    weigh_by: Literal["row", "problem"] = "row"
    """"problem": all rows of one problem together weigh as much as those of any other."""
    select: Select = "all"
    """Which rows are taken. "balanced": of each problem as many wrong solutions as right ones; "distinct": a step that
    several rows share, behind the same steps, counts once, with the rollouts of all of them."""
    rows_a_problem: int | None = None
    """Rows of one problem at the most, drawn with the seed; default: all."""
    max_rows: int | None = None
    """Rows at the most, whole problems drawn with the seed; default: all."""
    epochs: float = 1.0
    """Passes over the rows."""
    max_steps: int | None = None
    """Optimizer steps; overrides epochs."""
    learning_rate: float = 2e-6
    """Peak of the learning rate."""
    batch_size: int = 512
    """Rows an optimizer step, over all devices."""
    micro_batch_size: int | None = None
    """Rows a forward pass on one device; default: what divides the batch, up to 32 (CPU) or 4 (GPU)."""
    warmup_ratio: float = 0.03
    """Share of the steps in which the learning rate rises to its peak."""
    cosine: bool = True
    """Let the learning rate fall along a cosine after that; otherwise it stays at its peak."""
    weight_decay: float = 0.05
    """Weight decay of AdamW."""
    max_length: int | None = None
    """Tokens a row at the most, longer ones are dropped and counted; default: the model's context."""
    prompt_date: str | None = None
    """Date, as 2026-01-31, for a chat template that writes today's; the PRM's folder records it, and all that read it
    keep it. Default: the one that --model records, or the day the training was begun on."""
    train_vision: bool = False
    """Train the vision tower too."""
    freeze_projector: bool = False
    """Leave what joins the vision tower to the language model as it is."""
    freeze_language: bool = False
    """Leave the language model as it is."""
    lora_rank: int | None = None
    """Train LoRA adapters of this rank on the linear layers of what is not frozen; merged into the PRM at the end."""
    lora_alpha: int | None = None
    """Scale of the adapters; default: twice the rank."""
    lora_dropout: float = 0.0
    """Dropout before the adapters."""
    attention: Literal["auto", "sdpa", "flash", "eager"] = "auto"
    """How attention is computed; "auto": flash-attn where it is installed, with bfloat16 on a GPU, SDPA otherwise."""
    held_out_fraction: float = 0.0
    """Share of the questions kept out of training: loss, step AUC and calibration are taken on them on the way."""
    held_out_steps: int | None = None
    """Optimizer steps between two looks at the held-out rows and candidates; default: ten looks a training."""
    early_stopping: int | None = None
    """End after this many looks without a lower held-out loss, and take the weights of the lowest."""
    validation_candidates: tuple[str, ...] = ()
    """Candidates files, as of bin/evaluate: Best-of-N is taken on them as often as --held-out-steps says."""
    validation_image_root: str | None = None
    """Folder that their image paths start from; absolute ones must lie inside. Default: that of each file."""
    validation_problems: int = 32
    """Problems of them at the most, the first usable ones."""
    tensorboard: bool = True
    """Write the curves to OUT/tensorboard too."""
    seed: int = 0
    """Order of the rows, and dropout."""
    bf16: bool | None = None
    """Train in bfloat16; default: on a GPU."""
    gradient_checkpointing: bool | None = None
    """Trade compute for memory; default: on a GPU."""
    deepspeed: str = "zero1"
    """zero1, zero2, zero3, 1x24gb, 8x80gb, 2nodes (the files of trainer/configs/), or a DeepSpeed JSON file."""
    processes: int | None = None
    """Processes to start on this machine through torchrun, one a device; the exit code is theirs."""
    torchrun: str = ""
    """More flags of torchrun, written behind an equals sign: --torchrun="--nnodes 2 --rdzv-endpoint node0:29500"."""
    save_steps: int = 100
    """Optimizer steps between checkpoints."""
    logging_steps: int = 10
    """Optimizer steps between progress lines."""
    num_workers: int = 0
    """Processes that prepare images beside the training; text needs none."""
    keep_checkpoints: bool = False
    """Leave the checkpoints in OUT/checkpoints when all is done."""
    plan: bool = False
    """Only print what memory a GPU of --gpus would need under these flags; takes no rows and loads no weights."""
    gpus: int = 1
    """GPUs that --plan is made for."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be at least {least}")
        for name in ("epochs", "learning_rate", "positive_weight"):
            if getattr(self, name) <= 0:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be above 0")
        for name in ("warmup_ratio", "held_out_fraction", "lora_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be in [0, 1)")
        template_date.parse(self.prompt_date)
        if not self.trained_parts:
            raise UsageError("--freeze-language with --freeze-projector: needs --train-vision, or nothing is trained")
        if self.torchrun and self.processes is None:
            raise UsageError(f"--torchrun {self.torchrun!r}: needs --processes")
        if self.early_stopping is not None and not self.held_out_fraction:
            raise UsageError(f"--early-stopping {self.early_stopping}: needs --held-out-fraction above 0")
        if self.validation_image_root is not None and not self.validation_candidates:
            raise UsageError(f"--validation-image-root {self.validation_image_root}: needs --validation-candidates")

    def require_paths(self) -> None:
        """UsageError where what a training needs, and a plan does not, is missing."""
        for name in ("rows", "out"):
            if not getattr(self, name):
                raise UsageError(f"--{name}: is needed, unless --plan is given")

    @property
    def trained_parts(self) -> set[Part]:
        trained: dict[Part, bool] = {
            "vision": self.train_vision,
            "projector": not self.freeze_projector,
            "language": not self.freeze_language,
        }
        return {part for part, is_trained in trained.items() if is_trained}

    @property
    def selection_rule(self) -> SelectionRule:
        return SelectionRule(
            select=self.select, rows_a_problem=self.rows_a_problem, max_rows=self.max_rows, seed=self.seed
        )

    @property
    def loss_rule(self) -> LossRule:
        return LossRule(
            kind=self.loss,
            mask_after_error=self.mask_after_error,
            mask_unestimated=self.mask_unestimated,
            positive_weight=self.positive_weight,
        )


_LEAST = {
    "gpus": 1,
    "processes": 1,
    "max_steps": 1,
    "rows_a_problem": 1,
    "max_rows": 1,
    "batch_size": 1,
    "micro_batch_size": 1,
    "weight_decay": 0,
    "max_length": 1,
    "lora_rank": 1,
    "held_out_steps": 1,
    "early_stopping": 1,
    "validation_problems": 1,
    "save_steps": 1,
    "logging_steps": 1,
    "num_workers": 0,
}

WITHOUT_EFFECT = (
    *("rows", "model", "out", "save_steps", "logging_steps", "num_workers", "keep_checkpoints"),
    *("tensorboard", "plan", "gpus", "processes", "torchrun"),
    *("image_root", "validation_candidates", "validation_image_root", "validation_problems"),
)
"""Flags that may differ when a training is taken up again; rows, model and candidates are compared by contents."""
