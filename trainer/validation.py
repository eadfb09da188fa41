"""Candidate solutions that a PRM scores while it is trained, on any number of ranks alike.

Who reads the candidates and what their figures are is not decided here: bin/train brings both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from omegaprm.engine.errors import BadInput
from omegaprm.engine.records import TrainingRow
from omegaprm.trainer.config import TrainConfig

if TYPE_CHECKING:
    from omegaprm.trainer.encoding import Encoder, Item
    from omegaprm.trainer.learner import Learner

Scores = list[list[list[float]]]
"""[problem][candidate][step]."""


class Validation(Protocol):
    """Problems with candidate solutions."""

    @property
    def title(self) -> str:
        """How many there are, in words."""

    @property
    def digest(self) -> str:
        """A SHA-256 of all that the figures follow from."""

    @property
    def reasons(self) -> Sequence[str]:
        """Why entries were left out."""

    def items(self) -> list[list[Item]]:
        """What is to be scored: [problem][candidate]."""

    def figures(self, scores: Scores) -> dict[str, float]:
        """Accuracies by name."""


ReadValidation = Callable[[Sequence[str], str | None, int], Validation]
"""(files, image root, problems at the most) -> candidates; BadInput where none is usable."""


class ScoredOnTheWay:
    """Candidates as inputs of one model, each distinct one once; one too long for it scores 0 at every step.

    BadInput where an image cannot be read.
    """

    def __init__(
        self, validation: Validation, encoder: Encoder, check: Callable[[], None], images_in_every_batch: bool
    ) -> None:
        from omegaprm.trainer.batches import EncodedRows

        self._validation = validation
        self._items = validation.items()
        self._distinct = list(dict.fromkeys(item for of_problem in self._items for item in of_problem if item.steps))
        rows = [
            TrainingRow(
                id="", question=item.question, steps=item.steps, labels=(None,) * len(item.steps), images=item.images
            )
            for item in self._distinct
        ]
        self._rows = EncodedRows(rows, encoder, check, images_in_every_batch=images_in_every_batch)
        for at, reason in self._rows.dropped.items():
            if reason.kind != "too long":
                raise BadInput(f"--validation-candidates: {', '.join(self._distinct[at].images)}: {reason}")

    @property
    def num_too_long(self) -> int:
        """Distinct candidates that the model's context cannot hold."""
        return len(self._rows.dropped)

    def figures(self, learner: Learner) -> dict[str, float]:
        """The figures under the weights of now; every process must come here."""
        found = learner.score(self._rows)
        scores = {item: found.get(at, [0.0] * len(item.steps)) for at, item in enumerate(self._distinct)}
        return self._validation.figures([[scores.get(item, []) for item in items] for items in self._items])


def read(config: TrainConfig, reader: ReadValidation | None) -> Validation | None:
    """The candidates that the flags name; None where they name none. BadInput where none is usable."""
    if not config.validation_candidates:
        return None
    if reader is None:
        raise ValueError(
            "validation_candidates: train() needs a reader of them, such as omegaprm.evaluator.validation.read"
        )
    return reader(config.validation_candidates, config.validation_image_root, config.validation_problems)
