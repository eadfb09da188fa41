"""Where a PRM's step AUC on digits comes from: python -m tests.step_kinds QUICKSTART

By kind of step, and by what made a step wrong: the digit misread first, or what follows it. Reads the scores that
bin/evaluate left in the folder of a finished quickstart, of its PRM and of the untrained policy.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from omegaprm.evaluator.scorer import Item
from omegaprm.evaluator.scoring import digest
from omegaprm.evaluator.step_level import auc

READING = re.compile(r"(?:read )?[a-z]\s*(?: is |=|:)\s*-?\d+")
KINDS = ("reading", "formula", "calculation", "answer")


class Step(NamedTuple):
    kind: str
    label: int
    at_first_error: bool
    after_misreading: bool
    score: float


def kind_of(steps: list[str], at: int) -> str:
    if READING.fullmatch(steps[at].strip()):
        return "reading"
    if at == len(steps) - 1:
        return "answer"
    return "formula" if at and READING.fullmatch(steps[at - 1].strip()) else "calculation"


def scored_steps(folder: Path, scores: dict[str, list[float]]) -> Iterator[Step]:
    for problem in json.loads((folder / "digits.json").read_text()):
        images = (str(folder / "problems" / problem["image_path"]),)
        for steps, labels in zip(problem["solutions_splits"], problem["step_labels"], strict=True):
            of_solution = scores[digest(Item(problem["question"], tuple(steps), images))]
            first = labels.index(0) if 0 in labels else None
            misread = first is not None and kind_of(steps, first) == "reading"
            for at, (label, score) in enumerate(zip(labels, of_solution, strict=True)):
                yield Step(kind_of(steps, at), label, at == first, misread, score)


def told_apart(steps: list[Step]) -> str:
    wrong = sum(not step.label for step in steps)
    value = auc(np.array([step.score for step in steps]), np.array([float(step.label) for step in steps]))
    return f"{len(steps):6} steps, {wrong:5} wrong, step AUC {value if value is None else round(value, 3)}"


def show(kept: dict[str, Any], folder: Path) -> None:
    steps = list(scored_steps(folder, kept["scores"]))
    print(Path(kept["prm"]).name)
    for kind in KINDS:
        print(f"  {kind:<30}{told_apart([step for step in steps if step.kind == kind])}")
    right = [step for step in steps if step.label]
    for misread, cause in ((True, "misread"), (False, "otherwise")):
        for first, place in ((True, "where it happens"), (False, "behind it")):
            wrong = [s for s in steps if not s.label and (s.after_misreading, s.at_first_error) == (misread, first)]
            print(f"  wrong, {cause + ', ' + place:<23} {told_apart(right + wrong)}")


def main(folder: Path) -> None:
    for file in sorted((folder / "evaluation" / "digits").glob("scores-*.json")):
        show(json.loads(file.read_text()), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
