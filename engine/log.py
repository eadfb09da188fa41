"""What a command tells on stderr: sentences for people, or one JSON object a line for machines."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, Literal

import msgspec

LogFormat = Literal["text", "json"]

_format: LogFormat = "text"


def use(chosen: LogFormat) -> None:
    """From now on everything that is told takes this form."""
    global _format
    _format = chosen


def in_json() -> bool:
    return _format == "json"


def tell(event: str, message: str, **fields: Any) -> None:
    """Tell a message; JSON has the event's name, the Unix time and the fields beside it.

    Whoever tells goes on where nobody listens any more: a reader that left, a terminal that is gone.
    """
    row = {"time": time.time(), "event": event, "message": message, **fields}
    with contextlib.suppress(OSError):
        print(msgspec.json.encode(row).decode() if in_json() else message, file=sys.stderr, flush=True)
