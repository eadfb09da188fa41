"""What happens beside the steps of a training: checkpoints marked, progress told, held-out rows looked at."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from omegaprm.trainer.batches import EncodedRows, LengthGrouped
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.held_out import num_since_best
from omegaprm.trainer.record import Record
from omegaprm.trainer.stop import StopRequest
from omegaprm.trainer.validation import ScoredOnTheWay

if TYPE_CHECKING:
    from omegaprm.trainer.learner import Learner

LOOKS_A_TRAINING = 10
VALIDATION = "validation_"
"""What the names of figures on candidates begin with in the log."""


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
        """No rank goes on, or ends, before the mark is there: launchers end all when one has ended."""
        if args.local_process_index == 0:
            os.sync()
        _wait_for_all(args)
        if state.is_world_process_zero:
            self._record.complete(state.global_step)
        _wait_for_all(args)

    def _anyone_stops(self, args: TrainingArguments) -> bool:
        """All processes end at the same step, whichever saw the signal first."""
        if args.world_size == 1:
            return self._stop.received is not None
        flag = torch.tensor(int(self._stop.received is not None), device=args.device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)


def _wait_for_all(args: TrainingArguments) -> None:
    if args.world_size > 1:
        distributed.barrier()


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
        if not state.is_world_process_zero:
            return
        if "held_out_loss" in logs:
            self._say_look(state, logs)
        if VALIDATION + "random" in logs:
            self._say_validation(state, logs)
        if "loss" in logs:
            self._say_step(state, logs)

    def _say_look(self, state: TrainerState, logs: dict[str, float]) -> None:
        auc = logs["held_out_auc"]
        print(
            f"held out at step {state.global_step}: loss {logs['held_out_loss']:.4f}  "
            f"AUC {'none' if auc is None else format(auc, '.3f')}  ECE {logs['held_out_ece']:.3f}",
            file=sys.stderr,
            flush=True,
        )
        self._record.write_looks(looks_log(state))

    def _say_validation(self, state: TrainerState, logs: dict[str, float]) -> None:
        found = _validation_figures(logs)
        told = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in found.items())
        print(f"validation at step {state.global_step}: {told}", file=sys.stderr, flush=True)
        self._record.write_validation(validation_log(state))

    def _say_step(self, state: TrainerState, logs: dict[str, float]) -> None:
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


class Looks(TrainerCallback):
    """Looks at held-out rows and candidates before the first step, every so many steps and behind the last one."""

    def __init__(
        self,
        learner: Learner,
        rows: EncodedRows,
        validation: ScoredOnTheWay | None,
        record: Record,
        config: TrainConfig,
    ) -> None:
        self._learner = learner
        self._rows = rows
        self._validation = validation
        self._record = record
        self._keeps_best = config.early_stopping is not None
        self._interval = config.held_out_steps

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._interval = self._interval or max(1, math.ceil(state.max_steps / LOOKS_A_TRAINING))
        if not looks_log(state) and not validation_log(state):
            self._look(state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step % self._interval and state.global_step < state.max_steps:
            return
        logs_the_loss = control.should_log
        self._look(state)
        control.should_log = logs_the_loss  # which the Trainer takes back with every log
        if self._keeps_best and num_since_best(losses_on_the_way(state)) == 0:
            state.best_model_checkpoint = str(self._record.checkpoint(state.global_step))
            control.should_save = True
        if self._learner.is_over:
            control.should_save = control.should_log = control.should_training_stop = True

    def _look(self, state: TrainerState) -> None:
        if len(self._rows):
            found = msgspec.to_builtins(self._learner.look(self._rows))
            self._learner.log({f"held_out_{name}": value for name, value in found.items()})
        if self._validation:
            figures = self._validation.figures(self._learner)
            self._learner.log({VALIDATION + name: value for name, value in figures.items()})


class Curves(TrainerCallback):
    """The curves of a training for tensorboard."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self._folder), purge_step=state.global_step + 1)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        if not self._writer:
            return
        for name, value in logs.items():
            if value is not None and name != "epoch":
                self._writer.add_scalar(name, value, state.global_step)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._writer:
            self._writer.close()


def loss_log(state: TrainerState) -> list[dict[str, Any]]:
    """Step, epoch, loss, gradient norm and learning rate of every log, those before a resume too."""
    return [entry for entry in state.log_history if "loss" in entry]


def looks_log(state: TrainerState) -> list[dict[str, Any]]:
    """Step, epoch and figures of every look at the held-out rows."""
    return [entry for entry in state.log_history if "held_out_loss" in entry]


def validation_log(state: TrainerState) -> list[dict[str, Any]]:
    """Step and figures of every look at the candidates, by their own names."""
    looks = [entry for entry in state.log_history if VALIDATION + "random" in entry]
    return [{"step": entry["step"], **_validation_figures(entry)} for entry in looks]


def taken_validation(state: TrainerState, step: int) -> dict[str, float]:
    """The figures under the weights of a step; {} where there was no look at the candidates."""
    found = [entry for entry in state.log_history if VALIDATION + "random" in entry and entry["step"] == step]
    return _validation_figures(found[-1]) if found else {}


def _validation_figures(entry: dict[str, Any]) -> dict[str, float]:
    return {name.removeprefix(VALIDATION): value for name, value in entry.items() if name.startswith(VALIDATION)}


def losses_on_the_way(state: TrainerState) -> list[float]:
    """Held-out losses of the looks behind a step of training."""
    return [entry["held_out_loss"] for entry in looks_log(state) if entry["step"] > 0]


def taken_look(state: TrainerState, config: TrainConfig) -> dict[str, Any]:
    """The look at the weights that are kept: the best under early stopping, else the last; {} without any."""
    looks = [entry for entry in looks_log(state) if entry["step"] > 0]
    if config.early_stopping is not None and looks:
        return min(looks, key=lambda entry: entry["held_out_loss"])
    return looks[-1] if looks else {}
