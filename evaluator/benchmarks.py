"""Rollout files of known benchmarks become our candidates; where labels are missing, its answer rule gives them.

What tells one benchmark from another is data, benchmarks.toml; what no rule of it decides, the engine's judge does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.records import Problem
from omegaprm.evaluator.answer_rules import Reference, decide, listed_options

DATA = Path(__file__).with_name("benchmarks.toml")
MATH_VERIFY_SECONDS = 5.0


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of one benchmark's rows and its answer rule; benchmarks.toml says what each means."""

    id: tuple[str, ...]
    question: tuple[str, ...]
    images: tuple[str, ...]
    reference: tuple[str, ...]
    file_names_only: bool = False
    options: str = ""
    show_options: bool = False
    decimals: str = ""
    tolerance: str = ""
    several: bool = False


@lru_cache(maxsize=1)
def benchmarks() -> dict[str, Benchmark]:
    """All of benchmarks.toml by name."""
    return msgspec.toml.decode(DATA.read_bytes(), type=dict[str, Benchmark])


class Rows:
    """Makes a benchmark's rows ours. counts holds how many answers were judged correct, incorrect, unknown."""

    def __init__(self, name: str, relabel: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._benchmark = benchmarks()[name]
        self._relabel = relabel

    def __call__(self, rows: Sequence[Any]) -> list[Any]:
        """Rows in their order; one that is no object, or lacks a field, stays as it is for the reader to refuse."""
        ours = [_translated(self._benchmark, row) if isinstance(row, dict) else row for row in rows]
        waiting = [
            (row, ours_of_row) for row, ours_of_row in zip(rows, ours, strict=True) if self._is_to_judge(ours_of_row)
        ]
        if waiting:
            asyncio.run(self._judge(waiting))
        return ours

    def _is_to_judge(self, row: Any) -> bool:
        if not isinstance(row, dict) or (row.get("labels") is not None and not self._relabel):
            return False
        return isinstance(row.get("solutions_splits"), list) and row.get("correct_answer") is not None

    async def _judge(self, waiting: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
        judge = await Cascade.start(1, MATH_VERIFY_SECONDS)
        try:
            for row, ours in waiting:
                outcomes = [await self._outcome(judge, row, ours, answer) for answer in _answers(ours)]
                self.counts.update(outcomes)
                ours["labels"] = [int(outcome == "correct") for outcome in outcomes]
        finally:
            await judge.close()

    async def _outcome(self, judge: Cascade, row: dict[str, Any], ours: dict[str, Any], answer: str) -> str:
        reference = _reference(self._benchmark, row)
        right = decide(reference, answer)
        if right is not None:
            return "correct" if right else "incorrect"
        problem = Problem(id="", question=str(ours["question"]), correct_answer=", ".join(reference.values))
        return (await judge.grade(problem, answer)).outcome


def _translated(benchmark: Benchmark, row: dict[str, Any]) -> dict[str, Any]:
    """A row in our fields; those it lacks are left out."""
    images = [path for field in benchmark.images for path in _paths(row.get(field))]
    if benchmark.file_names_only:
        images = [path.replace("\\", "/").rpartition("/")[2] for path in images]
    reference = _first(row, benchmark.reference)
    values = {
        "id": _first(row, benchmark.id),
        "question": _question(benchmark, row),
        "correct_answer": ", ".join(map(str, reference)) if isinstance(reference, list) else reference,
        "image_path": images or None,
    }
    kept = ("solutions_splits", "labels", "answers", "step_labels")
    return {**{name: row[name] for name in kept if name in row}, **{k: v for k, v in values.items() if v is not None}}


def _first(row: dict[str, Any], fields: Sequence[str]) -> Any:
    return next((row[field] for field in fields if row.get(field) is not None), None)


def _paths(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [path for path in values if isinstance(path, str) and path]


def _question(benchmark: Benchmark, row: dict[str, Any]) -> Any:
    question = _first(row, benchmark.question)
    options = listed_options(row.get(benchmark.options))
    if not benchmark.show_options or not isinstance(question, str) or all(k == v for k, v in options.items()):
        return question
    return "\n".join([question, *(f"({letter}) {text}" for letter, text in options.items())])


def _reference(benchmark: Benchmark, row: dict[str, Any]) -> Reference:
    value = _first(row, benchmark.reference)
    values = value if benchmark.several and isinstance(value, list) else [value]
    return Reference(
        values=tuple(map(str, values)),
        options=listed_options(row.get(benchmark.options)),
        decimals=row.get(benchmark.decimals),
        tolerance=row.get(benchmark.tolerance),
    )


def _answers(row: dict[str, Any]) -> list[str]:
    """The answers of a row; where it has none, the last step of each solution."""
    splits = row["solutions_splits"]
    answers = row.get("answers") or [steps[-1] if isinstance(steps, list) and steps else "" for steps in splits]
    return ["" if answer is None else str(answer) for answer in answers]
