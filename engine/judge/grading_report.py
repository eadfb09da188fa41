"""What a grading found, for people: counts, the unknowns, and where verdicts and earlier labels differ."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from omegaprm.engine.judge.grading import Grading
from omegaprm.engine.records import Verdict

MAX_ROWS_SHOWN = 50
"""Rows of a table that are printed; how many more there are is said below it."""

_MIN_PLAIN_WIDTH = 120
_MAX_CELL_CHARS = 60


class Judged(msgspec.Struct, frozen=True):
    """One candidate's answer and verdict, beside the label it had."""

    id: str
    candidate: int
    reference: str
    answer: str
    verdict: Verdict
    old_label: int | None

    @property
    def label(self) -> int:
        return int(self.verdict.outcome == "correct")


def judged(grading: Grading) -> Iterator[Judged]:
    """Every judged candidate of a grading, in order."""
    for row in grading.rows:
        labels = row.old_labels or (None,) * len(row.answers)
        for at, (answer, verdict, label) in enumerate(zip(row.answers, row.verdicts, labels, strict=True)):
            yield Judged(row.candidates.id, at, row.candidates.correct_answer, answer, verdict, label)


def report(grading: Grading) -> dict[str, Any]:
    """Everything a grading found, as JSON: nothing is cut here."""
    every = list(judged(grading))
    return {
        "num_rows": len(grading.rows),
        "num_answers": len(every),
        "counts": [
            {"outcome": outcome, "rule": rule, "num_answers": count}
            for (outcome, rule), count in sorted(grading.counts.items())
        ],
        "malformed": [msgspec.structs.asdict(row) for row in grading.malformed],
        "unknown": [_listed(one) for one in every if one.verdict.outcome == "unknown"],
        "disagreements": [_listed(one) for one in every if one.old_label not in (None, one.label)],
    }


def _listed(one: Judged) -> dict[str, Any]:
    return {
        **{name: getattr(one, name) for name in ("id", "candidate", "reference", "answer", "old_label")},
        "outcome": one.verdict.outcome,
        "rule": one.verdict.rule,
    }


def print_report(grading: Grading, compare: bool, console: Console | None = None) -> None:
    """Print counts by outcome and rule, malformed rows, unknowns and, with compare, the disagreements."""
    console = console or _console()
    console.print(_counts(grading))
    for row in grading.malformed[:MAX_ROWS_SHOWN]:
        console.print(Text(f"row {row.index}: left out: {row.reason}"))
    if grading.malformed:
        console.print(f"{len(grading.malformed)} malformed rows left out, {len(grading.rows)} judged")
    unknown = Counter(
        (one.id, one.reference, _cut(one.answer), one.verdict.rule)
        for one in judged(grading)
        if one.verdict.outcome == "unknown"
    )
    if unknown:
        rows = [(*key, str(count)) for key, count in unknown.items()]
        _print_table(console, "Unknown", ("id", "reference", "answer", "rule", "candidates"), rows)
    if compare:
        print_comparison(grading, console)


def print_comparison(grading: Grading, console: Console) -> None:
    """Print the agreement with the labels that were there and a table of the disagreements."""
    labelled = [one for one in judged(grading) if one.old_label is not None]
    if not labelled:
        console.print("agreement: no row had labels to compare with")
        return
    differing = [one for one in labelled if one.label != one.old_label]
    num_agreed = len(labelled) - len(differing)
    console.print(f"agreement: {num_agreed} of {len(labelled)} ({num_agreed / len(labelled):.1%})")
    if differing:
        columns = ("id", "candidate", "reference", "answer", "label", "verdict", "rule")
        _print_table(console, "Disagreements", columns, [_disagreement(one) for one in differing])


def _disagreement(one: Judged) -> tuple[str, ...]:
    verdict = one.verdict
    old = str(one.old_label)
    return (one.id, str(one.candidate), one.reference, _cut(one.answer), old, verdict.outcome, verdict.rule)


def _counts(grading: Grading) -> Table:
    table = Table("outcome", "rule", "answers", title="Verdicts")
    totals: Counter[str] = Counter()
    for (outcome, rule), count in sorted(grading.counts.items()):
        totals[outcome] += count
        table.add_row(outcome, rule, str(count))
    table.add_section()
    for outcome in ("correct", "incorrect", "unknown"):
        table.add_row(outcome, "all", str(totals[outcome]))
    return table


def _print_table(console: Console, title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(*columns, title=title)
    for row in rows[:MAX_ROWS_SHOWN]:
        table.add_row(*(Text(_cut(cell)) for cell in row))
    console.print(table)
    if len(rows) > MAX_ROWS_SHOWN:
        console.print(f"and {len(rows) - MAX_ROWS_SHOWN} more")


def _cut(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text[: 4 * _MAX_CELL_CHARS].split())
    return line if len(line) <= _MAX_CELL_CHARS else line[: _MAX_CELL_CHARS - 1] + "…"


def _console() -> Console:
    """As wide as the terminal; wide enough to read where the output goes to a file."""
    width = None if sys.stdout.isatty() else max(shutil.get_terminal_size().columns, _MIN_PLAIN_WIDTH)
    return Console(width=width, highlight=False)
