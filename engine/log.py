"""What a command tells on stderr: sentences for people, or one JSON object a line for machines."""

from __future__ import annotations

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
    """Tell a message; JSON has the event's name, the Unix time and the fields beside it."""
    if not in_json():
        print(message, file=sys.stderr, flush=True)
        return
    row = {"time": time.time(), "event": event, "message": message, **fields}
    print(msgspec.json.encode(row).decode(), file=sys.stderr, flush=True)
