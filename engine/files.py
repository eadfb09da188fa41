"""Output files that a reader finds whole: the old one or the new one, never half of either."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from omegaprm.engine.errors import StoreFailed


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file in one go, on disk on return: readers see the old or the new one. StoreFailed."""
    draft = path.with_name(path.name + ".new")
    try:
        _refuse_special(path)
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreFailed(f"{path}: {error.strerror or error}") from error


def require_writable(path: Path, flag: str) -> None:
    """StoreFailed where write_whole could not put a file: told before the hours of work that it is to hold."""
    try:
        _refuse_special(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise StoreFailed(f"{flag} {path}: {error.strerror or error}") from error


def _refuse_special(path: Path) -> None:
    """A folder cannot be replaced by a file; a device such as /dev/null can, and is then gone for every process."""
    if path.exists() and not path.is_file():
        raise OSError("is there and is no regular file")


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
