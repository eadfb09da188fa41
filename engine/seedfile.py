"""Rows of a JSON list or a JSONL file with the lines they begin on; damage costs only what cannot be read.

In JSONL a bad line stands for itself. In a list the rows before the damage are kept and its place reported. Whole
objects one after the other, each over several lines, are taken as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

NOT_JSON = "not JSON"
"""How the reason of a Broken begins."""


class Written(str):
    """A JSON number as it stands in the file: 8 is "8", 8.0 is "8.0", and no size is too large."""


class Repeated(dict[str, object]):
    """An object that gives a name more than once; `names` holds those."""

    names: frozenset[str] = frozenset()


class Row(NamedTuple):
    """A value of the file and the line it begins on, counted from 1."""

    line: int
    value: object


class Broken(NamedTuple):
    """Text that is not JSON, and why."""

    line: int
    reason: str


class _Found(NamedTuple):
    value: object
    end: int


class _Constant:
    """NaN or Infinity, which JSON does not have; a type of its own so that no field accepts it."""

    def __init__(self, name: str) -> None:
        self.name = name


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = Repeated(found)
    names = [name for name, _ in pairs]
    repeated.names = frozenset(name for name in found if names.count(name) > 1)
    return repeated


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Written, parse_float=Written, parse_constant=_Constant, strict=False
)
_SPACE = re.compile(r"[ \t\n\r]*")


def rows(content: bytes) -> Iterator[Row | Broken]:
    """The rows of a seeds file in either format. Bytes that are not UTF-8 come as lone surrogates."""
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    start = _skip(text, 0)
    if text.startswith("[", start):
        return _list_rows(text, start)
    spread = _spread_rows(text, start)
    return _line_rows(text) if spread is None else iter(spread)


def _spread_rows(text: str, start: int) -> list[Row] | None:
    """The objects of a file whose first one goes over several lines; None where not all of it reads so."""
    found = _decode(text, start)
    if isinstance(found, Broken) or not text.count("\n", start, found.end):
        return None
    spread = [Row(1 + text.count("\n", 0, start), found.value)]
    while (position := _skip(text, found.end)) < len(text):
        line = spread[-1].line + text.count("\n", start, position)
        found = _decode(text, start := position)
        if isinstance(found, Broken):
            return None
        spread.append(Row(line, found.value))
    return spread


def _line_rows(text: str) -> Iterator[Row | Broken]:
    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip(" \t\r"):
            continue
        found = _decode(row, _skip(row, 0))
        if isinstance(found, Broken):
            yield Broken(line, found.reason)
        elif _skip(row, found.end) < len(row):
            yield Broken(line, f"{NOT_JSON}: text after the row's end")
        else:
            yield Row(line, found.value)


def _list_rows(text: str, start: int) -> Iterator[Row | Broken]:
    line, counted = 1, 0
    position, mark = _skip(text, start + 1), ","
    if text.startswith("]", position):
        position, mark = _skip(text, position + 1), "]"
    while mark == ",":
        line, counted = line + text.count("\n", counted, position), position
        found = _decode(text, position)
        if isinstance(found, Broken):
            yield Broken(line + found.line, f"{found.reason}; nothing from here on was read")
            return
        yield Row(line, found.value)
        position = _skip(text, found.end)
        mark = text[position : position + 1]
        if mark not in {",", "]"}:
            line += text.count("\n", counted, position)
            yield Broken(line, f'{NOT_JSON}: expected "," or "]" after a row; nothing from here on was read')
            return
        position = _skip(text, position + 1)
    if position < len(text):
        yield Broken(1 + text.count("\n", 0, position), f"{NOT_JSON}: text after the list's end")


def _decode(text: str, position: int) -> _Found | Broken:
    """The value at a place; or why there is none, so many lines further on."""
    try:
        return _Found(*_DECODER.raw_decode(text, position))
    except json.JSONDecodeError as error:
        return Broken(text.count("\n", position, error.pos), f"{NOT_JSON}: {error.msg} at column {error.colno}")
    except RecursionError:
        return Broken(0, f"{NOT_JSON}: nested too deeply")


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
