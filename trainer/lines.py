"""Where every row of a file stands: the lines of JSONL, or the items of a JSON list, each over several lines or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from omegaprm.engine.foreign import BOM

LIST_BEGINS_WITHIN = 1 << 16
"""Bytes of white space before the "[" of a list at the most."""
SPACE = " \t\r\n"
CUT_OFF = b"the file ends within its list"


class Line(NamedTuple):
    """A row as bytes, the line of the file it begins on, counted from 1, and its place in the file."""

    number: int
    offset: int
    content: bytes


def lines(path: Path) -> Iterator[Line]:
    """All rows, blank lines too. Of a damaged list the last one is the rest, which is no JSON. OSError."""
    if is_list(path):
        yield from _items(path.read_bytes())
        return
    with path.open("rb") as file:
        offset = len(BOM) if file.read(len(BOM)) == BOM else 0
        file.seek(offset)
        for number, content in enumerate(file, 1):
            yield Line(number, offset, content)
            offset += len(content)


def is_list(path: Path) -> bool:
    """Whether a file is a JSON list; one whose name ends in .jsonl never is. OSError."""
    if path.suffix == ".jsonl":
        return False
    with path.open("rb") as file:
        return file.read(LIST_BEGINS_WITHIN).removeprefix(BOM).lstrip()[:1] == b"["


def _items(content: bytes) -> Iterator[Line]:
    text = content.decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder(strict=False)
    number, offset, counted = 1, 0, 0
    at, mark = _skip(text, text.index("[") + 1), ","
    if text.startswith("]", at):
        return
    while mark == ",":
        number += text.count("\n", counted, at)
        offset += len(_bytes(text[counted:at]))
        counted = at
        try:
            _, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            yield Line(number, offset, _bytes(text[at:]) or CUT_OFF)
            return
        yield Line(number, offset, _bytes(text[at:end]))
        after = _skip(text, end)
        mark, at = text[after : after + 1], _skip(text, after + 1)
    if mark != "]":
        number += text.count("\n", counted, end)
        yield Line(number, offset + len(_bytes(text[counted:end])), CUT_OFF)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _skip(text: str, at: int) -> int:
    """The first place from here on that is no white space."""
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at
