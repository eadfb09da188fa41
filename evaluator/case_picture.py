"""Draws a case study as MM-PRM's Figure 1: two solutions side by side, a bar of confidence at every step."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, UnidentifiedImageError

from omegaprm.evaluator.case_study import Case, Told
from omegaprm.evaluator.plots import written

COLOURS = LinearSegmentedColormap.from_list("confidence", ["#d1583b", "#f2d9a2", "#3f8fbf"])
"""From doubt to confidence, told apart by the colour-blind too."""

MAX_STEPS = 14
MAX_LETTERS = 220
MAX_IMAGES = 3
"""Longer solutions and steps and further images are cut from the picture, and it says so."""

WIDTH = 12.0
COLUMN_LETTERS = 52
LINE = 0.2
BAR_WIDTH = 0.95
IMAGE_WIDTH = 2.7
IMAGE_HEIGHT = 1.6
MARGIN = 0.3
"""Inches, where they are not letters."""


def case_picture(case: Case, kind: str = "png") -> bytes:
    """The case as "png" or "svg". An image that cannot be opened is left out, a note drawn instead."""
    heading = _heading(case)
    columns = [_rows(case.right), _rows(case.wrong)]
    images = [opened(path) for path in case.images[:MAX_IMAGES]]
    tallest = max((_shown_size(image)[1] for image in images), default=0.0)
    head = MARGIN + max(LINE * 1.15 * len(heading), tallest) + 0.15
    height = head + 0.6 + max(sum(_row_height(lines) for lines, _ in rows) for rows in columns)
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0), autoscale_on=False)
    axes.axis("off")
    left = _draw_images(axes, images)
    for at, (line, weight) in enumerate(heading):
        axes.text(left, MARGIN + 0.15 + LINE * 1.15 * at, line, fontsize=11, weight=weight, color="#222222")
    titles = ("Right solution", "#2f7a4d"), ("Wrong solution", "#b04328")
    for at, (rows, (title, colour)) in enumerate(zip(columns, titles, strict=True)):
        x = MARGIN + at * (WIDTH - MARGIN) / 2
        axes.text(x, head + 0.25, title, fontsize=12.5, weight="bold", color=colour)
        _draw_rows(axes, rows, x, head + 0.42)
    return written(figure, kind)


def _heading(case: Case) -> list[tuple[str, str]]:
    question = wrapped(case.question, 120 if not case.images else 90)
    extra = len(case.images) - MAX_IMAGES
    notes = [f"({extra} more images)"] if extra > 0 else []
    return [
        ("Question", "bold"),
        *((line, "normal") for line in question),
        (f"Reference answer: {wrapped(case.correct_answer, 80)[0]}", "normal"),
        *((line, "normal") for line in notes),
    ]


def wrapped(text: str, width: int) -> list[str]:
    """Lines that matplotlib draws as they are: no mathematics, no control characters."""
    cut = text if len(text) <= MAX_LETTERS else text[:MAX_LETTERS] + " …"
    shown = "".join(letter if letter.isprintable() else " " for letter in cut)
    lines = textwrap.wrap(" ".join(shown.split()), width) or ["(empty)"]
    return [line.replace("$", r"\$") for line in lines]


def _rows(told: Told) -> list[tuple[list[str], float | None]]:
    rows: list[tuple[list[str], float | None]] = [
        (wrapped(step, COLUMN_LETTERS), score) for step, score in zip(told.steps, told.scores, strict=True)
    ]
    more = len(rows) - MAX_STEPS
    return rows if more <= 0 else [*rows[:MAX_STEPS], ([f"… and {more} more steps"], None)]


def _row_height(lines: list[str]) -> float:
    return LINE * len(lines) + 0.2


def _draw_rows(axes: Any, rows: list[tuple[list[str], float | None]], x: float, y: float) -> None:
    for lines, score in rows:
        height = _row_height(lines)
        if score is not None:
            _draw_bar(axes, score, x, y + 0.06)
        for at, line in enumerate(lines):
            axes.text(x + BAR_WIDTH + 0.7, y + 0.21 + LINE * at, line, fontsize=10, color="#222222")
        y += height


def _draw_bar(axes: Any, score: float, x: float, y: float) -> None:
    """A frame, filled as far as the score goes, and the score in digits."""
    axes.add_patch(Rectangle((x, y), BAR_WIDTH * score, 0.19, facecolor=COLOURS(score), edgecolor="none"))
    axes.add_patch(Rectangle((x, y), BAR_WIDTH, 0.19, facecolor="none", edgecolor="#8a8a8a", linewidth=0.8))
    axes.text(x + BAR_WIDTH + 0.1, y + 0.15, f"{score:.2f}", fontsize=10, color="#222222")


def _draw_images(axes: Any, images: list[Image.Image | None]) -> float:
    """Images in a row from the left; where the text beside them begins."""
    x = MARGIN
    for image in images:
        width, height = _shown_size(image)
        if image is None:
            axes.text(x, MARGIN + 0.15, "(unreadable image)", fontsize=9, color="#b04328")
        else:
            axes.imshow(image, extent=(x, x + width, MARGIN + height, MARGIN), aspect="auto")
            axes.add_patch(Rectangle((x, MARGIN), width, height, fill=False, edgecolor="#8a8a8a", linewidth=0.8))
        x += width + 0.25
    return x


def _shown_size(image: Image.Image | None) -> tuple[float, float]:
    """Width and height in inches: as large as the bounds allow."""
    if image is None:
        return 1.5, 0.3
    scale = min(IMAGE_WIDTH / image.width, IMAGE_HEIGHT / image.height)
    return image.width * scale, image.height * scale


def opened(path: str) -> Image.Image | None:
    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF", "BMP")) as image:
            image.thumbnail((800, 800))
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError):
        return None
