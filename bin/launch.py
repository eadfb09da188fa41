"""Puts a command into the project's own environment, made by bin/setup, whichever python3 started it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"


def into_environment() -> None:
    """Re-execute under .venv where it is there and not yet in use, and make the packages importable."""
    os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(ROOT / ".venv" / "torch_extensions"))
    if PYTHON.exists() and Path(sys.prefix).resolve() != PYTHON.parent.parent.resolve():
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
    sys.path.insert(0, str(ROOT))
    try:
        import msgspec  # noqa: F401
    except ImportError:
        print("error: the environment is not set up: run bin/setup first", file=sys.stderr)
        raise SystemExit(78) from None
