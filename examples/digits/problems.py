"""Digits: handwritten digits side by side in a picture, and a formula over them."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from examples.arithmetic import draw, stays_small, tokens, value
from examples.working import substitute

LETTERS = "abc"
SCALE = 4
"""Pixels of the PNG for one pixel of the 8 x 8 scan."""
PARTS = {"pretraining": range(0, 1000), "seeds": range(1000, 1400), "test": range(1400, 1797)}
"""Which scans of scikit-learn's load_digits each part may use: no scan stands in two parts."""


@cache
def scans() -> tuple[np.ndarray, np.ndarray]:
    """All scans as uint8 in 0..255, shape (1797, 8, 8), and their digits, shape (1797,)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.images * (255 / 16)).round().astype(np.uint8), data.target


def picture(indices: list[int]) -> Image.Image:
    """Scans side by side, enlarged, as a grey image."""
    row = np.concatenate([scans()[0][index] for index in indices], axis=1)
    return Image.fromarray(np.kron(row, np.ones((SCALE, SCALE), np.uint8)))


def question(formula: str) -> str:
    return f"The image shows digits {', '.join(LETTERS)}. What is {formula}?"


def draw_formula(rng: random.Random) -> str:
    """A formula over all letters, in any order."""
    letters = list(LETTERS)
    rng.shuffle(letters)
    return draw(rng, letters)


def draw_problem(rng: random.Random, part: str) -> tuple[list[int], dict[str, int], str]:
    """(scan indices, digit by letter, formula over the letters), every number on the way small."""
    _, targets = scans()
    while True:
        indices = [rng.choice(PARTS[part]) for _ in LETTERS]
        digits = {letter: int(targets[index]) for letter, index in zip(LETTERS, indices, strict=True)}
        formula = draw_formula(rng)
        if stays_small(tokens(substitute(formula, digits))):
            return indices, digits, formula


def make(count: int, part: str, run_seed: int, folder: Path) -> list[dict[str, object]]:
    """Seed problems of one part in MM-PRM's format; their pictures are written under folder/images.

    "digits" in a row is the image's truth, which only the step checker may read.
    """
    rng = random.Random(f"digits {part} {run_seed}")
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for at in range(count):
        indices, digits, formula = draw_problem(rng, part)
        name = f"{part}-{run_seed}-{at}"
        picture(indices).save(images / f"{name}.png", optimize=True)
        rows.append(
            {
                "id": f"digits-{name}",
                "question": question(formula),
                "correct_answer": str(value(substitute(formula, digits))),
                "image_path": f"images/{name}.png",
                "digits": digits,
            }
        )
    return rows
