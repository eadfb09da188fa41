"""Judge any file of candidate solutions: usable rows are judged, the others reported with their reason.

The output is the input with "labels" and "answers" filled in, and a report beside it, each written whole or not at
all. Where a model judges, its verdicts are on disk at once: the same command goes on after a stop.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine import foreign
from omegaprm.engine.errors import BadInput, Drained
from omegaprm.engine.files import require_writable, write_whole
from omegaprm.engine.judge.base import Judge
from omegaprm.engine.judge.flags import JudgeFlags, judge_identity
from omegaprm.engine.lifecycle import drain_on_signal, unless_draining
from omegaprm.engine.records import Candidates, Problem, Verdict

MAX_ROWS_AT_ONCE = 64
"""Rows judged at once; most of their answers wait for the same few comparisons."""


class JudgeConfig(JudgeFlags, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Judge the final answers of any candidates file; a row without "answers" is judged by its last steps.

    OUT.report.json gets counts by rule, the unknowns, the malformed rows and the disagreements with earlier labels.
    """

    candidates: str
    """File in the rollouts format: JSON list of {"id", "question", "correct_answer", "solutions_splits"}."""
    out: str
    """File to write the rows to, with "labels" (1 correct, 0 otherwise) and "answers"; may be the same."""
    compare: bool = False
    """Also print how far the verdicts agree with the labels that were there, and where they do not."""


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
    """The body of bin/judge. BadInput: no usable row; StoreFailed: out fails; JudgeUnreachable; Drained."""
    rows, malformed = read_rows(Path(config.candidates))
    if not rows:
        reasons = "".join(f"\n  row {row.index}: {row.reason}" for row in malformed[:10])
        raise BadInput(f"--candidates {config.candidates}: no usable row among {len(malformed)}{reasons}")
    require_writable(Path(config.out), "--out")
    graded = asyncio.run(_grade_with_cascade(rows, config))
    grading = Grading(tuple(graded), tuple(malformed))
    from omegaprm.engine.judge import grading_report

    write_rows(Path(config.out), grading)
    write_json(Path(f"{config.out}.report.json"), grading_report.report(grading))
    shutil.rmtree(_verdicts_folder(config), ignore_errors=True)
    grading_report.print_report(grading, config.compare)


def read_rows(path: Path) -> tuple[list[tuple[dict[str, Any], Candidates]], list[MalformedRow]]:
    """Usable rows, as written and as read, and the malformed ones. BadInput where there is no JSON list."""
    try:
        table = foreign.decode(path.read_bytes())
    except OSError as error:
        raise BadInput(f"--candidates {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        hint = "; rows stand in one JSON list, not one a line" if "Extra data" in str(error) else ""
        raise BadInput(f"--candidates {path}: not JSON: {error}{hint}") from error
    if not isinstance(table, list):
        raise BadInput(f"--candidates {path}: must be a JSON list of rows, is {type(table).__name__}")
    usable, malformed = [], []
    for index, row in enumerate(table):
        try:
            usable.append((row, candidates_of(row)))
        except ValueError as error:
            malformed.append(MalformedRow(index, str(error)))
    return usable, malformed


def candidates_of(row: Any) -> Candidates:
    """A row of the rollouts format, answers filled in from the last steps. ValueError names field, rule."""
    if not isinstance(row, dict):
        raise ValueError(f"must be an object, is {type(row).__name__}")
    plain = _plain(row)
    try:
        candidates = msgspec.convert(plain, Candidates)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace(f"`{foreign.Written.__name__}`", "`float`")) from error
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


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """The fields as ours: null or an empty list is none, numbers are text, labels are integers. ValueError."""
    plain = {name: value for name, value in row.items() if value not in (None, []) or name == "image_path"}
    for name in ("id", "correct_answer"):
        if isinstance(plain.get(name), str | int | float):
            plain[name] = _text(name, plain[name])
    if isinstance(plain.get("answers"), list):
        plain["answers"] = ["" if answer is None else _text("answers", answer) for answer in plain["answers"]]
    if isinstance(plain.get("labels"), list):
        plain["labels"] = [int(label) if label in (0, 1) else label for label in plain["labels"]]
    images = plain.get("image_path")
    for image in images if isinstance(images, list) else (images,):
        if isinstance(image, str):
            _text("image_path", image)
    steps = plain.get("solutions_splits")
    for text in (plain.get("question"), *(step for split in steps or () if isinstance(split, list) for step in split)):
        if isinstance(text, str):
            _text("question and solutions_splits", text)
    return plain


def _text(name: str, value: object) -> str:
    text = foreign.text_of(value)
    if text is None:
        raise ValueError(f"{name}: must be text in Unicode or a finite number")
    return text


def _verdicts_folder(config: JudgeConfig) -> Path:
    """Where a model's verdicts stand until the output is whole."""
    return Path(f"{config.out}.verdicts")


async def _grade_with_cascade(rows: list[tuple[dict[str, Any], Candidates]], config: JudgeConfig) -> list[JudgedRow]:
    from omegaprm.engine.judge.opening import start_cascade
    from omegaprm.engine.store import Store
    from omegaprm.engine.verdicts import StoredVerdicts

    draining = asyncio.Event()
    with ExitStack() as stack:
        stack.enter_context(drain_on_signal(draining))
        cache = None
        if judge_identity(config):
            cache = StoredVerdicts(stack.enter_context(Store.open(_verdicts_folder(config))))
        judge = await unless_draining(draining, start_cascade(config, cache))
        try:
            return await grade_rows(rows, judge, draining)
        finally:
            await judge.close()


async def grade_rows(
    rows: list[tuple[dict[str, Any], Candidates]], judge: Judge, draining: asyncio.Event | None = None
) -> list[JudgedRow]:
    """The rows with a verdict an answer, in their order. Drained once draining is set: verdicts so far are kept."""
    work = asyncio.create_task(_grade_batches(rows, judge))
    drain = asyncio.create_task((draining or asyncio.Event()).wait())
    try:
        await asyncio.wait((work, drain), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise Drained("stopped on a signal; a model's verdicts so far are kept: run the same command again")
    finally:
        for task in (work, drain):
            task.cancel()
        await asyncio.gather(work, drain, return_exceptions=True)


async def _grade_batches(rows: list[tuple[dict[str, Any], Candidates]], judge: Judge) -> list[JudgedRow]:
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
    """Replace path by the judged rows, in one step. Other fields of a row stay as they were.

    A reference that was a number is written as the text it was judged by: 8.50 is another reference than 8.5.
    """
    write_json(path, [{**one.row, **_filled_in(one)} for one in grading.rows])


def _filled_in(row: JudgedRow) -> dict[str, Any]:
    return {
        "correct_answer": row.candidates.correct_answer,
        "labels": list(row.labels),
        "answers": list(row.answers),
    }


def write_json(path: Path, value: Any) -> None:
    """Replace path by a value as JSON, in one step. StoreFailed."""
    write_whole(path, f"{json.dumps(value, indent=1)}\n".encode())
