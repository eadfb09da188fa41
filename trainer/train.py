"""Rows in, a PRM folder out; killed at any moment, the same command ends with the same weights."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaprm.engine.errors import BadInput, ConfigurationError
from omegaprm.trainer import environment, launching, rows, validation
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.record import Record, identity
from omegaprm.trainer.stop import StopRequest, drained

if TYPE_CHECKING:
    from omegaprm.engine.records import TrainingRow
    from omegaprm.trainer import card
    from omegaprm.trainer.batches import EncodedRows
    from omegaprm.trainer.encoding import Encoder
    from omegaprm.trainer.learner import Learner
    from omegaprm.trainer.validation import ReadValidation, ScoredOnTheWay, Validation


FEW_STEPS = 10
NUM_SHOWN = 5
"""Bad entries that are told with their reasons."""


def train(config: TrainConfig, reader: ReadValidation | None = None) -> None:
    """Train a PRM; reader reads the candidates of --validation-candidates.

    Errors: Drained after a signal, BadInput where no row or no candidate is usable, ConfigurationError.
    """
    if config.plan:
        from omegaprm.trainer import plan

        print(plan.text(config))
        return
    config.require_paths()
    if config.processes is not None and not launching.is_rank():
        launching.launch(config.processes, config.torchrun)
    stop = StopRequest()
    stop.install()
    read = rows.read(config.rows, config.loss_rule, config.image_root)
    _say(f"{len(read.rows)} rows, {read.num_bad} bad", *read.reasons)
    candidates = validation.read(config, reader)
    if candidates:
        _say(f"validation: {candidates.title}, {len(candidates.reasons)} bad", *candidates.reasons[:NUM_SHOWN])
    record = Record(config.out)
    what = identity(config, read.digest, environment.num_processes(), candidates.digest if candidates else None)
    if not (Path(config.model) / "config.json").is_file():
        raise ConfigurationError(f"--model {config.model}: must be a local model folder, with config.json")
    if environment.rank() == 0:
        record.claim(what, config)
    if record.is_finished:
        _say(f"{record.folder}: finished before, nothing to do")
        return
    stop.check()
    environment.prepare()
    _Training(config, read, candidates, record, stop).run()


class _Training:
    """One training, from rows to the finished folder."""

    def __init__(
        self,
        config: TrainConfig,
        read: rows.Rows,
        candidates: Validation | None,
        record: Record,
        stop: StopRequest,
    ) -> None:
        self._config = config
        self._read = read
        self._candidates = candidates
        self._record = record
        self._stop = stop

    def run(self) -> None:
        from torch import distributed

        learner, kept, held = self._set_up()
        self._warn_of_few_steps(kept)
        checkpoint = self._record.newest_checkpoint()
        if environment.rank() == 0:
            self._record.remove_cut_checkpoints()
        if checkpoint:
            _say(f"going on from {checkpoint.name}")
        learner.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if not learner.is_over:
            drained(
                f"stopped on {self._stop.received or 'a signal'} at step {learner.state.global_step} of "
                f"{learner.state.max_steps}, checkpoint saved: run the same command again",
                environment.num_processes(),
            )
        learner.take_best()
        self._finish(learner, kept, held)
        distributed.destroy_process_group()

    def _warn_of_few_steps(self, kept: EncodedRows) -> None:
        """Rows that make hardly a step of the default batch teach next to nothing, in silence."""
        per_epoch = -(-len(kept) // self._config.batch_size)
        num = self._config.max_steps or math.ceil(per_epoch * self._config.epochs)
        if num < FEW_STEPS:
            steps = "1 optimizer step" if num == 1 else f"{num} optimizer steps"
            _say(f"only {steps} at --batch-size {self._config.batch_size}: lower it, or raise --epochs, to learn more")

    def _set_up(self) -> tuple[Learner, EncodedRows, EncodedRows]:
        from omegaprm.trainer import families, lora, prm
        from omegaprm.trainer.arguments import arguments, join_processes
        from omegaprm.trainer.batches import EncodedRows, hold_out
        from omegaprm.trainer.encoding import Encoder
        from omegaprm.trainer.learner import Learner

        config = self._config
        prm.limit_threads()
        args = arguments(config, self._record.checkpoints, environment.num_processes())
        join_processes(args)
        _say(f"training on {args.world_size} x {args.device.type}")
        encoder = Encoder.load(config.model, config.max_length, self._record.prompt_date())
        parts = hold_out(self._taken(), config.held_out_fraction, config.seed)
        several = environment.num_processes() > 1
        with_images = several or config.freeze_language
        kept, held = (
            EncodedRows(part, encoder, self._stop.check, config.loss_rule, with_images, config.weigh_by == "problem")
            for part in parts
        )
        if not len(kept):
            raise BadInput(f"no row is left to train on; dropped: {dict(kept.num_dropped)}")
        _say(f"{len(kept)} rows to train on, {len(held)} held out, dropped: {dict(kept.num_dropped)}")
        on_the_way = self._on_the_way(encoder, several)
        model = prm.load(config.model, encoder, prm.weights_dtype(args.bf16), config.attention)
        families.freeze(model, config.trained_parts)
        if config.lora_rank:
            model = lora.adapted(model, config)
        self._stop.check()
        learner = Learner(model, args, kept, encoder, config)
        self._add_callbacks(learner, held, on_the_way)
        return learner, kept, held

    def _on_the_way(self, encoder: Encoder, several: bool) -> ScoredOnTheWay | None:
        """The candidates as inputs, cut at the model's own context as in bin/evaluate, whatever --max-length is."""
        from omegaprm.trainer.encoding import Encoder
        from omegaprm.trainer.validation import ScoredOnTheWay

        if not self._candidates:
            return None
        date = self._record.prompt_date()
        whole = Encoder.load(self._config.model, date=date) if self._config.max_length else encoder
        found = ScoredOnTheWay(self._candidates, whole, self._stop.check, several)
        if found.num_too_long:
            _say(f"validation: {found.num_too_long} candidates are too long for the model and score 0")
        return found

    def _taken(self) -> Sequence[TrainingRow]:
        """The rows that --select and the flags beside it take. BadInput where none is left."""
        from omegaprm.trainer.selection import selected
        from omegaprm.trainer.targets import has_weight

        config, rows = self._config, self._read.rows
        taken = selected(rows, config.selection_rule)
        if config.select == "distinct":
            taken = [row for row in taken if has_weight(row, config.loss_rule)]
        if not len(taken):
            raise BadInput(f"--select {config.select}: takes none of the {len(rows)} rows")
        if len(taken) < len(rows):
            _say(f"{len(taken)} of {len(rows)} rows taken (--select {config.select})")
        return taken

    def _add_callbacks(self, learner: Learner, held: EncodedRows, on_the_way: ScoredOnTheWay | None) -> None:
        from omegaprm.trainer.callbacks import Curves, Looks, Pace, Progress

        learner.add_callback(Pace(learner.order, self._record, self._stop))
        learner.add_callback(Progress(self._record))
        if self._config.tensorboard:
            learner.add_callback(Curves(self._record.folder / "tensorboard"))
        if len(held) or on_the_way:
            learner.add_callback(Looks(learner, held, on_the_way, self._record, self._config))

    def _finish(self, learner: Learner, kept: EncodedRows, held: EncodedRows) -> None:
        import msgspec

        from omegaprm.trainer import card, lora
        from omegaprm.trainer.callbacks import looks_log, loss_log, validation_log

        folder = self._record.folder
        outcome = self._outcome(learner, kept, held)
        learner.save_model(str(folder / lora.ADAPTER if self._config.lora_rank else folder))
        if environment.rank() != 0:
            return
        (folder / "training_args.bin").unlink(missing_ok=True)
        if self._config.lora_rank:
            lora.merge(folder, self._config, learner.args.bf16)
        log, looks = loss_log(learner.state), looks_log(learner.state)
        self._record.write_log(log)
        card.draw_loss(folder, log, looks)
        if self._candidates:
            card.draw_validation(folder, validation_log(learner.state), self._candidates.title)
        card.write_page(folder, self._config, outcome, self._read.digest)
        result: dict[str, Any] = msgspec.to_builtins(outcome)
        self._record.finish(result, self._config.keep_checkpoints)
        _say(f"{folder}: finished, last loss {outcome.final_loss:.4f}")

    def _outcome(self, learner: Learner, kept: EncodedRows, held: EncodedRows) -> card.Outcome:
        from omegaprm.trainer import card
        from omegaprm.trainer.callbacks import loss_log, taken_look, taken_validation

        labels = [label for row in kept.rows for label in row.labels if label is not None]
        taken = taken_look(learner.state, self._config)
        taken_step = int(taken.get("step", learner.state.global_step))
        return card.Outcome(
            num_rows=len(kept),
            num_labels=len(labels),
            mean_label=sum(labels) / len(labels),
            num_rows_with_images=sum(bool(row.images) for row in kept.rows),
            num_held_out_rows=len(held),
            num_bad_rows=self._read.num_bad,
            num_dropped=dict(kept.num_dropped + held.num_dropped),
            num_steps=learner.state.global_step,
            final_loss=loss_log(learner.state)[-1]["loss"],
            taken_step=taken_step,
            held_out_loss=taken.get("held_out_loss"),
            held_out_auc=taken.get("held_out_auc"),
            held_out_ece=taken.get("held_out_ece"),
            validated_on=self._candidates.title if self._candidates else None,
            validation=taken_validation(learner.state, taken_step),
        )


def _say(*lines: str) -> None:
    if environment.rank() == 0:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
