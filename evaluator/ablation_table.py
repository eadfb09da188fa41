"""The cells of an ablation as a table: by set of candidates, a line a cell, every aggregation with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from omegaprm.evaluator.aggregation import AGGREGATIONS

VOTES = ("majority", "weighted_vote")
MARKS = {"better than random": "+", "worse than random": "-"}
HEAD = ("cell", "rows", "step AUC", "within a problem", "ECE")

Cells = Sequence[dict[str, Any]]


def markdown(cells: Cells) -> str:
    """One section a set of candidates. Per cent with 95 % intervals; + and - where that of the difference to random
    leaves zero out."""
    parts = []
    for name in _sets(cells):
        heading = (*HEAD, *AGGREGATIONS, *VOTES)
        lines = [f"## {name}", "", _baseline(cells, name), "", _line(heading), _line(["---"] * len(heading))]
        lines += [_line([*_head(cell, name), *_accuracies(cell, name, interval=True)]) for cell in cells]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def print_table(cells: Cells, console: Console | None = None) -> None:
    """The same without intervals, which a terminal has no room for."""
    shown = console or Console()
    for name in _sets(cells):
        table = Table(title=_baseline(cells, name), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
        for column in (*HEAD, *AGGREGATIONS, *VOTES):
            table.add_column(column.replace("_", " "), justify="left" if column == "cell" else "right")
        for cell in cells:
            table.add_row(*_head(cell, name), *_accuracies(cell, name, interval=False))
        shown.print(table)


def _sets(cells: Cells) -> list[str]:
    """Sets of candidates that every cell was evaluated on."""
    return [name for name in cells[0]["figures"] if all(name in cell["figures"] for cell in cells)]


def _baseline(cells: Cells, name: str) -> str:
    figures = cells[0]["figures"][name]
    return (
        f"{name}: {figures['num_problems']} problems, Best-of-N in per cent; random {100 * figures['random']:.1f}, "
        f"pass of all {100 * figures['pass_all']:.1f}; + above random, - below it, by the 95 % interval"
    )


def _head(cell: dict[str, Any], name: str) -> list[str]:
    steps = cell["figures"][name]["step_level"] or {}
    measured = [steps.get(key) for key in ("auc", "within_problem_auc", "ece")]
    return [cell["name"], str(cell.get("num_rows", "-")), *("-" if v is None else f"{v:.3f}" for v in measured)]


def _accuracies(cell: dict[str, Any], name: str, interval: bool) -> Iterator[str]:
    figures = cell["figures"][name]
    for row in (figures["best_of_n"] | figures["votes"]).values():
        span = f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]" if interval else ""
        yield f"{100 * row['accuracy']:.1f}{MARKS.get(row['note'], '')}{span}"


def _line(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"
