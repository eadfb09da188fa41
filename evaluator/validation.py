"""Best-of-N on a few problems while a PRM is trained: read, checked and reckoned exactly as bin/evaluate does it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from omegaprm.engine.records import Candidates
from omegaprm.evaluator.best_of_n import curves_of
from omegaprm.evaluator.candidates import load
from omegaprm.evaluator.scoring import Scores, items_of

if TYPE_CHECKING:
    from omegaprm.evaluator.scorer import Item

FLAG = "--validation-candidates"
ROOT_FLAG = "--validation-image-root"
SHOWN = ("random", "pass", "majority", "weighted_vote", "min", "product", "average")
"""With all candidates of each problem; the last three are aggregations of Best-of-N."""


class Validation(msgspec.Struct, frozen=True):
    """Problems with their candidates and images, and why entries of their files were left out."""

    candidates: tuple[Candidates, ...]
    images: tuple[tuple[str, ...], ...]
    reasons: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        num = [len(problem.labels) for problem in self.candidates]
        each = f"{num[0]} candidates each" if min(num) == max(num) else f"{min(num)} to {max(num)} candidates each"
        return f"{len(num)} problems, {each}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self.candidates)).hexdigest()

    def items(self) -> list[list[Item]]:
        return items_of(self.candidates, self.images)

    def figures(self, scores: Scores) -> dict[str, float]:
        """Accuracies by the names of SHOWN; scores[problem][candidate][step]."""
        curves = curves_of(self.candidates, scores, seed=0)
        finals = curves.baselines | curves.best
        return {name: float(finals[name][:, -1].mean()) for name in SHOWN}


def read(files: Sequence[str], image_root: str | None = None, max_problems: int = 32) -> Validation:
    """The first usable problems of candidates files; BadInput where a file cannot be read or none is usable."""
    loaded = load(files, image_root, flag=FLAG, root_flag=ROOT_FLAG)
    taken = slice(max_problems)
    return Validation(loaded.candidates[taken], loaded.images[taken], tuple(map(str, loaded.rejected)))
