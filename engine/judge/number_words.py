"""Numbers written in words: "twenty-five", "one hundred and five", "three fourths". Pure."""

from __future__ import annotations

from fractions import Fraction

_ONES_UP_TO_TEN = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_TEENS = ["eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_ONES = _ONES_UP_TO_TEN + _TEENS
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_SMALL = {word: value for value, word in enumerate(_ONES)} | {word: 10 * at for at, word in enumerate(_TENS, 2)}
_DENOMINATORS = _PARTS | {word + "s": value for word, value in _PARTS.items()} | {"halves": 2}

WORDS = frozenset(_SMALL)


def read(text: str) -> tuple[Fraction, str] | None:
    """A number in words at the beginning of a text, and what stands behind it; None where there is none."""
    words = text.casefold().replace("-", " ").split(" ")
    if words[0] not in _SMALL:
        return None
    total = current = used = 0
    for at, word in enumerate(words):
        follows = at + 1 < len(words) and words[at + 1] in _SMALL
        if word in _SMALL and _fits(current, _SMALL[word], used):
            current += _SMALL[word]
        elif word in _SCALES and used:
            current, total = (current * 100, total) if word == "hundred" else (0, total + current * _SCALES[word])
        elif not (word == "and" and follows and (current >= 100 or total)):
            break
        used = at + 1
    rest = words[used:]
    if rest and rest[0] in _DENOMINATORS:
        return Fraction(total + current, _DENOMINATORS[rest[0]]), " ".join(rest[1:])
    return Fraction(total + current), " ".join(rest)


def _fits(current: int, value: int, used: int) -> bool:
    """Whether a small number may follow: units behind tens, anything behind hundreds or at the start."""
    if not used or current == 0 or current % 100 == 0:
        return True
    return current % 10 == 0 and current % 100 >= 20 and 0 < value < 10
