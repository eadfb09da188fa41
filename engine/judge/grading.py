"""Judge any file of candidate solutions: usable rows are judged, the others reported with their reason.

The output is the input with "labels" and "answers" filled in, written whole or not at all.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import BadInput, StoreFailed, UsageError
from engine.judge.base import Judge
from engine.records import Candidates, Problem, Verdict

MAX_ROWS_AT_ONCE = 64
"""Rows judged at once; most of their answers wait for the same few comparisons."""


class JudgeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Judge the final answers of any candidates file; a row without "answers" is judged by its last steps."""

    candidates: str
    """File in the rollouts format: JSON list of {"id", "question", "correct_answer", "solutions_splits"}."""
    out: str
    """File to write the rows to, with "labels" (1 correct, 0 otherwise) and "answers"; may be the same."""
    compare: bool = False
    """Also print how far the verdicts agree with the labels that were there, and where they do not."""
    math_verify_workers: int = 1
    """Processes that compare answers by math-verify."""
    math_verify_seconds: float = 5.0
    """Deadline of one comparison; past it the verdict is unknown."""

    def __post_init__(self) -> None:
        if self.math_verify_workers < 1:
            raise UsageError(f"--math-verify-workers {self.math_verify_workers}: must be at least 1")
        if self.math_verify_seconds <= 0:
            raise UsageError(f"--math-verify-seconds {self.math_verify_seconds}: must be above 0")


class JudgedRow(msgspec.Struct, frozen=True):
    """A row as it was, with its answers and their verdicts; old_labels where the row had labels."""

    row: dict[str, Any]
    candidates: Candidates
    answers: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    old_labels: tuple[int, ...] | None

    @property
    def labels(self) -> tuple[int, ...]:
        return tuple(int(verdict.outcome == "correct") for verdict in self.verdicts)


class MalformedRow(msgspec.Struct, frozen=True):
    """A row that cannot be judged: its index in the file, from 0, and field and rule in words."""

    index: int
    reason: str


class Grading(msgspec.Struct, frozen=True):
    """What became of a file."""

    rows: tuple[JudgedRow, ...]
    malformed: tuple[MalformedRow, ...]

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Verdicts by (outcome, rule)."""
        return Counter((verdict.outcome, verdict.rule) for row in self.rows for verdict in row.verdicts)


def grade_file(config: JudgeConfig) -> None:
    """The body of bin/judge. Raises BadInput where no row is usable, StoreFailed where out fails."""
    rows, malformed = read_rows(Path(config.candidates))
    if not rows:
        reasons = "".join(f"\n  row {row.index}: {row.reason}" for row in malformed[:10])
        raise BadInput(f"--candidates {config.candidates}: no usable row among {len(malformed)}{reasons}")
    graded = asyncio.run(_grade_with_cascade(rows, config))
    grading = Grading(tuple(graded), tuple(malformed))
    write_rows(Path(config.out), grading)

    from engine.judge import grading_report

    grading_report.print_report(grading, config.compare)


def read_rows(path: Path) -> tuple[list[tuple[dict[str, Any], Candidates]], list[MalformedRow]]:
    """Usable rows, as written and as read, and the malformed ones. BadInput where there is no JSON list."""
    try:
        table = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"--candidates {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"--candidates {path}: not JSON: {error}") from error
    if not isinstance(table, list):
        raise BadInput(f"--candidates {path}: must be a JSON list of rows, is {type(table).__name__}")
    usable, malformed = [], []
    for index, row in enumerate(table):
        try:
            usable.append((row, candidates_of(row)))
        except (ValueError, msgspec.ValidationError) as error:
            malformed.append(MalformedRow(index, str(error)))
    return usable, malformed


def candidates_of(row: Any) -> Candidates:
    """A row of the rollouts format, answers filled in from the last steps. ValueError names field, rule."""
    if not isinstance(row, dict):
        raise ValueError(f"must be an object, is {type(row).__name__}")
    plain = {name: value for name, value in row.items() if value is not None or name == "image_path"}
    for name in ("id", "correct_answer"):
        if type(plain.get(name)) in (int, float):
            plain[name] = str(plain[name])
    candidates = msgspec.convert(plain, Candidates)
    if not candidates.correct_answer.strip():
        raise ValueError("correct_answer: must not be blank")
    if not candidates.solutions_splits:
        raise ValueError("solutions_splits: must hold at least one solution")
    num_solutions = len(candidates.solutions_splits)
    for name in ("labels", "answers"):
        given = getattr(candidates, name)
        if name in plain and len(given) != num_solutions:
            raise ValueError(f"{name}: must hold one entry a solution, {num_solutions}, holds {len(given)}")
    if "answers" in plain:
        return candidates
    answers = tuple(steps[-1] if steps else "" for steps in candidates.solutions_splits)
    return msgspec.structs.replace(candidates, answers=answers)


async def _grade_with_cascade(rows: list[tuple[dict[str, Any], Candidates]], config: JudgeConfig) -> list[JudgedRow]:
    from engine.judge.cascade import Cascade

    judge = await Cascade.start(config.math_verify_workers, config.math_verify_seconds)
    try:
        return await grade_rows(rows, judge)
    finally:
        await judge.close()


async def grade_rows(rows: list[tuple[dict[str, Any], Candidates]], judge: Judge) -> list[JudgedRow]:
    """The rows with a verdict an answer, in their order."""
    graded: list[JudgedRow] = []
    for start in range(0, len(rows), MAX_ROWS_AT_ONCE):
        batch = rows[start : start + MAX_ROWS_AT_ONCE]
        graded += await asyncio.gather(*(_grade_row(row, candidates, judge) for row, candidates in batch))
    return graded


async def _grade_row(row: dict[str, Any], candidates: Candidates, judge: Judge) -> JudgedRow:
    problem = Problem(id=candidates.id, question=candidates.question, correct_answer=candidates.correct_answer)
    verdicts = await asyncio.gather(*(judge.grade(problem, answer) for answer in candidates.answers))
    old_labels = candidates.labels if row.get("labels") is not None else None
    return JudgedRow(row, candidates, candidates.answers, tuple(verdicts), old_labels)


def write_rows(path: Path, grading: Grading) -> None:
    """Replace path by the judged rows, in one step. Other fields of a row stay as they were."""
    rows = [{**row.row, "labels": list(row.labels), "answers": list(row.answers)} for row in grading.rows]
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise StoreFailed(f"--out {path}: {error.strerror}") from error
