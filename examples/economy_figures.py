"""Cost and quality of labels, by problem, so that intervals can be drawn over problems; and the table of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from examples.linear import Verdicts, Wrong
from examples.truth import FAMILIES, Tally, checked_rows, family_of, read_truth, step_labels
from omegaprm.engine import journal
from omegaprm.engine.store import Store

Counts = dict[str, Counter[str]]
"""By problem: rollouts, labels (of all rows), and the fields of truth.Tally that are counts."""
TALLIED = ("wrong_solutions", "exact", "both", "only_label", "only_truth")
DRAWS = 1000
SHOWN = {
    "rollouts a label": "rollouts_per_label",
    "the same, wrong solutions alone": "rollouts_per_wrong_label",
    "label F1": "label_f1",
    "first error exact": "first_error_exact",
    "precision": "precision",
    "recall": "recall",
}
"""Columns of the table and their ratios."""


def tree_counts(store: Path, rows: Path, seeds: list[Path]) -> Counts:
    """What a variant's trees cost and how good the rows exported from them are."""
    counts: Counts = {}
    with Store.open_reader(store) as opened:
        for record in journal.problem_records(opened):
            counts[record.problem.id] = Counter(rollouts=record.num_rollouts, estimates=record.num_estimates)
    for problem_id, labels, true_error in checked_rows(rows, read_truth(seeds)):
        _add(counts[problem_id], labels, true_error)
    return counts


def linear_counts(solutions: list[Wrong], verdicts: Verdicts, num: int, seeds: list[Path]) -> Counts:
    """What linear Monte Carlo of num rollouts a step says of solutions; a state that two share costs once."""
    truth = read_truth(seeds)
    counts: Counts = {problem_id: Counter() for problem_id, _ in verdicts}
    for problem_id, _ in verdicts:
        counts[problem_id]["rollouts"] += num
    for problem, _, steps in solutions:
        states = [verdicts[problem.id, steps[:at]][:num] for at in range(1, len(steps))]
        values = [sum(state) / max(1, len(state)) for state in states]
        error = next((at for at, value in enumerate(values) if value == 0), len(values))
        labels: list[float | None] = [*values[:error], *[0.0] * (len(steps) - error)]
        right = step_labels({"id": problem.id, "question": problem.question}, list(steps), truth)
        _add(counts.setdefault(problem.id, Counter()), labels, right.index(0) if 0 in right else None)
    return counts


def _add(counts: Counter[str], labels: list[float | None], true_error: int | None) -> None:
    tally = Tally()
    tally.add(labels, true_error)
    counts.update({name: getattr(tally, name) for name in TALLIED})
    num_labels = sum(label is not None for label in labels)
    counts.update(labels=num_labels, wrong_labels=num_labels if 0 in labels else 0)


RATIOS: dict[str, Callable[[Counter[str]], float]] = {
    "rollouts_per_label": lambda c: c["rollouts"] / max(1, c["labels"]),
    "rollouts_per_wrong_label": lambda c: c["rollouts"] / max(1, c["wrong_labels"]),
    "label_f1": lambda c: 2 * c["both"] / max(1, 2 * c["both"] + c["only_label"] + c["only_truth"]),
    "first_error_exact": lambda c: c["exact"] / max(1, c["wrong_solutions"]),
    "precision": lambda c: c["both"] / max(1, c["both"] + c["only_label"]),
    "recall": lambda c: c["both"] / max(1, c["both"] + c["only_truth"]),
}


def figures(counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    """By family: totals, and each ratio as [value, low, high], a 95 % bootstrap interval over problems."""
    by_family = {family: [Counter(c) for p, c in counts.items() if family_of(p) == family] for family in FAMILIES}
    return {family: _of_family(problems) for family, problems in by_family.items() if problems}


def _of_family(problems: list[Counter[str]]) -> dict[str, Any]:
    rng = random.Random(0)
    drawn = [_total(rng.choices(problems, k=len(problems))) for _ in range(DRAWS)]
    total = _total(problems)
    ratios = {name: [ratio(total), *_interval(sorted(map(ratio, drawn)))] for name, ratio in RATIOS.items()}
    return {"problems": len(problems), **total, **ratios}


def _total(problems: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counts in problems:
        total.update(counts)
    return total


def _interval(values: list[float]) -> tuple[float, float]:
    return values[int(0.025 * len(values))], values[int(0.975 * len(values))]


def table(measured: dict[str, dict[str, dict[str, int]]]) -> str:
    """Markdown, one table a family, one row a variant."""
    by_variant = {name: figures(counts) for name, counts in measured.items()}
    return "\n".join(
        line for family in _families(by_variant) for line in (f"### {family}", "", *_rows(family, by_variant), "")
    )


def _families(by_variant: dict[str, dict[str, Any]]) -> list[str]:
    return [family for family in FAMILIES if any(family in families for families in by_variant.values())]


def _rows(family: str, by_variant: dict[str, dict[str, Any]]) -> Iterator[str]:
    headings = ["variant", "rollouts", "wrong solutions", *SHOWN]
    yield "| " + " | ".join(headings) + " |"
    yield "|---" * len(headings) + "|"
    for name, families in by_variant.items():
        if family not in families:
            continue
        found = families[family]
        cells = [name, str(found["rollouts"]), str(found["wrong_solutions"])]
        yield "| " + " | ".join(cells + [_cell(ratio, found[ratio]) for ratio in SHOWN.values()]) + " |"


def _cell(ratio: str, figure: list[float]) -> str:
    value, low, high = figure
    return f"{value:.3f} ({low:.2f}-{high:.2f})" if ratio in ("label_f1", "first_error_exact") else f"{value:.2f}"
