"""A PRM's scores of steps, read from JSONL files, by problem and by the text up to the step.

A row is {"id": problem, "steps": [text, ...], "scores": [number in [0, 1], ...]}. The score of a step stands for its
state too, since a PRM reads no further: every solution that begins the same has it. Of two scores the later counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from omegaprm.engine.errors import BadInput
from omegaprm.engine.tree import ROOT_DIGEST, state_digests


class ScoredSolution(msgspec.Struct, frozen=True):
    """One row of a file of scores."""

    id: str
    steps: tuple[str, ...]
    scores: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.scores):
            raise ValueError(f"scores: must be one a step, found {len(self.scores)} for {len(self.steps)} steps")
        if not all(0 <= score <= 1 for score in self.scores):
            raise ValueError("scores: each must be from 0 to 1")


class StepScores:
    """Scores by problem and state; empty without files."""

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        """BadInput for a file that cannot be read, naming the line and the rule."""
        self._scores: dict[tuple[str, bytes], float] = {}
        for path in paths:
            self._read(path)

    def _read(self, path: Path) -> None:
        decoder, number = msgspec.json.Decoder(ScoredSolution), 0
        try:
            with path.open("rb") as file:
                for line in file:
                    number += 1
                    if line.strip():
                        self._add(decoder.decode(line))
        except OSError as error:
            raise BadInput(f"--prm-scores {path}: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            raise BadInput(f"--prm-scores {path}:{number}: {error}") from error

    def _add(self, row: ScoredSolution) -> None:
        for digest, score in zip(state_digests(ROOT_DIGEST, row.steps), row.scores, strict=True):
            self._scores[row.id, digest] = score

    def __bool__(self) -> bool:
        return bool(self._scores)

    def after(self, problem_id: str, prefix: Sequence[str], steps: Sequence[str]) -> list[float | None]:
        """The score of each step behind a prefix; None where the PRM has not read it."""
        if not self._scores:
            return [None] * len(steps)
        start = (ROOT_DIGEST, *state_digests(ROOT_DIGEST, prefix))[-1]
        return [self._scores.get((problem_id, digest)) for digest in state_digests(start, steps)]
