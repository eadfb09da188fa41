"""Every candidates file is read whole or refused with its reason; a bad entry never stops the good ones.

The format is MM-PRM's rollouts: a JSON list of omegaprm.engine.records.Candidates. "answers" may be missing, the last
step of each solution is its answer then. "step_labels" may be there, one 0 or 1 a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine import foreign
from omegaprm.engine.errors import BadInput
from omegaprm.engine.image_paths import ROOT_FLAG, ImageError, resolve
from omegaprm.engine.records import Candidates

StepLabels = tuple[tuple[int, ...], ...]


class Rejected(msgspec.Struct, frozen=True):
    """An entry that was skipped: where it stood, which field, and the rule it broke."""

    file: str
    index: int
    field: str
    rule: str

    def __str__(self) -> str:
        return f"{self.file}[{self.index}]: {self.field}: {self.rule}"


class Loaded(msgspec.Struct, frozen=True):
    """The usable entries of some files. images[i] and step_labels[i] belong to candidates[i].

    images hold absolute paths; step_labels[i] is None where the file gave none.
    """

    candidates: tuple[Candidates, ...]
    images: tuple[tuple[str, ...], ...]
    step_labels: tuple[StepLabels | None, ...]
    rejected: tuple[Rejected, ...] = ()


class _Entry(msgspec.Struct, frozen=True):
    candidates: Candidates
    images: tuple[str, ...]
    step_labels: StepLabels | None


class Broken(Exception):
    """An entry breaks a rule: (field, rule)."""


def load(
    files: Sequence[str],
    image_root: str | None = None,
    prepare: Callable[[list[Any]], list[Any]] = list,
    flag: str = "--candidates",
    root_flag: str = ROOT_FLAG,
) -> Loaded:
    """Read candidates files in order; BadInput where a file cannot be read or no entry at all is usable.

    A problem (id and question) that was given before is skipped, so that no problem is counted twice.
    prepare makes the rows of a file ours, one for one, where they have other field names. flag is what errors
    call the files.
    """
    entries: list[_Entry] = []
    rejected: list[Rejected] = []
    seen: set[tuple[str, str]] = set()
    for file in files:
        root = Path(image_root) if image_root is not None else Path(file).parent
        for index, row in enumerate(prepare(_rows(Path(file), flag))):
            try:
                entry = _entry(row, root, root_flag)
                key = entry.candidates.id, entry.candidates.question
                require(key not in seen, "id", f"{key[0]!r} with this question was given before")
            except Broken as broken:
                rejected.append(Rejected(file, index, *broken.args))
                continue
            seen.add(key)
            entries.append(entry)
    if not entries:
        first = f"; the first of {len(rejected)} bad ones: {rejected[0]}" if rejected else ""
        raise BadInput(f"{flag} {' '.join(files)}: no usable entry{first}")
    return Loaded(
        tuple(entry.candidates for entry in entries),
        tuple(entry.images for entry in entries),
        tuple(entry.step_labels for entry in entries),
        tuple(rejected),
    )


def _rows(file: Path, flag: str) -> list[Any]:
    try:
        content = file.read_bytes()
        if not content.strip():
            raise BadInput(f"{flag} {file}: is empty")
        rows = foreign.decode(content)
    except OSError as error:
        raise BadInput(f"{flag} {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{flag} {file}: not JSON: {error}; must be one JSON list, not JSONL") from error
    if not isinstance(rows, list):
        raise BadInput(f"{flag} {file}: must be a JSON list, one entry a problem")
    return rows


def _entry(row: Any, root: Path, root_flag: str) -> _Entry:
    require(isinstance(row, dict), "entry", "must be a JSON object")
    solutions = _solutions(row)
    candidates = Candidates(
        id=_text(row, "id"),
        question=_text(row, "question"),
        correct_answer=_text(row, "correct_answer"),
        image_path=image_names(row.get("image_path")) or None,
        solutions_splits=solutions,
        labels=_labels(row, len(solutions)),
        answers=_answers(row, solutions),
    )
    images = resolve_images(candidates.image_path or (), root, root_flag)
    return _Entry(candidates, images, _step_labels(row, solutions))


def require(holds: bool, field: str, rule: str) -> None:
    """Broken unless the rule holds for the field."""
    if not holds:
        raise Broken(field, rule)


def _text(row: dict[str, Any], field: str) -> str:
    """A field as text; numbers are accepted, since answers often are numbers."""
    text = foreign.text_of(row.get(field))
    require(text is not None, field, "must be there, text in Unicode or a finite number")
    assert text is not None
    require(bool(text.strip()), field, "must not be empty")
    return text.strip()


def _solutions(row: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    field = "solutions_splits"
    solutions = row.get(field)
    require(isinstance(solutions, list) and bool(solutions), field, "must be a list of at least one solution")
    assert isinstance(solutions, list)
    for steps in solutions:
        good = isinstance(steps, list) and all(isinstance(step, str) for step in steps)
        require(good, field, "every solution must be a list of steps, each a text")
        require(all(map(foreign.is_unicode, steps)), field, "every step must be Unicode")
    return tuple(tuple(steps) for steps in solutions)


def _labels(row: dict[str, Any], num: int) -> tuple[int, ...]:
    labels = row.get("labels")
    require(
        isinstance(labels, list), "labels", "must be there, 1 for a right solution and 0 for a wrong one (bin/judge)"
    )
    assert isinstance(labels, list)
    require(len(labels) == num, "labels", f"must be as many as the {num} solutions, found {len(labels)}")
    return _zeros_and_ones(labels, "labels")


def _zeros_and_ones(values: list[Any], field: str) -> tuple[int, ...]:
    good = all(isinstance(value, (int, float)) and value in (0, 1) for value in values)
    require(good, field, "each must be 0 or 1")
    return tuple(int(value) for value in values)


def _answers(row: dict[str, Any], solutions: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    answers = row.get("answers")
    if not answers:
        return tuple(steps[-1] if steps else "" for steps in solutions)
    good = isinstance(answers, list) and len(answers) == len(solutions)
    require(good, "answers", f"must be a list as long as the {len(solutions)} solutions")
    texts = tuple("" if answer is None else foreign.text_of(answer) for answer in answers)
    require(None not in texts, "answers", "each must be a text in Unicode")
    return tuple(text for text in texts if text is not None)


def _step_labels(row: dict[str, Any], solutions: tuple[tuple[str, ...], ...]) -> StepLabels | None:
    field, labels = "step_labels", row.get("step_labels")
    if labels is None:
        return None
    require(isinstance(labels, list) and len(labels) == len(solutions), field, "must be one list a solution")
    for of_steps, steps in zip(labels, solutions, strict=True):
        good = isinstance(of_steps, list) and len(of_steps) == len(steps)
        require(good, field, "must be one label a step")
    return tuple(_zeros_and_ones(of_steps, field) for of_steps in labels)


def image_names(value: Any, field: str = "image_path") -> tuple[str, ...]:
    """The image paths of a field, none where it is absent or empty."""
    if value is None or value == "":
        return ()
    names = value if isinstance(value, list) else [value]
    require(all(isinstance(name, str) and name for name in names), field, "must be a path or a list of them")
    return tuple(names)


def resolve_images(
    names: Sequence[str], root: Path, flag: str = ROOT_FLAG, field: str = "image_path"
) -> tuple[str, ...]:
    """Absolute paths of images that lie in root, links followed; Broken for one outside it. flag: what sets root."""
    try:
        return tuple(str(resolve(root, name, flag)) for name in names)
    except ImageError as error:
        raise Broken(field, str(error)) from error
