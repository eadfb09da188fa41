"""Every training row is checked before a model loads; a bad one is counted with its reason, never repaired.

A file of rows, JSONL or a JSON list, stands for itself, its image root its own folder; an InternVL meta file {name:
{"root", "annotation", "data_augment", "repeat_time", "length"}} names several, with paths relative to the meta file's
folder. The layouts of a line are those of trainer/layouts.py. Rows stay on disk: what is kept is where they stand.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import msgspec

from omegaprm.engine.errors import BadInput
from omegaprm.engine.foreign import BOM
from omegaprm.engine.records import TrainingRow
from omegaprm.trainer.layouts import Broken, parse
from omegaprm.trainer.lines import is_list, lines
from omegaprm.trainer.targets import LossRule, has_weight

MAX_REASONS_KEPT = 5
PRM800K_KEYS = {"question", "label"}
"""Of a row whose values may all be objects, as those of a meta file are."""
NO_STEP_LEFT = "no step is left for the loss to be taken at"


class Source(msgspec.Struct, frozen=True):
    """One file of rows: the folder its images lie in and how often a training takes it up."""

    annotation: Path
    root: Path
    repeat_time: float = 1


class Place(NamedTuple):
    """Where a row stands: its line's place in the file, and which row of that line it is."""

    offset: int
    length: int
    variant: int


class RowSequence(Sequence[TrainingRow], ABC):
    """Rows by their place; what a row is made from is the subclass's."""

    @abstractmethod
    def row(self, at: int) -> TrainingRow:
        """The row at a place, from either end."""

    @overload
    def __getitem__(self, at: int) -> TrainingRow: ...
    @overload
    def __getitem__(self, at: slice) -> list[TrainingRow]: ...
    def __getitem__(self, at: int | slice) -> TrainingRow | list[TrainingRow]:
        if isinstance(at, slice):
            return [self.row(place) for place in range(len(self))[at]]
        return self.row(at)


class StoredRows(RowSequence):
    """Rows where they stand on disk, each read when it is asked for."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self._source = array("I")
        self._offset = array("Q")
        self._length = array("Q")
        self._variant = array("H")

    def __len__(self) -> int:
        return len(self._offset)

    def row(self, at: int) -> TrainingRow:
        source = self.sources[self._source[at]]
        with source.annotation.open("rb") as file:
            file.seek(self._offset[at])
            return parse(file.read(self._length[at]), source.root)[self._variant[at]]

    def add(self, source: Source, found: Sequence[Place]) -> None:
        """Rows of one more source, as often as it says."""
        taken = _repeated(found, source.repeat_time)
        self._source.extend([len(self.sources)] * len(taken))
        self._offset.extend(place.offset for place in taken)
        self._length.extend(place.length for place in taken)
        self._variant.extend(place.variant for place in taken)
        self.sources.append(source)


class Part(RowSequence):
    """Some of the rows, in an order of its own; places are theirs in the whole."""

    def __init__(self, rows: Sequence[TrainingRow], places: Sequence[int]) -> None:
        self.places = array("Q", places)
        self._rows = rows

    def __len__(self) -> int:
        return len(self.places)

    def row(self, at: int) -> TrainingRow:
        return self._rows[self.places[at]]


class Rows(msgspec.Struct, frozen=True):
    """Usable rows, their images as absolute paths; how many were bad and why the first few were.

    digest is a SHA-256 of all that was read, images not included.
    """

    rows: Sequence[TrainingRow]
    num_bad: int
    reasons: list[str]
    digest: str


def read(files: Sequence[str], rule: LossRule | None = None, image_root: str | None = None) -> Rows:
    """Check rows from JSONL, JSON lists or meta files, in order. BadInput where no row is usable.

    rule: a row in which it leaves no step for the loss is a bad one. image_root: of all rows, also those of a meta
    file.
    """
    reader = _Reader(rule or LossRule())
    for source in (source for file in files for source in _sources(Path(file))):
        reader.take(source if image_root is None else msgspec.structs.replace(source, root=Path(image_root)))
    if not len(reader.rows) and not reader.num_bad:
        raise BadInput(f"--rows {' '.join(files)}: no row in it, or none that repeat_time takes")
    if not len(reader.rows):
        raise BadInput("\n".join([f"--rows {' '.join(files)}: no usable row, {reader.num_bad} bad", *reader.reasons]))
    return Rows(reader.rows, reader.num_bad, reader.reasons, reader.digest.hexdigest())


class _Reader:
    """Goes once through every file, and remembers what it saw."""

    def __init__(self, rule: LossRule) -> None:
        self.rows = StoredRows()
        self.num_bad = 0
        self.reasons: list[str] = []
        self.digest = hashlib.sha256()
        self._rule = rule

    def take(self, source: Source) -> None:
        found: list[Place] = []
        try:
            self.digest.update(b"%d %a\n" % (source.annotation.stat().st_size, source.repeat_time))
            for number, offset, line in lines(source.annotation):
                self.digest.update(line)
                found += [Place(offset, len(line), variant) for variant in self._usable(line, source, number)]
        except OSError as error:
            raise BadInput(f"--rows {source.annotation}: {error.strerror}") from error
        self.rows.add(source, found)

    def _usable(self, line: bytes, source: Source, number: int) -> list[int]:
        """Which of the line's rows can be trained on."""
        if not line.strip():
            return []
        try:
            rows = parse(line, source.root)
            usable = [at for at, row in enumerate(rows) if has_weight(row, self._rule)]
            if not usable:
                raise Broken(*self._missing(rows))
            return usable
        except Broken as broken:
            field, why = broken.args
            self.num_bad += 1
            if len(self.reasons) < MAX_REASONS_KEPT:
                self.reasons.append(f"{source.annotation}:{number}: {field}: {why}")
            return []

    def _missing(self, rows: list[TrainingRow]) -> tuple[str, str]:
        """The field and rule that leave no step."""
        wants = [
            flag
            for flag, on in (
                ("--loss counts", self._rule.kind == "counts"),
                ("--mask-unestimated", self._rule.mask_unestimated),
            )
            if on
        ]
        if wants and not any(map(any, (row.counts for row in rows))):
            return "counts", f"{' and '.join(wants)} need [correct, judged] of at least one step"
        return "labels", NO_STEP_LEFT


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
        if is_list(file):
            return None
        content = msgspec.json.decode(file.read_bytes().removeprefix(BOM))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise BadInput(f"--rows {file}: {error.strerror}") from error
    if not isinstance(content, dict) or not content or not all(isinstance(it, dict) for it in content.values()):
        return None
    if content.keys() >= PRM800K_KEYS:
        return None
    names = [name for name, entry in content.items() if "annotation" not in entry]
    if names:
        raise BadInput(f"--rows {file}: {names[0]}.annotation: must name the rows of this data set, a JSONL file")
    return content


def _repeated(found: Sequence[Place], repeat: float) -> Sequence[Place]:
    """InternVL's meaning of repeat_time: below 1 the first share of the rows, else whole repetitions."""
    return found[: int(len(found) * repeat)] if repeat < 1 else list(found) * int(repeat)
