"""JSON that others wrote, read so that one bad value costs the row it stands in and not the whole file.

A byte order mark is left off. NaN, Infinity and half characters, which JSON does not have, are read as Python writes
them; who takes a field asks `text_of` for its text.
"""

from __future__ import annotations

import json
import math
from typing import Any

BOM = b"\xef\xbb\xbf"
MAX_DIGITS = 4000
"""A longer integer stays text: Python does not read it."""


class Written(float):
    """A number with its text: 8.50 is "8.50"."""

    text: str

    def __new__(cls, text: str) -> Written:
        number = super().__new__(cls, text)
        number.text = text
        return number


def decode(content: bytes) -> Any:
    """The value of a JSON file; ValueError or RecursionError where it is none."""
    text = content.removeprefix(BOM).decode("utf-8", "surrogateescape")
    return json.loads(text, parse_float=Written, parse_int=_integer, strict=False)


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text


def text_of(value: object) -> str | None:
    """A text or number as text; None where it is another kind, no finite number, or not Unicode."""
    if isinstance(value, str):
        return value if is_unicode(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value.text if isinstance(value, Written) else str(value)


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: half characters cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
