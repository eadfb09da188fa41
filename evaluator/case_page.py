"""A case study as one HTML file: it loads nothing, runs nothing, and shows every text as text."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from omegaprm.evaluator.case_picture import COLOURS, opened
from omegaprm.evaluator.case_study import Case

TEMPLATES = Path(__file__).parent / "templates"


def case_page(case: Case) -> str:
    """The page as text. An image that cannot be opened is left out, a note in its place."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters["colour"] = _colour
    images = [_data(path) for path in case.images]
    return environment.get_template("case.html").render(case=case, images=images)


def _data(path: str) -> str | None:
    """An image as a data: address, as it is drawn in the picture too."""
    image = opened(path)
    if image is None:
        return None
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _colour(score: float) -> str:
    red, green, blue, _ = COLOURS(score, bytes=True)
    return f"#{red:02x}{green:02x}{blue:02x}"
