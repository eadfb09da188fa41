"""Which rows a training takes, and how often a step that several rows share counts; the same for the same seed.

Rows of one tree begin alike, so that a plain training sees the first steps of a problem once a row; which rows and
how much of them are worth training on is measured by bin/ablate.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Literal

import msgspec

from omegaprm.engine.records import TrainingRow
from omegaprm.trainer.rows import Part
from omegaprm.trainer.targets import Problem, problem_of

Select = Literal["all", "balanced", "distinct"]
Count = tuple[int, int]


class SelectionRule(msgspec.Struct, frozen=True, kw_only=True):
    """The flags of bin/train that choose among the rows."""

    select: Select = "all"
    rows_a_problem: int | None = None
    max_rows: int | None = None
    seed: int = 0


def selected(rows: Sequence[TrainingRow], rule: SelectionRule) -> Sequence[TrainingRow]:
    """The rows that a rule takes, in their order; those of "distinct" are changed, and held in memory."""
    places = range(len(rows)) if _takes_all(rule) else _drawn(rows, rule)
    taken = Part(rows, places)
    return merged(taken) if rule.select == "distinct" else taken


def _takes_all(rule: SelectionRule) -> bool:
    return rule.select != "balanced" and rule.rows_a_problem is None and rule.max_rows is None


def _drawn(rows: Sequence[TrainingRow], rule: SelectionRule) -> list[int]:
    """Places of the rows: whole problems in an order drawn by the seed, so that few rows are among more of them."""
    of_problem: dict[Problem, tuple[list[int], list[int]]] = {}
    for at, row in enumerate(rows):
        of_problem.setdefault(problem_of(row), ([], []))[0 in row.labels].append(at)
    taken: list[int] = []
    for problem in sorted(of_problem, key=lambda problem: _draw(rule.seed, problem).random()):
        right, wrong = of_problem[problem]
        taken += _of_problem(right, wrong, rule, _draw(rule.seed, ("rows", problem)))
        if rule.max_rows is not None and len(taken) >= rule.max_rows:
            break
    return sorted(taken[: rule.max_rows])


def _draw(seed: int, what: object) -> random.Random:
    return random.Random(f"{seed} {what}")


def _of_problem(right: list[int], wrong: list[int], rule: SelectionRule, rng: random.Random) -> list[int]:
    """Rows of one problem: as many wrong ones as right ones where they are to be balanced, and no more than allowed."""
    limit = rule.rows_a_problem
    if rule.select == "balanced":
        num = min(len(right), len(wrong), max(1, (limit or 2 * len(right)) // 2))
        return rng.sample(wrong, num) + rng.sample(right, num)
    both = wrong + right
    return both if limit is None else rng.sample(both, min(limit, len(both)))


def merged(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """Each step behind the same steps of the same problem once, at its first row; later rows keep what they add.

    Steps are the same that differ in spaces and in small and capital letters alone. The one that stays has the
    rollouts of all: the counts of every wording are added up and give the label; where no row has counts, the label
    is the mean. A row that adds nothing is dropped.
    """
    pools: dict[bytes, _Pool] = {}
    for row in rows:
        for at, (near, exact) in enumerate(_prefixes(row)):
            pools.setdefault(near, _Pool()).add(exact, row.labels[at], row.counts[at] if row.counts else None)
    seen: set[bytes] = set()
    kept = (_without_seen(row, pools, seen) for row in rows)
    return [row for row in kept if any(label is not None for label in row.labels)]


class _Pool:
    """What is known of one step behind the same steps: its labels, and its counts by exact wording."""

    def __init__(self) -> None:
        self._labels: list[float] = []
        self._counts: dict[bytes, Count] = {}

    def add(self, exact: bytes, label: float | None, count: Count | None) -> None:
        if label is not None:
            self._labels.append(label)
            if count is not None:
                self._counts.setdefault(exact, count)

    @property
    def count(self) -> Count | None:
        """Rows that share a wording share its estimate, which counts once."""
        if not self._counts:
            return None
        return sum(correct for correct, _ in self._counts.values()), sum(judged for _, judged in self._counts.values())

    @property
    def label(self) -> float | None:
        if self.count:
            correct, judged = self.count
            return correct / judged
        return sum(self._labels) / len(self._labels) if self._labels else None


def _without_seen(row: TrainingRow, pools: dict[bytes, _Pool], seen: set[bytes]) -> TrainingRow:
    labels: list[float | None] = []
    counts: list[Count | None] = []
    for at, (near, _) in enumerate(_prefixes(row)):
        is_new = row.labels[at] is not None and near not in seen
        labels.append(pools[near].label if is_new else None)
        counts.append(pools[near].count if is_new else None)
        if is_new:
            seen.add(near)
    return msgspec.structs.replace(row, labels=tuple(labels), counts=tuple(counts) if row.counts else ())


def _prefixes(row: TrainingRow) -> Iterator[tuple[bytes, bytes]]:
    """Digests of the problem with the steps up to each one: by meaning near enough, and by the very text."""
    near = exact = repr(problem_of(row)).encode()
    for step in row.steps:
        near, exact = _chained(near, " ".join(step.split()).casefold()), _chained(exact, step)
        yield near, exact


def _chained(before: bytes, step: str) -> bytes:
    return blake2b(before + b"\0" + step.encode(), digest_size=16).digest()
