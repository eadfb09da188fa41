"""One report, one file: index.html loads nothing, runs nothing, and shows every text as text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from omegaprm.engine.files import write_whole
from omegaprm.evaluator.table import VOTES, passes, size, unshown, variety

TEMPLATES = Path(__file__).parent / "templates"


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A PNG or an SVG, what it shows in words, and what stands in where it cannot be seen."""

    caption: str
    png: bytes = b""
    svg: str = ""
    alt: str = ""

    @property
    def source(self) -> str:
        """A data: address. An SVG inside an image element can neither run scripts nor load anything."""
        kind, content = ("svg+xml", self.svg.encode()) if self.svg else ("png", self.png)
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A plain table: the first cell of a row is its heading; text stands as given, None is a dash."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    caption: str = ""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of problems: what best_of_n.figures gives for the PRM and, beside it, the untrained model."""

    name: str
    figures: dict[str, Any]
    baseline: dict[str, Any] | None = None
    pictures: tuple[Picture, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that a page shows; empty sections are left out."""

    title: str
    summary: tuple[str, ...] = ()
    """Paragraphs under the title."""
    families: tuple[Family, ...] = ()
    label_quality: Table | None = None
    step_quality: Table | None = None
    rollout_shares: Table | None = None
    """Rollouts that could not be judged, from the root and from prefixes."""
    trees: tuple[Picture, ...] = ()
    cost: Table | None = None
    versions: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    """What a reader must know before believing the figures."""


def write_report(path: str | Path, data: Report | Mapping[str, Any]) -> None:
    """Write the page; a mapping with Report's fields does too, ValidationError where one is missing."""
    report = data if isinstance(data, Report) else msgspec.convert(dict(data), Report)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_whole(Path(path), render(report).encode("utf-8", "replace"))


def render(report: Report) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, points=points, cell=cell)
    environment.globals.update(names=VOTES, passes=passes, size=size, unshown=unshown, variety=variety)
    return environment.get_template("report.html").render(report=report)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def points(value: float | None) -> str:
    """A difference in percentage points, signed."""
    return "–" if value is None else f"{100 * value:+.1f}"


def cell(value: str | int | float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):  # a share, a duration, a large quantity
        return f"{value:,.{3 if abs(value) <= 1 else 1 if abs(value) < 100 else 0}f}"
    return f"{value:,}" if isinstance(value, int) else value
