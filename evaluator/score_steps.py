"""bin/score-steps: a PRM's score of every step of training rows, as the JSONL that bin/view --prm-scores reads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from omegaprm.engine.errors import StoreFailed, UsageError
from omegaprm.engine.files import write_whole
from omegaprm.engine.records import TrainingRow
from omegaprm.evaluator.scoring import StepScorer, score_all
from omegaprm.trainer.rows import read


class ScoreStepsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Score every step of exported rows with a PRM and write the file that bin/view shows beside MC."""

    rows: tuple[str, ...]
    """Rows of bin/export, meta.json or train.jsonl."""
    prm: str
    """Folder of the PRM."""
    image_root: str | None = None
    """Folder that image paths of rows start from; absolute ones must lie inside. Default: "root" of a meta file, or the
    folder of the rows."""
    out: str
    """JSONL file to write, {"id", "steps", "scores"} a line; scores made so far are kept beside it."""
    batch_size: int = 32
    """Solutions scored at once."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"--batch-size {self.batch_size}: must be at least 1")


def score_steps(config: ScoreStepsConfig, scorer: StepScorer | None = None) -> None:
    """Score, write, say how many. BadInput without a usable row, Drained on a signal with the scores so far kept."""
    from omegaprm.evaluator.models import drain_asked, variant_of
    from omegaprm.evaluator.scorer import Item

    found = read(config.rows, image_root=config.image_root)
    rows = list(found.rows)
    if found.num_bad:
        print(f"{found.num_bad} bad row{'s' * (found.num_bad > 1)} left out", *found.reasons, sep="\n", file=sys.stderr)
    out = Path(config.out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with drain_asked() as stopped:
            (scores,) = score_all(
                [[Item(row.question, row.steps, row.images) for row in rows]],
                config.prm,
                out.parent,
                lambda: scorer or _opened(config),
                config.batch_size,
                stopped,
                lambda scored, num_all: None,
                variant_of("transformers", config.prm),
            ).scores
        write_whole(out, _lines(rows, scores))
    except OSError as error:
        raise StoreFailed(f"--out {out}: {error.strerror or error}") from error
    print(f"{len(rows)} solutions of {len({problem_of(row) for row in rows})} problems scored")


def problem_of(row: TrainingRow) -> str:
    """The problem that bin/export made a row of: its id without the "#" and the number behind it."""
    head, found, number = row.id.rpartition("#")
    return head if found and number.isdigit() else row.id


def _lines(rows: Sequence[TrainingRow], scores: Sequence[Sequence[float]]) -> bytes:
    encoded = (
        msgspec.json.encode({"id": problem_of(row), "steps": row.steps, "scores": of_row})
        for row, of_row in zip(rows, scores, strict=True)
    )
    return b"".join(line + b"\n" for line in encoded)


def _opened(config: ScoreStepsConfig) -> StepScorer:
    from omegaprm.evaluator.scorer import Scorer

    return Scorer(config.prm, config.batch_size)
