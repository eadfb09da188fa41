"""Multiple choice: the options that a question lists, and the letters that an answer picks."""

from __future__ import annotations

import re
from functools import lru_cache

from engine.judge import quantities
from engine.judge.answers import normalise

MAX_QUESTION_CHARS = 20_000
"""Options are not looked for in a longer question."""

MAX_OPTION_CHARS = 500
"""What stands behind this many characters of an option is not read."""

_LISTED = re.compile(r"(?:^|(?<=[\s;,$]))(?:\\text(?:bf)?\{)?[(\[]?([A-J])[)\].:]?\}?[)\].:]?(?<=[)\].:}])\s*")
_LETTER = re.compile(r"(?:(?:option|choice)\s*)?[(\[]?([A-Ja-j])(?:[)\].:,]|$)+\s*(.*)", re.DOTALL)
_POINTED = re.compile(
    r"(?!(?:not|nor|neither|never|except|excluding|excludes|without|besides|than|wrong|incorrect|eliminates?) )"
    r"[a-z]{3,} [(]?([A-J])[)]?()"
)
"""A letter behind what it names, "vertex C", and not behind what denies it."""
_SEVERAL = re.compile(r"[(\[]?[A-Ja-j][)\]]?(?:\s*(?:,|;|&|/|\bor\b|\band\b)\s*[(\[]?[A-Ja-j][)\]]?)+")
_SIDE_BY_SIDE = re.compile(r"(?:[A-J]{2,6}|(?:\([A-J]\)){2,6})")


@lru_cache(maxsize=4096)
def options(question: str) -> dict[str, str]:
    """Normalised option texts by letter, from A on without a gap; empty where fewer than two are listed."""
    if len(question) > MAX_QUESTION_CHARS:
        return {}
    marks: list[re.Match[str]] = []
    for mark in _LISTED.finditer(question):
        if mark[1] == chr(ord("A") + len(marks)):
            marks.append(mark)
    if len(marks) < 2:
        return {}
    ends = [mark.start() for mark in marks[1:]] + [len(question)]
    texts = (question[mark.end() : end] for mark, end in zip(marks, ends, strict=True))
    return {
        mark[1]: normalise(text[:MAX_OPTION_CHARS].strip().removesuffix("$"))
        for mark, text in zip(marks, texts, strict=True)
    }


def is_letter(text: str) -> bool:
    return len(text) == 1 and "A" <= text.upper() <= "J" and text.isascii()


def reference_letter(text: str) -> str | None:
    """The letter that a normalised reference is: "B", "(B)", "B."; None where it is none."""
    bare = text.strip("()[]. ")
    return bare.upper() if is_letter(bare) and bare.isupper() else None


def letters(answer: str) -> set[str]:
    """The letters of an answer that names several, "A or B", "(A), (C)"; empty where it does not."""
    if not _SEVERAL.fullmatch(answer):
        return set()
    return {found.upper() for found in re.findall(r"(?<![A-Za-z])[A-Ja-j](?![A-Za-z])", answer)}


def together(text: str) -> set[str]:
    """The letters of a text that names several at once, "ABD", "(A)(D)", "A, B and D"; empty where it does not."""
    if _SIDE_BY_SIDE.fullmatch(text):
        found = re.findall("[A-J]", text)
        return set(found) if len(set(found)) == len(found) else set()
    return letters(text) if " or " not in text and "/" not in text else set()


def picked(answer: str, listed: dict[str, str]) -> str | None:
    """The one letter that a normalised answer picks, by letter or by the option's text.

    None where it picks none, several options match, or letter and text disagree.
    """
    match = _LETTER.fullmatch(answer) or _POINTED.fullmatch(answer)
    if not match:
        return _by_text(answer, listed)
    letter, text = match[1].upper(), normalise(match[2])
    if listed and letter not in listed:
        return None
    if text and listed and not same_text(text, listed[letter]):
        return None
    return letter


def _by_text(answer: str, listed: dict[str, str]) -> str | None:
    matching = [letter for letter, text in listed.items() if same_text(answer, text)]
    return matching[0] if len(matching) == 1 else None


def same_text(one: str, other: str) -> bool:
    """Whether two normalised texts are the same option: equal, or the same number and unit."""
    if one.casefold() == other.casefold():
        return True
    first, second = quantities.read(one), quantities.read(other)
    if first is None or second is None or first.scaled != second.scaled:
        return False
    return first.unit is None or second.unit is None or first.unit == second.unit
