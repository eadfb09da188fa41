"""Every training row is checked before a model loads; a bad one is counted with its reason, never repaired.

Rows are MM-PRM's JSONL. A file of rows stands for itself, its images relative to its own folder; an InternVL
meta file {name: {"root", "annotation", "data_augment", "repeat_time", "length"}} names several, with paths
relative to the meta file's folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import BadInput
from engine.records import PRM_TOKEN, TrainingRow, parse_process_text

MAX_REASONS_KEPT = 5
IMAGE_PLACEHOLDER = "<image>\n"
"""What InternVL's own rows begin with, once an image; the chat template decides here."""


class Source(msgspec.Struct, frozen=True):
    """One file of rows: the folder its images lie in and how often a training takes it up."""

    annotation: Path
    root: Path
    repeat_time: float = 1


class Rows(msgspec.Struct, frozen=True):
    """Usable rows, their images as absolute paths; how many were bad and why the first few were.

    digest is a SHA-256 of all that was read, images not included.
    """

    rows: list[TrainingRow]
    num_bad: int
    reasons: list[str]
    digest: str


class _Broken(Exception):
    """A row breaks a rule: (field, rule)."""


def read(files: Sequence[str]) -> Rows:
    """Read and check rows from JSONL or meta files, in order. BadInput where no row is usable."""
    rows: list[TrainingRow] = []
    reasons: list[str] = []
    num_bad = 0
    digest = hashlib.sha256()
    for source in (source for file in files for source in _sources(Path(file))):
        content = _content(source.annotation)
        digest.update(b"%d %a\n" % (len(content), source.repeat_time))
        digest.update(content)
        found: list[TrainingRow] = []
        for number, line in enumerate(content.splitlines(), 1):
            if not line.strip():
                continue
            try:
                found.append(_row(line, source.root))
            except _Broken as broken:
                num_bad += 1
                field, rule = broken.args
                if len(reasons) < MAX_REASONS_KEPT:
                    reasons.append(f"{source.annotation}:{number}: {field}: {rule}")
        rows += _repeated(found, source.repeat_time)
    if not rows:
        raise BadInput("\n".join([f"--rows {' '.join(files)}: no usable row, {num_bad} bad", *reasons]))
    return Rows(rows, num_bad, reasons, digest.hexdigest())


def _sources(file: Path) -> Iterator[Source]:
    meta = _meta(file)
    if meta is None:
        yield Source(file, file.parent)
        return
    for name, entry in meta.items():
        where = f"{file}: {name}"
        if entry.get("data_augment"):
            raise BadInput(f"{where}.data_augment: must be false, images are taken as they are")
        repeat = entry.get("repeat_time", 1)
        if isinstance(repeat, bool) or not isinstance(repeat, int | float) or repeat <= 0:
            raise BadInput(f"{where}.repeat_time: {repeat!r} must be a number above 0")
        if not isinstance(entry["annotation"], str) or not isinstance(entry.get("root") or "", str):
            raise BadInput(f"{where}: annotation and root must be paths")
        yield Source(file.parent / entry["annotation"], file.parent / (entry.get("root") or ""), repeat)


def _meta(file: Path) -> dict[str, dict[str, Any]] | None:
    """The entries of a meta file; None where the file is anything else, rows then."""
    if file.suffix == ".jsonl":
        return None
    try:
        content = msgspec.json.decode(_content(file))
    except msgspec.DecodeError:
        return None
    if not isinstance(content, dict) or not content:
        return None
    is_meta = all(isinstance(entry, dict) and "annotation" in entry for entry in content.values())
    return content if is_meta else None


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"--rows {file}: {error.strerror}") from error


def _repeated(rows: list[TrainingRow], repeat: float) -> list[TrainingRow]:
    """InternVL's meaning of repeat_time: below 1 the first share of the rows, else whole repetitions."""
    return rows[: int(len(rows) * repeat)] if repeat < 1 else rows * int(repeat)


def _row(line: bytes, root: Path) -> TrainingRow:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Broken("line", f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise _Broken("line", "must be a JSON object")
    human, labels = _turns(row.get("conversations"))
    while human.startswith(IMAGE_PLACEHOLDER):
        human = human.removeprefix(IMAGE_PLACEHOLDER)
    try:
        question, steps = parse_process_text(human)
    except ValueError as error:
        raise _Broken("conversations[0].value", str(error)) from error
    if len(labels) != len(steps):
        rule = f"{len(labels)} labels for {len(steps)} {PRM_TOKEN}: there must be one label a step"
        raise _Broken("conversations[1].value", rule)
    images = _images(row.get("image"), root)
    return TrainingRow(id=str(row.get("id", "")), question=question, steps=steps, labels=_labels(labels), images=images)


def _turns(turns: Any) -> tuple[str, list[Any]]:
    if not isinstance(turns, list) or len(turns) != 2 or not all(isinstance(turn, dict) for turn in turns):
        raise _Broken("conversations", "must be a list of two turns, human and gpt")
    if [turn.get("from") for turn in turns] != ["human", "gpt"]:
        raise _Broken("conversations", "the turns must be from human and from gpt")
    human, labels = (turn.get("value") for turn in turns)
    if not isinstance(human, str):
        raise _Broken("conversations[0].value", "must be text")
    if not isinstance(labels, list):
        raise _Broken("conversations[1].value", "must be a list of labels")
    return human, labels


def _labels(labels: list[Any]) -> tuple[float | None, ...]:
    for at, label in enumerate(labels):
        is_number = isinstance(label, int | float) and not isinstance(label, bool)
        if label is not None and not (is_number and 0 <= label <= 1):
            raise _Broken(f"conversations[1].value[{at}]", f"{label!r} must be in [0, 1] or null")
    if all(label is None for label in labels):
        raise _Broken("conversations[1].value", "at least one label must not be null")
    return tuple(None if label is None else float(label) for label in labels)


def _images(value: Any, root: Path) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) and value else value or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _Broken("image", "must be a path, a list of paths, or null")
    folder = root.resolve()
    paths = [(folder / name).resolve() for name in names]
    for name, path in zip(names, paths, strict=True):
        if not path.is_relative_to(folder):
            raise _Broken("image", f"{name!r} must not leave {root}")
        if not path.is_file():
            raise _Broken("image", f"{name!r} must be a file under {root}")
    return tuple(map(str, paths))
