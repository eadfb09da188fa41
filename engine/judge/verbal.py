"""Rules for answers that are no numbers: yes and no, times and dates, plain words. Pure, as in exact."""

from __future__ import annotations

import re

from omegaprm.engine.judge import moments, quantities, units, words
from omegaprm.engine.records import Verdict

WORDS = Verdict("unknown", "words")
OTHER_WORD = Verdict("incorrect", "other-word")
"""One plain word against another of no known kind: wrong as far as rules see; a model is asked, where there is one."""

_NOT_A_VALUE = Verdict("incorrect", "no-answer")
_SAME_TEXT = Verdict("correct", "exact")
_VERDICTS = {
    (same, rule): Verdict("correct" if same else "incorrect", rule)
    for same in (True, False)
    for rule in ("yes-no", "time", "date", "word")
}
_YES_NO = re.compile(
    r"(yes|yep|yeah|no|nope|true|false|untrue|not true)"
    r"(?:[,.;:!]\s*(?!no\b|yes\b).*|\s+(?:it|they|he|she|there|this|that|we|you|i)\b.*)?",
    re.IGNORECASE | re.DOTALL,
)
_BOTH = re.compile(r"(?:yes|no) (?:and|or) (?:yes|no)", re.IGNORECASE)
_POSITIVE = frozenset({"yes", "yep", "yeah", "true"})
_ABOUT_TIME = re.compile(r"\b(?:time|clock|when|arrives?|leaves?|starts?|ends?|a\.?m|p\.?m)\b", re.IGNORECASE)

_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_NAMED = (
    "pi sqrt sin cos tan cot sec csc log ln exp theta alpha beta gamma infty inf infinity max min gcd lcm "
    "mod arcsin arccos arctan or and"
)
_MATH_WORDS = frozenset(_NAMED.split()) | units.UNIT_WORDS
_TWO_LETTERS = frozenset(
    [
        "am",
        "an",
        "as",
        "at",
        "be",
        "by",
        "do",
        "go",
        "he",
        "if",
        "in",
        "is",
        "it",
        "me",
        "my",
        "no",
        "of",
        "on",
        "so",
        "to",
        "up",
        "us",
        "we",
    ]
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-z]+\*?\}")


def by_moment(question: str, wanted: str, given: str) -> Verdict | None:
    """Times of day and dates."""
    one, other = moments.time_of(wanted), moments.time_of(given)
    if one and other and (not (one.plain and other.plain) or _ABOUT_TIME.search(question)):
        return _VERDICTS[moments.same_time(one, other), "time"]
    first, second = moments.date_of(wanted), moments.date_of(given)
    return _VERDICTS[moments.same_date(first, second), "date"] if first and second else None


def by_yes_no(wanted: str, given: str) -> Verdict | None:
    target, found = _YES_NO.fullmatch(wanted), _YES_NO.fullmatch(given)
    if target and _BOTH.fullmatch(given):
        return _VERDICTS[False, "yes-no"]
    if not target or not found:
        return None
    return _VERDICTS[(target[1].lower() in _POSITIVE) == (found[1].lower() in _POSITIVE), "yes-no"]


def by_words(wanted: str, given: str) -> Verdict | None:
    """Words that are the same, or of a kind that excludes one another; of other words no rule can tell."""
    if not has_prose(wanted) and not has_prose(given):
        return _denied(wanted, given)
    if wanted.casefold() == given.casefold():
        return _SAME_TEXT
    if words.same(wanted, given):
        return _VERDICTS[True, "word"]
    if words.single(wanted) and words.single(given):
        return _of_single_words(wanted, given)
    return _denied(wanted, given) or WORDS


def _of_single_words(wanted: str, given: str) -> Verdict:
    if words.of_one_kind(wanted, given):
        return _VERDICTS[False, "word"]
    one, other = sorted((words.plain(wanted), words.plain(given)), key=len)
    return WORDS if other[:4] == one[:4] else OTHER_WORD


def _denied(wanted: str, given: str) -> Verdict | None:
    """A value where there is none."""
    return _NOT_A_VALUE if words.is_nothing(wanted) and quantities.read(given) else None


def has_prose(text: str) -> bool:
    """Whether a text holds a word that is not mathematics; two or three capitals name a figure, "ABC"."""
    return any(_is_prose(word) for word in _PROSE.findall(_ENVIRONMENT.sub("", text)))


def _is_prose(word: str) -> bool:
    if word.lower() in _MATH_WORDS or (word.isupper() and len(word) <= 4):
        return False
    return len(word) > 2 or word.lower() in _TWO_LETTERS
