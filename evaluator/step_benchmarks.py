"""Files of ProcessBench, VisualProcessBench and PRMBench, as published, become solutions with labelled steps.

An entry that breaks a rule is skipped and named; a file in which nothing is usable is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine import foreign
from omegaprm.engine.errors import BadInput
from omegaprm.evaluator.candidates import Broken, Rejected, image_names, require, resolve_images

StepLabel = int | None
"""1: right, 0: wrong, None: neither is said."""


class LabelledSolution(msgspec.Struct, frozen=True, kw_only=True):
    """One solution of a benchmark; subset is what its figures are broken down by."""

    subset: str
    question: str
    steps: tuple[str, ...]
    labels: tuple[StepLabel, ...]
    images: tuple[str, ...] = ()

    @property
    def first_error(self) -> int:
        """Index of the first wrong step, -1 where there is none."""
        return self.labels.index(0) if 0 in self.labels else -1


class Samples(msgspec.Struct, frozen=True):
    """The usable solutions of one benchmark's files, in their order."""

    solutions: tuple[LabelledSolution, ...]
    rejected: tuple[Rejected, ...] = ()


ReadRow = Callable[[dict[str, Any], str, Path], LabelledSolution]
"""(row, name of its file without the ending, image root) -> solution; raises Broken."""


def processbench(row: dict[str, Any], name: str, root: Path) -> LabelledSolution:
    """{"problem", "steps", "label"}: label is the index of the first wrong step, -1 for none (arXiv 2412.06559).

    A file is a subset. Nothing is said of the steps behind the first error.
    """
    steps = _steps(row.get("steps"), "steps")
    label = row.get("label")
    require(type(label) is int and -1 <= label < len(steps), "label", "must be -1 or the index of a step")
    assert isinstance(label, int)
    right = len(steps) if label < 0 else label
    labels = [1] * right + [0] * (right < len(steps)) + [None] * (len(steps) - right - 1)
    return LabelledSolution(subset=name, question=_text(row, "problem"), steps=steps, labels=tuple(labels))


def visualprocessbench(row: dict[str, Any], name: str, root: Path) -> LabelledSolution:
    """{"image", "question", "response": {"steps", "process_correctness"}, "data_source"} (arXiv 2503.10291).

    Correctness is 1, -1, or 0 for a neutral step, which is left out of the figures.
    """
    response = row.get("response")
    if isinstance(response, str):
        response = _object(response)
    require(isinstance(response, dict), "response", 'must hold "steps" and "process_correctness"')
    assert isinstance(response, dict)
    steps = _steps(response.get("steps"), "response.steps")
    marks = response.get("process_correctness")
    good = isinstance(marks, list) and len(marks) == len(steps) and all(mark in (-1, 0, 1) for mark in marks)
    require(good, "response.process_correctness", "must be 1, 0 or -1 for each step")
    assert isinstance(marks, list)
    images = image_names(row.get("image"), "image")
    return LabelledSolution(
        subset=str(row.get("data_source") or name),
        question=_text(row, "question"),
        steps=steps,
        labels=tuple({1: 1, 0: None, -1: 0}[mark] for mark in marks),
        images=resolve_images(images, root, field="image"),
    )


def prmbench(row: dict[str, Any], name: str, root: Path) -> LabelledSolution:
    """{"modified_question", "modified_process", "error_steps", "classification"} (arXiv 2501.03124).

    Steps that hold an error are counted from 1.
    """
    steps = _steps(row.get("modified_process"), "modified_process")
    errors = row.get("error_steps")
    good = isinstance(errors, list) and all(type(at) is int and 1 <= at <= len(steps) for at in errors)
    require(good, "error_steps", "must be numbers of steps, from 1 on")
    assert isinstance(errors, list)
    return LabelledSolution(
        subset=str(row.get("classification") or name),
        question=_text(row, "modified_question"),
        steps=steps,
        labels=tuple(int(at not in errors) for at in range(1, len(steps) + 1)),
    )


READERS: dict[str, ReadRow] = {
    "processbench": processbench,
    "visualprocessbench": visualprocessbench,
    "prmbench": prmbench,
}


def read(benchmark: str, files: Sequence[str], image_root: str | None = None) -> Samples:
    """Files of one benchmark, JSON lists or JSONL. BadInput where one cannot be read or holds nothing usable."""
    solutions: list[LabelledSolution] = []
    rejected: list[Rejected] = []
    for file in map(Path, files):
        root = Path(image_root) if image_root is not None else file.parent
        before, bad_before = len(solutions), len(rejected)
        for index, row in enumerate(_rows(benchmark, file)):
            try:
                require(isinstance(row, dict), "entry", "must be a JSON object")
                solutions.append(READERS[benchmark](row, file.stem, root))
            except Broken as broken:
                rejected.append(Rejected(str(file), index, *broken.args))
        if len(solutions) == before:
            first = f"; the first bad one: {rejected[bad_before]}" if rejected[bad_before:] else ""
            raise BadInput(f"--{benchmark} {file}: no usable entry{first}")
    return Samples(tuple(solutions), tuple(rejected))


def _rows(benchmark: str, file: Path) -> list[Any]:
    try:
        content = file.read_bytes().removeprefix(foreign.BOM)
        if content.lstrip()[:1] == b"[":
            return list(foreign.decode(content))
        return [foreign.decode(line) for line in content.splitlines() if line.strip()]
    except OSError as error:
        raise BadInput(f"--{benchmark} {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"--{benchmark} {file}: neither a JSON list nor JSONL: {error}") from error


def _object(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _text(row: dict[str, Any], field: str) -> str:
    value = row.get(field)
    require(isinstance(value, str) and bool(value.strip()), field, "must be a text")
    require(foreign.is_unicode(str(value)), field, "must be Unicode")
    return str(value).strip()


def _steps(value: Any, field: str) -> tuple[str, ...]:
    good = isinstance(value, list) and bool(value) and all(isinstance(step, str) for step in value)
    require(good, field, "must be a list of at least one step, each a text")
    require(all(map(foreign.is_unicode, value)), field, "every step must be Unicode")
    return tuple(value)
