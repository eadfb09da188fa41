"""Hugging Face's Trainer, taught to read step labels, to look at held-out rows and to end where it should."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments

from omegaprm.trainer.batches import EncodedRows, LengthGrouped
from omegaprm.trainer.callbacks import losses_on_the_way
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.encoding import Encoded, Encoder
from omegaprm.trainer.held_out import Figures, Forward, look, num_since_best, score
from omegaprm.trainer.prm import step_logits, step_loss


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
        self._positive_weight = config.positive_weight
        self._patience = config.early_stopping
        self.remove_callback(PrinterCallback)

    @property
    def is_over(self) -> bool:
        """Whether the last step is done, or the held-out loss has not fallen for as long as was allowed."""
        waited = num_since_best(losses_on_the_way(self.state))
        ended_early = self._patience is not None and waited >= self._patience
        return ended_early or self.state.global_step >= self.state.max_steps

    def compute_loss(
        self,
        model: Any,
        inputs: Encoded,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """num_items_in_batch is the sum of the whole batch's targets, over all devices."""
        assert num_items_in_batch is not None
        loss = step_loss(self._logits(model, inputs), inputs["labels"])
        scaled: torch.Tensor = loss / num_items_in_batch * self.args.world_size
        return scaled

    def get_batch_samples(
        self, epoch_iterator: Iterator[Encoded], num_batches: int, device: torch.device
    ) -> tuple[list[Encoded], torch.Tensor]:
        """The passes of one optimizer step, and the sum of their targets over all devices.

        The Trainer's own count leaves out the first label, which a language model has no prediction for.
        """
        passes = list(islice(epoch_iterator, num_batches))
        weight = sum(batch["labels"].sum() for batch in passes)
        return passes, self.accelerator.gather(torch.as_tensor(weight, device=device)).sum()

    def look(self, rows: EncodedRows) -> Figures:
        """Figures on held-out rows; every process must come here."""
        with self._looking() as forward:
            return look(rows, forward, self.args.train_batch_size, self._positive_weight)

    def score(self, rows: EncodedRows) -> dict[int, list[float]]:
        """Scores of the steps of every row, by its place; every process must come here."""
        with self._looking() as forward:
            return score(rows, forward, self.args.train_batch_size)

    @contextmanager
    def _looking(self) -> Iterator[Forward]:
        def forward(batch: Encoded) -> torch.Tensor:
            return self._logits(self.model_wrapped, self._prepare_inputs(batch))

        self.model.eval()
        try:
            yield forward
        finally:
            self.model.train()

    def take_best(self) -> None:
        """The weights of the best look, where early stopping keeps them."""
        if self.state.best_model_checkpoint:
            self._load_best_model()

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

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """A training taken up behind its last step takes none more."""
        if self.is_over:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def _logits(self, model: Any, inputs: Encoded) -> torch.Tensor:
        batch = {key: value for key, value in inputs.items() if key != "labels"}
        return step_logits(model, self._head, batch, self._tokens)
