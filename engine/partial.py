"""A file of finished work, a line each: what append() acknowledged is on disk for the same run to go on from.

The first line holds the settings of the run; a file with rows made under others is refused. A last line torn by a
crash is cut off. One process at a time, by flock.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from io import FileIO
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from omegaprm.engine.errors import ConfigurationError, StoreFailed, StoreHeld
from omegaprm.engine.files import sync_folder

Row = TypeVar("Row", bound=msgspec.Struct)
Settings = dict[str, str]


class Partial(Generic[Row]):
    """Rows finished so far, in the order they were appended."""

    def __init__(self, path: Path, file: FileIO, rows: list[Row]) -> None:
        self.path = path
        self.rows = rows
        self._file = file
        self._lock = asyncio.Lock()

    @classmethod
    def open(cls, path: Path, settings: Settings, kind: type[Row]) -> Partial[Row]:
        """Make the file or take it up. StoreHeld, StoreFailed; ConfigurationError for rows under other settings."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = FileIO(path, "a+")
        except OSError as error:
            raise StoreFailed(f"{path}: {error.strerror}") from error
        try:
            _hold(path, file)
            lines = _whole_lines(file)
            if len(lines) < 2 and (not lines or _settings(path, lines[0]) != settings):
                file.truncate(0)
                _append(path, file, msgspec.json.encode({"settings": settings}))
                return cls(path, file, [])
            require_same(path, _settings(path, lines[0]), settings)
            return cls(path, file, [_row(path, at, line, kind) for at, line in enumerate(lines[1:], 2)])
        except BaseException:
            file.close()
            raise

    async def append(self, row: Row) -> None:
        """Add a row; returns when it is on disk. StoreFailed."""
        async with self._lock:
            await asyncio.to_thread(_append, self.path, self._file, msgspec.json.encode(row))
        self.rows.append(row)

    def close(self) -> None:
        self._file.close()

    def remove(self) -> None:
        """Delete the file once its rows stand elsewhere."""
        self.path.unlink(missing_ok=True)
        self.close()


def settings_of_work(path: Path) -> Settings:
    """The settings of a file that holds rows; none where it holds no row, since only rows bind to settings."""
    with path.open("rb") as file:
        first, second = file.readline(), file.readline()
    return _settings(path, first) if second.endswith(b"\n") else {}


def require_same(path: Path, found: Settings, wanted: Settings) -> None:
    """ConfigurationError that names every setting in which the two differ."""
    names = sorted(name for name in found | wanted if found.get(name) != wanted.get(name))
    if names:
        differing = "; ".join(f"{name} was {found.get(name)}, now {wanted.get(name)}" for name in names)
        raise ConfigurationError(f"{path}: made under other settings: {differing}")


def _hold(path: Path, file: FileIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StoreHeld(f"{path}: another process is writing it") from error


def _whole_lines(file: FileIO) -> list[bytes]:
    file.seek(0)
    content = file.read()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        file.truncate(end)
    return content[:end].splitlines()


def _append(path: Path, file: FileIO, line: bytes) -> None:
    """Write a line and sync; a failure takes back what was written, so that no half line is left."""
    end = os.fstat(file.fileno()).st_size
    try:
        rest = memoryview(line + b"\n")
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError as error:
        os.ftruncate(file.fileno(), end)
        raise StoreFailed(f"{path}: {error.strerror}") from error
    if end == 0:
        sync_folder(path.parent)


def _settings(path: Path, line: bytes) -> Settings:
    try:
        return msgspec.json.decode(line, type=dict[str, Settings])["settings"]
    except (msgspec.DecodeError, KeyError) as error:
        raise ConfigurationError(f"{path}:1: must hold the settings of a run") from error


def _row(path: Path, number: int, line: bytes, kind: type[Row]) -> Row:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise StoreFailed(f"{path}:{number}: damaged: {error}") from error
