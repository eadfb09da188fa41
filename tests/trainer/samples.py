"""Sixteen labelled solutions of bundled problems, four of them with an image; candidates of a few other problems."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from PIL import Image

from examples.sums.problems import make
from examples.working import reduction_steps
from omegaprm.engine.records import process_text

NUM_ROWS = 16
NUM_CANDIDATES_PROBLEMS = 5


def row(question: str, steps: list[str], labels: list[Any], image: Any = None) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": process_text(question, steps)},
        {"from": "gpt", "value": labels},
    ]
    return {"id": question, "image": image, "conversations": turns}


def write_rows(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def sixteen(folder: Path) -> Path:
    """Right solutions, and wrong ones whose last step is off by one; every fourth row has an image."""
    rng = random.Random(0)
    rows = []
    for at, problem in enumerate(make(NUM_ROWS, "seeds", 0)):
        question = str(problem["question"])
        steps = reduction_steps(rng, question.removeprefix("What is ").rstrip("?"))
        labels: list[float | None] = [1.0] * len(steps)
        if at % 2:
            steps[-1] = str(int(steps[-1]) + 1)
            labels[-1] = 0.0
        rows.append(row(question, steps, labels, picture(folder, at) if at % 4 == 3 else None))
    return write_rows(folder, rows)


def candidates(folder: Path) -> Path:
    """Five solutions of each problem and an empty one, two of them the same and one of the last problem too long.

    Labels are drawn, so that any other order of the scores gives other figures. The second problem has an image, and
    a last entry is bad.
    """
    rng = random.Random(1)
    entries: list[dict[str, Any]] = []
    for at, problem in enumerate(make(NUM_CANDIDATES_PROBLEMS, "test", 0)):
        expression = str(problem["question"]).removeprefix("What is ").rstrip("?")
        first, *others = (reduction_steps(rng, expression) for _ in range(3))
        solutions = [first, first, *others, [*first[:-1], str(int(first[-1]) + 1)], []]
        labels = [rng.randrange(2) for _ in solutions]
        image = picture(folder, 20 + at) if at == 1 else None
        entries.append({**problem, "solutions_splits": solutions, "labels": labels, "image_path": image})
    entries[-1]["solutions_splits"][1] = ["1 + " * 300, "1"]
    path = folder / "candidates.json"
    path.write_text(json.dumps([*entries, {"id": "bad", "question": "1?", "correct_answer": 1}]))
    return path


def picture(folder: Path, number: int) -> str:
    name = f"{number}.png"
    Image.new("RGB", (24, 24), (number * 20 % 256, 90, 200)).save(folder / name)
    return name
