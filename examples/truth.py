"""What the checker says about exported rows and candidates of the bundled problems; for the report alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from examples.checker import first_error
from omegaprm.engine.records import parse_process_text

FAMILIES = ("sums", "digits")
Digits = dict[str, dict[str, int]]


def family_of(problem_id: str) -> str:
    return problem_id.partition("-")[0]


def read_truth(seeds: Iterable[Path]) -> Digits:
    """What the images of these seeds files show, by problem id."""
    truth: Digits = {}
    for path in seeds:
        beside = path.with_suffix(".truth.json")
        if beside.exists():
            truth |= json.loads(beside.read_text())
    return truth


def split_by_family(candidates: Path, truth: Digits, folder: Path) -> dict[str, Path]:
    """One candidates file a family, each step of each solution labelled right or wrong by the checker."""
    rows: dict[str, list[dict[str, Any]]] = {family: [] for family in FAMILIES}
    for row in json.loads(candidates.read_text()):
        row["step_labels"] = [step_labels(row, solution, truth) for solution in row["solutions_splits"]]
        rows[family_of(row["id"])].append(row)
    paths = {family: folder / f"{family}.json" for family in FAMILIES if rows[family]}
    for family, path in paths.items():
        path.write_text(json.dumps(rows[family]))
    return paths


def step_labels(row: dict[str, Any], steps: list[str], truth: Digits) -> list[int]:
    """1 for each step before the first wrong one, 0 from it on."""
    error = first_error(row["question"], steps, truth.get(row["id"]))
    return [int(error is None or at < error) for at in range(len(steps))]


def label_quality(rows: Path, truth: Digits) -> dict[str, dict[str, Any]]:
    """For each family, the exported labels of wrong solutions against the checker.

    A label of 0 is read as wrong from there on. label_f1 is the F1 of "wrong" over the steps of all exported
    wrong solutions; first_error_exact the share of them whose first error is at the very step.
    """
    tallies = {family: Tally() for family in FAMILIES}
    for problem_id, labels, true_error in checked_rows(rows, truth):
        tallies[family_of(problem_id)].add(labels, true_error)
    return {family: tally.figures() for family, tally in tallies.items() if tally.rows}


def checked_rows(rows: Path, truth: Digits) -> Iterator[tuple[str, list[float | None], int | None]]:
    """The problem of each exported row, its labels, and where the checker sees the first wrong step, if any."""
    with rows.open() as lines:
        for line in lines:
            row = json.loads(line)
            problem_id = row["id"].rpartition("#")[0]
            question, steps = parse_process_text(row["conversations"][0]["value"])
            labels = row["conversations"][1]["value"]
            yield problem_id, labels, first_error(question, list(steps), truth.get(problem_id))


class Tally:
    """Counts over the exported rows of one family."""

    def __init__(self) -> None:
        self.rows = self.wrong_solutions = self.exact = self.right_with_error = 0
        self.both = self.only_label = self.only_truth = 0

    def add(self, labels: list[float | None], true_error: int | None) -> None:
        self.rows += 1
        if 0 not in labels:
            self.right_with_error += true_error is not None
            return
        self.wrong_solutions += 1
        error = labels.index(0)
        self.exact += error == true_error
        actual = len(labels) if true_error is None else true_error
        self.both += len(labels) - max(error, actual)
        self.only_label += max(0, actual - error)
        self.only_truth += max(0, error - actual)

    def figures(self) -> dict[str, Any]:
        flagged = 2 * self.both + self.only_label + self.only_truth
        return {
            "rows": self.rows,
            "wrong_solutions": self.wrong_solutions,
            "label_f1": 2 * self.both / flagged if flagged else None,
            "label_precision": self.both / max(1, self.both + self.only_label),
            "label_recall": self.both / max(1, self.both + self.only_truth),
            "first_error_exact": self.exact / self.wrong_solutions if self.wrong_solutions else None,
            "right_solutions_with_a_wrong_step": self.right_with_error,
        }
