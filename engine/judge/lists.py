"""Answers of several values: sets in any order, tuples in theirs, names that decide, ratios of terms. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

import msgspec

from omegaprm.engine.judge import quantities

_BETWEEN = re.compile(
    r",\s*(?:and|or)\b\s*|[,;]\s*|\s*(?<![a-z\\])(?:and|or)(?![a-z])\s*|\\text\{ ?or ?\}|\\lor(?![a-z])"
)
_WORDED = re.compile(r"(?<![a-z\\])(?:and|or)(?![a-z])|\\text\{ ?or ?\}|\\lor(?![a-z])")
_NAMED = re.compile(r"([A-Za-z](?:_\{?\w+\}?)?)=(.+)")
_NAMED_PAIR = re.compile(r"\((?:[a-z],)+[a-z]\)=(\(.+\))")
_RATIO = re.compile(r"-?\d+(?:\.\d+)?(?::-?\d+(?:\.\d+)?)+")
_TO = re.compile(r"(\d+(?:\.\d+)?) to (\d+(?:\.\d+)?)")
_ORDERED = re.compile(
    r"\b(?:\w+est|least|most) to (?:the )?(?:\w+est|least|most)\b|\border(?:ed)? from\b"
    r"|\b(?:ascending|descending|increasing|decreasing|alphabetical) order\b"
    r"|\brespectively\b|\bnext (?:two|three|four|five|six|\d+) (?:terms|numbers|values)\b",
    re.IGNORECASE,
)
"""What a question says that asks for values in an order of its own."""
_OPENING, _CLOSING = "([{", ")]}"


class Listed(msgspec.Struct, frozen=True):
    """Values with their names ("" for none), and how they are held: "(", "{" or "" for bare."""

    values: tuple[str, ...]
    names: tuple[str, ...]
    held: str

    @property
    def numbers(self) -> tuple[Fraction, ...] | None:
        """Every value as a number; None where one is none."""
        read = [quantities.read(value) for value in self.values]
        if any(one is None or (one.unit is not None and one.unit.dimension not in ("", "angle")) for one in read):
            return None
        return tuple(one.scaled for one in read if one is not None)

    @property
    def distinct_names(self) -> bool:
        return all(self.names) and len({name.partition("_")[0] for name in self.names}) == len(self.names) > 1


def listed(text: str) -> Listed | None:
    """The values of a normalised answer that is a list, also of one value; None where brackets do not fit."""
    pair = _NAMED_PAIR.fullmatch(text)
    text = pair[1] if pair else text
    text = re.sub(r"^[a-zA-Z](?:\\in ?|=)(?=\\\{)", "", text)
    held = ""
    if text.startswith("\\{") and text.endswith("\\}"):
        held, text = "{", text[2:-2]
    elif text.startswith("(") and text.endswith(")") and _depth_stays(text[1:-1]):
        held, text = "(", text[1:-1]
    parts = _split(text)
    if parts is None or not all(parts):
        return None
    named = [_NAMED.fullmatch(part) for part in parts]
    values = [match[2] if match else part for match, part in zip(named, parts, strict=True)]
    names = [match[1] if match else "" for match in named]
    pairs = [(value, name) for given, name in zip(values, names, strict=True) for value in _signs(given)]
    return Listed(tuple(value for value, _ in pairs), tuple(name for _, name in pairs), held)


def _signs(value: str) -> tuple[str, ...]:
    """Both values of a plus-minus."""
    if value.startswith("\\pm"):
        bare = value.removeprefix("\\pm").strip()
        return (bare, f"-{bare}")
    return (value,)


def _depth_stays(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth < 0:
            return False
    return depth == 0


def _split(text: str) -> list[str] | None:
    """The parts between commas, "and" and "or" outside all brackets."""
    parts, start = [], 0
    for match in _BETWEEN.finditer(text):
        if _depth_stays(text[: match.start()]):
            parts.append(text[start : match.start()].strip())
            start = match.end()
    parts.append(text[start:].strip())
    return parts if _depth_stays(text) else None


def same(wanted: str, given: str) -> bool | None:
    """Whether two lists of numbers are the same; None where one is no such list or it cannot be told."""
    terms = _ratio(wanted), _ratio(given)
    if terms[0] and terms[1]:
        return _proportional(terms[0], terms[1])
    one, other = listed(wanted), listed(given)
    if one is None or other is None or len(one.values) < 2:
        return None
    first, second = one.numbers, other.numbers
    if first is None or second is None:
        return None
    if one.distinct_names and other.distinct_names:
        return dict(zip(one.names, first, strict=True)) == dict(zip(other.names, second, strict=True))
    if one.held == "(" or one.distinct_names:
        return None if other.held == "{" else first == second
    return set(first) == set(second) if other.held != "(" else (first == second or None)


def misordered(question: str, wanted: str, given: str) -> bool:
    """Whether the question wants an order, and two lists of the same values differ in it."""
    if not _ORDERED.search(question):
        return False
    one, other = listed(wanted), listed(given)
    if one is None or other is None or one.distinct_names or other.distinct_names:
        return False
    return one.numbers != other.numbers


def _ratio(text: str) -> list[Fraction] | None:
    text = _TO.sub(r"\1:\2", text)
    return [Fraction(term) for term in text.split(":")] if _RATIO.fullmatch(text) else None


def _proportional(one: list[Fraction], other: list[Fraction]) -> bool:
    if len(one) != len(other):
        return False
    return all(a * other[0] == b * one[0] for a, b in zip(one, other, strict=True))


def as_sets(wanted: str, given: str) -> tuple[str, str]:
    """Both as "\\{…\\}", which math-verify reads, where one joins its values by words; other texts as they are."""
    if not (_WORDED.search(wanted) or _WORDED.search(given)) or any(mark in wanted + given for mark in "<>[]"):
        return wanted, given
    return _as_set(wanted), _as_set(given)


def _as_set(text: str) -> str:
    found = listed(text)
    if found is None or found.held == "(" or found.distinct_names:
        return text
    return "\\{" + ",".join(found.values) + "\\}"
