"""Puts a command into the project's own environment, made by bin/setup, whichever python3 started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"

PR_SET_PDEATHSIG = 1
PARENT = "OMEGAPRM_PARENT"
"""Environment variable with the id of the process whose end ends those that it starts."""


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is gone, however it went; Linux only.

    A process that multiprocessing spawns for a command, such as vLLM's engine core, runs the command's file
    once more under the name "__mp_main__", and calls this there: it would outlive a killed daemon otherwise.
    A parent that was gone before the kernel was told is noticed by its id.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.environ.get(PARENT, str(os.getppid())) != str(os.getppid()):
        os._exit(1)
    os.environ[PARENT] = str(os.getpid())


DRAINED = 75
"""The exit code of a command that a signal stopped with everything saved (omegaprm.engine.errors.Drained)."""


def leave_on_early_signals() -> None:
    """Until a command that drains on signals takes them itself, end on one with 75: it has not begun anything."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda *_: os._exit(DRAINED))


def into_environment(drains: bool = False) -> None:
    """Re-execute under .venv where it is there and not yet in use, and make the packages importable.

    drains: the command drains on signals once it runs; see leave_on_early_signals.
    """
    if drains:
        leave_on_early_signals()
    os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(ROOT / ".venv" / "torch_extensions"))
    if PYTHON.exists() and Path(sys.prefix).resolve() != PYTHON.parent.parent.resolve():
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
    os.environ[PARENT] = str(os.getpid())
    sys.path.insert(0, str(ROOT))
    try:
        import msgspec  # noqa: F401
    except ImportError:
        print("error: the environment is not set up: run bin/setup first", file=sys.stderr)
        raise SystemExit(78) from None
