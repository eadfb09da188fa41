"""One writing process a store: the lock lives and dies with the process that took it."""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from pathlib import Path

from omegaprm.engine.errors import StoreFailed, StoreHeld

LOCK_FILE = "writer.lock"
"""Holds the writer's process id, for people; what counts is the kernel's flock."""


TRIES, PAUSE_SECONDS = 5, 0.01
"""A reader that asks whether the store is written has the lock for an instant."""


def is_written(folder: Path) -> bool:
    """Whether a process holds the store to write; False where nobody ever did."""
    try:
        file = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _take(file: int) -> None:
    """The exclusive lock; BlockingIOError where another process keeps it."""
    for _ in range(TRIES):
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE_SECONDS)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class WriterLock:
    """An exclusive flock on a file in the store's folder. StoreHeld where another process has it."""

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_FILE
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreFailed(f"the store {folder} cannot be locked: {path}: {error.strerror}") from error
        try:
            _take(self._file)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StoreHeld(f"the store {folder} is held by another process (id {holder})") from None
        except OSError as error:
            os.close(self._file)
            raise StoreFailed(f"the store {folder} cannot be locked: {error.strerror}") from error
        _held.add(self)
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, b"%d\n" % os.getpid(), 0)
        except OSError as error:
            self.release()
            raise StoreFailed(f"the store {folder} cannot be locked: {path}: {error.strerror}") from error

    def release(self) -> None:
        """Let the store go, whoever may have inherited the file."""
        if self in _held:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self.forget()

    def forget(self) -> None:
        """Close the file without letting the store go."""
        _held.discard(self)
        os.close(self._file)


_held: weakref.WeakSet[WriterLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked child shares the flock and would hold the store for as long as it outlives its parent."""
    for lock in list(_held):
        lock.forget()


os.register_at_fork(after_in_child=_forget_in_child)
