"""The figures as a table of 80 columns for the terminal, with a sentence wherever a gain is not shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

VOTES = {"majority": "majority vote", "weighted_vote": "weighted vote"}
WORDS = {"better than random": "better", "worse than random": "worse"}
Figures = Mapping[str, Any]


def print_figures(console: Console, title: str, figures: Figures, baseline: Figures | None = None) -> None:
    """One row a figure: accuracy and interval, difference to random, gap closed, the same of the baseline."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("Best-of-N by", no_wrap=True)
    headings = ["accuracy, %", "minus random", "gap", *(["base-\nline"] if baseline else [])]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("against\nrandom", no_wrap=True)
    table.add_row("random", with_interval(figures["random"], *figures["intervals"]["random"]))
    for name, row in (figures["best_of_n"] | figures["votes"]).items():
        other = [_percent((baseline["best_of_n"] | baseline["votes"])[name]["accuracy"])] if baseline else []
        word = WORDS.get(row["note"], "unclear")
        accuracy = with_interval(row["accuracy"], row["low"], row["high"])
        table.add_row(VOTES.get(name, name), accuracy, _gain(row), _gap(row), *other, word)
    most = figures["most_candidates"]
    _say(console, f"{title}: {size(figures)}, 95 % intervals; gap: of the way from random to pass@{most}")
    console.print(table)
    for line in (f"{passes(figures)}.", votes_apart(figures), variety(figures), unshown(figures, "PRM")):
        _say(console, line)
    if baseline:
        _say(console, unshown(baseline, "baseline"))


def votes_apart(figures: Figures) -> str:
    row = figures["weighted_minus_majority"]
    low, high = 100 * row["low"], 100 * row["high"]
    return f"Weighted vote less majority vote: {100 * row['difference']:+.1f} [{low:+.1f}, {high:+.1f}]."


def print_step_level(console: Console, figures: Figures, name: str) -> None:
    """Step-level figures, one a line."""
    _say(console, f"steps, {name}: {figures['num_steps']}, {figures['num_wrong_steps']} of them wrong")
    for key in ("auc", "running_min_auc", "within_problem_auc", "accuracy", "best_f1", "macro_f1", "ece"):
        _say(console, f"  {key:<20} {number(figures[key])}")
    _say(console, f"  {'first_error_f1':<20} {number(figures['first_error']['f1'])}")


def _say(console: Console, line: str) -> None:
    if line:
        console.print(Text(line))


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def with_interval(value: float, low: float, high: float) -> str:
    return f"{_percent(value)} [{_percent(low)}, {_percent(high)}]"


def _gain(row: Mapping[str, Any]) -> str:
    low, high = 100 * row["minus_random_low"], 100 * row["minus_random_high"]
    return f"{100 * row['minus_random']:+.1f} [{low:+.1f}, {high:+.1f}]"


def _gap(row: Mapping[str, Any]) -> str:
    return "-" if row["gap_closed"] is None else f"{row['gap_closed']:.0%}"


def size(figures: Figures) -> str:
    """How many problems and candidates there are, in words."""
    fewest, most = figures["fewest_candidates"], figures["most_candidates"]
    span = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{figures['num_problems']} problems, {span} candidates each"


def passes(figures: Figures) -> str:
    """pass@N where there are that many candidates, in one line."""
    return ", ".join(f"pass@{n} {value:.1%}" for n, value in figures["pass"].items() if value is not None)


def variety(figures: Figures) -> str:
    """How different a problem's candidates are, in words."""
    texts, answers = figures["distinct_texts"], figures["distinct_answers"]
    return f"A problem has {texts:.1f} distinct texts and {answers:.1f} distinct answers on average."


def unshown(figures: Figures, name: str) -> str:
    """A sentence naming every aggregation whose difference to random may be none; "" where there is none."""
    rows = figures["best_of_n"] | figures["votes"]
    names = [VOTES.get(key, key) for key, row in rows.items() if row["note"] not in WORDS]
    if not names:
        return ""
    return f"{name}: no difference from random is shown (the interval holds zero) for {', '.join(names)}."
