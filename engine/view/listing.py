"""The list of problems: which rows a person asked for, in which order. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from omegaprm.engine.records import Counts
from omegaprm.engine.view.intervals import wilson

SHOWN_CHARACTERS = 240
"""Of a question or a reason; the search looks through all of it."""
MAX_ROWS = 500
"""Rows of one answer at the most."""

_DIGITS = re.compile(r"([0-9]+)")

Sort = Literal["id", "state", "mc", "errors", "nodes", "rollouts", "tokens"]


class Row(msgspec.Struct):
    """One problem as the list shows it. mc is None where nothing was judged, errors where they are not known."""

    store: int
    id: str
    question: str
    state: str
    reason: str
    root: Counts
    mc: float | None
    interval: tuple[float, float] | None
    errors: int | None
    nodes: int
    rollouts: int
    tokens: int
    num_images: int


class Entry(msgspec.Struct):
    """A row and the text it is found by."""

    row: Row
    text: str


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. q: words that all must occur; reason: the whole reason; least and most bound MC."""

    q: str = ""
    state: Literal["", "open", "done", "quarantined"] = ""
    reason: str = ""
    least: float = 0.0
    most: float = 1.0
    errors: int = 0
    sort: Sort = "id"
    down: bool = False
    offset: int = 0
    limit: int = 100

    def __post_init__(self) -> None:
        if self.offset < 0 or not 0 < self.limit <= MAX_ROWS:
            raise ValueError(f"offset: must be at least 0; limit: must be from 1 to {MAX_ROWS}")


class Listing(msgspec.Struct):
    """A part of the rows found, and how many of how many were found."""

    total: int
    of: int
    rows: list[Row]


def query(parameters: Mapping[str, str]) -> Query:
    """A query from an address; msgspec.ValidationError for an unknown name or a value that is none."""
    unknown = parameters.keys() - set(Query.__struct_fields__)
    if unknown:
        raise msgspec.ValidationError(f"{sorted(unknown)[0]}: there is no such parameter")
    return msgspec.convert(dict(parameters), Query, strict=False)


def listed(entries: Sequence[Entry], asked: Query) -> Listing:
    words = asked.q.casefold().split()
    found = [entry.row for entry in entries if _matches(entry, asked, words)]
    found.sort(key=lambda row: (natural(row.id), row.store))
    if asked.sort != "id":
        found.sort(key=_KEYS[asked.sort], reverse=asked.down)
        found.sort(key=lambda row: getattr(row, asked.sort) is None)
    elif asked.down:
        found.reverse()
    return Listing(len(found), len(entries), found[asked.offset : asked.offset + asked.limit])


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts p9 before p10, and numbers before words."""
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() and len(part) < 19 else (1, 0, part)
        for part in _DIGITS.split(text)
        if part
    ]


def _matches(entry: Entry, asked: Query, words: list[str]) -> bool:
    row = entry.row
    return (
        (not asked.state or row.state == asked.state)
        and (not asked.reason or row.reason == asked.reason)
        and ((asked.least <= 0 and asked.most >= 1) or (row.mc is not None and asked.least <= row.mc <= asked.most))
        and (not asked.errors or (row.errors or 0) >= asked.errors)
        and all(word in entry.text for word in words)
    )


def _number(name: str) -> Callable[[Row], Any]:
    return lambda row: getattr(row, name) or 0


_KEYS: dict[str, Callable[[Row], Any]] = {
    "state": lambda row: (row.state, row.reason),
    **{name: _number(name) for name in get_args(Sort) if name not in ("id", "state")},
}


def row_of(store: int, record: Any, errors: int | None, grown: Any = None) -> Row:
    """grown: the fold of an open problem, whose record still tells of its first estimate alone."""
    problem = record.problem
    behind = grown is not None and grown.num_estimates > record.num_estimates
    return Row(
        store=store,
        id=problem.id,
        question=cut(problem.question),
        state=record.state,
        reason=cut(record.reason),
        root=record.root,
        mc=record.root.value,
        interval=wilson(record.root.correct, record.root.judged),
        errors=errors,
        nodes=grown.num_estimates if behind else record.num_estimates,
        rollouts=grown.outcomes.total if behind else record.num_rollouts,
        tokens=grown.num_tokens if behind else record.num_tokens,
        num_images=len(problem.image_paths),
    )


def text_of(record: Any) -> str:
    problem = record.problem
    return "\n".join((problem.id, problem.question, problem.correct_answer, record.reason)).casefold()


def cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
