"""Sixteen labelled solutions of bundled problems, four of them with an image."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from PIL import Image

from engine.records import process_text
from examples.sums.problems import make
from examples.working import reduction_steps

NUM_ROWS = 16


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


def picture(folder: Path, number: int) -> str:
    name = f"{number}.png"
    Image.new("RGB", (24, 24), (number * 20, 90, 200)).save(folder / name)
    return name
