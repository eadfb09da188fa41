"""Multiple choice: the options that a question lists, and the letters that an answer picks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from omegaprm.engine.judge import quantities
from omegaprm.engine.judge.answers import normalise

MAX_QUESTION_CHARS = 20_000
"""Options are not looked for in a longer question."""

MAX_OPTION_CHARS = 500
"""What stands behind this many characters of an option is not read."""

_MARK = r"(?:\\text(?:bf)?\{)?[(\[]?([A-J])[)\].:]?\}?[)\].:]?(?<=[)\].:}])\s*"
_ON_LINES = re.compile(r"^[ \t]*" + _MARK, re.MULTILINE)
_LISTED = re.compile(r"(?:^|(?<=[\s;,$]))" + _MARK)
_LETTER = re.compile(
    r"(?:(?:option|choice)\s*)?(?:\(([A-Ja-j])\)|\[([A-Ja-j])\]|([A-Ja-j])[)\]]?)(?:[.:,]|(?<=[)\]])|$)\s*(.*)",
    re.DOTALL,
)
_POINTED = re.compile(
    r"(?!(?:not|nor|neither|never|except|excluding|excludes|without|besides|than|wrong|incorrect|eliminates?) )"
    r"[a-z]{3,} [(]?([A-J])[)]?"
)
"""A letter behind what it names, "vertex C", and not behind what denies it."""
_MIN_GLUED_CHARS = 3
_TAKEN_BACK = re.compile(r"(?<![A-Za-z\\])[A-J](?![A-Za-z'])|\b(?:not|never|isn't|wrong|incorrect|or|unless)\b")
_SEVERAL = re.compile(r"[(\[]?[A-Ja-j][)\]]?(?:\s*(?:,|;|&|/|\bor\b|\band\b)\s*[(\[]?[A-Ja-j][)\]]?)+")
_SIDE_BY_SIDE = re.compile(r"(?:[A-J]{2,6}|(?:\([A-J]\)){2,6})")


@lru_cache(maxsize=4096)
def options(question: str) -> dict[str, str]:
    """Normalised option texts by letter, from A on without a gap; empty where fewer than two are listed.

    Options that begin a line come before any others; of several lists the longest counts, of those the last.
    """
    if len(question) > MAX_QUESTION_CHARS:
        return {}
    for pattern in (_ON_LINES, _LISTED):
        marks = _longest_run(pattern.finditer(question))
        if len(marks) > 1:
            return _texts(question, marks)
    return {}


def _longest_run(marks: Iterator[re.Match[str]]) -> list[re.Match[str]]:
    """The longest run of marks A, B, C …, the last where several are as long."""
    latest: dict[int, list[re.Match[str]]] = {}
    longest: list[re.Match[str]] = []
    for mark in marks:
        position = ord(mark[1]) - ord("A")
        before = latest.pop(position, []) if position else []
        if len(before) == position:
            run = latest[position + 1] = [*before, mark]
            longest = run if len(run) >= len(longest) else longest
    return longest


def _texts(question: str, marks: list[re.Match[str]]) -> dict[str, str]:
    ends = [mark.start() for mark in marks[1:]] + [len(question)]
    texts = (question[mark.end() : end][:MAX_OPTION_CHARS].strip() for mark, end in zip(marks, ends, strict=True))
    return {
        mark[1]: normalise(text.removesuffix("$") if text.count("$") % 2 else text)
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

    None where it picks none, several options match, or letter and text disagree: the text is another option's, or
    another number. Words behind a letter that are no option's do not matter. A letter that is another option's text
    could be either.
    """
    if not is_letter(answer.strip("()[]. ")) and (by_text := _by_text(answer, listed)):
        return by_text
    found = _lettered(answer)
    if found is None:
        return _glued(answer, listed)
    letter, text = found
    if not listed:
        return letter
    if not text:
        is_text = any(other == letter for name, other in listed.items() if name != letter)
        return letter if letter in listed and not is_text else None
    if letter not in listed or _disagrees(letter, text, listed):
        return None
    return letter


def names_a_letter(answer: str) -> bool:
    """Whether a normalised answer begins with a letter as options have it, or is one: "B", "B. 12", "(b) 12"."""
    return _lettered(answer) is not None


def _lettered(answer: str) -> tuple[str, str] | None:
    """The letter that an answer begins with and the normalised text behind it."""
    match = _LETTER.fullmatch(answer)
    if match:
        return (match[1] or match[2] or match[3]).upper(), normalise(match[4])
    pointed = _POINTED.fullmatch(answer)
    return (pointed[1], "") if pointed else None


def _disagrees(letter: str, text: str, listed: dict[str, str]) -> bool:
    """Whether what stands behind a letter may take it back: another option, another number, a denial."""
    if same_text(text, listed[letter]):
        return False
    if any(same_text(text, other) for other in listed.values()) or _TAKEN_BACK.search(text):
        return True
    return quantities.read(text) is not None and quantities.read(listed[letter]) is not None


def _glued(answer: str, listed: dict[str, str]) -> str | None:
    """A letter with its own option's text right behind it: "D\\frac{1}{2}", "D60degrees"; "ab" may be a product."""
    letter, text = answer[:1].upper(), answer[1:].strip()
    if letter not in listed or (answer.isalpha() and len(text) < _MIN_GLUED_CHARS):
        return None
    is_same = text and same_text(text, listed[letter])
    return letter if is_same or text.casefold() == listed[letter].replace(" ", "").casefold() else None


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
