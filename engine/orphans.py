"""What a killed daemon left running is found by its store's next daemon and ended, and nothing else is.

A daemon marks its environment, which all that it starts inherits, with a word that it also leaves beside its
store. Whoever holds the store's lock knows that the daemon before is gone: any process with that word is its.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from omegaprm.engine.files import write_whole

MARK = "OMEGAPRM_RUN"
MARK_FILE = "run.mark"
END_SECONDS = 10.0
"""Time that killed processes get to be gone."""


def end_orphans(folder: Path) -> list[int]:
    """Kill what the last daemon of this store left behind and mark what this one will start; the ids killed.

    Call it with the store's writer lock held. StoreFailed where the mark cannot be written.
    """
    path = folder / MARK_FILE
    killed = _kill(path.read_text(errors="replace")) if path.exists() else []
    mark = secrets.token_hex(16)
    write_whole(path, mark.encode())
    os.environ[MARK] = mark
    return killed


def _kill(mark: str) -> list[int]:
    import psutil  # type: ignore[import-untyped]

    orphans = [process for process in psutil.process_iter() if mark and _has(process, mark)]
    for process in orphans:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(orphans, END_SECONDS)
    return [process.pid for process in orphans]


def _has(process: Any, mark: str) -> bool:
    import psutil

    try:
        return bool(process.pid != os.getpid() and process.environ().get(MARK) == mark)
    except (psutil.Error, OSError):
        return False  # Gone meanwhile, or another user's, whose environment is not ours to read.
