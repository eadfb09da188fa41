"""Answers in plain words: the same word in another form, another word of a closed kind, or none of both.

Pure; texts are normalised ones (see answers).
"""

from __future__ import annotations

import re

_KINDS = tuple(
    frozenset(words.split())
    for words in (
        "monday tuesday wednesday thursday friday saturday sunday",
        "january february march april may june july august september october november december",
        "red blue green yellow orange purple violet pink brown black white gray",
        "north south east west northeast northwest southeast southwest",
        "left right up down above below top bottom middle center",
        "even odd",
        "positive negative zero",
        "maximum minimum",
        "increasing decreasing constant",
        "parallel perpendicular intersecting skew",
        "acute right obtuse straight reflex",
        "equilateral isosceles scalene",
        "triangle square rectangle circle rhombus parallelogram trapezoid kite pentagon hexagon heptagon octagon "
        "cube sphere cone cylinder pyramid prism",
        "prime composite",
        "rational irrational",
        "first second third fourth fifth sixth seventh eighth ninth tenth",
        "greater less equal",
        "always sometimes never",
    )
)
_SAME = {
    "grey": "gray",
    "largest": "maximum",
    "trapezium": "trapezoid",
    "infinity": "\\infty",
    "dne": "does not exist",
    "no solutions": "no solution",
    "empty set": "\\emptyset",
}
_SHORT = {
    short: full
    for kind in _KINDS[:2]
    for full in kind
    for short in (full[:3], full[:3] + ".", full[:4], full[:4] + ".")
    if short not in ("may", "sun", "mar", "marc")
} | {"mar": "march", "mar.": "march", "sept.": "september"}
_ARTICLE = re.compile(r"(?:(?:a|an|the|all|just|only) )+", re.IGNORECASE)
_WORD = re.compile(r"[a-z][a-z'-]+")
_NOTHING = re.compile(
    r"none|no (?:real |integer |positive |such )?(?:solutions?|answers?|values?|roots?)|does not exist|undefined"
    r"|impossible|no such .*|\\emptyset|\\varnothing",
)


def plain(text: str) -> str:
    """Without case, leading articles, quotes and full stop; short days and months in full."""
    bare = _ARTICLE.sub("", text.strip().strip("\"'").casefold(), count=1).rstrip(".!")
    bare = re.sub(r"^(?:there (?:is|are)|it is|it's|they are) ", "", bare)
    return _SHORT.get(bare, _SAME.get(bare, bare))


def same(one: str, other: str) -> bool:
    """Whether two texts are the same words, but for articles, case and a plural."""
    first, second = plain(one), plain(other)
    return first == second or (_differ_in_number(first, second) and bool(_WORD.fullmatch(first.split()[-1])))


def _differ_in_number(one: str, other: str) -> bool:
    """Whether one is the plural of the other."""
    short, long = sorted((one, other), key=len)
    if len(short) < 3 or (short.endswith("ss") and long != short + "es"):
        return False
    return long in (short + "s", short + "es") or (short.endswith("y") and long == short[:-1] + "ies")


def of_one_kind(one: str, other: str) -> bool:
    """Whether two different words are of a kind that excludes one another: two days, two colours, odd and even."""
    texts = plain(one), plain(other)
    return any(all(_is_among(text, kind) for text in texts) for kind in _KINDS)


def _is_among(text: str, kind: frozenset[str]) -> bool:
    return text in kind or any(_differ_in_number(text, word) for word in kind)


def single(text: str) -> bool:
    """Whether a text is one plain word, article left off."""
    return bool(_WORD.fullmatch(plain(text)))


def is_nothing(text: str) -> bool:
    """Whether a text says that there is no answer."""
    return bool(_NOTHING.fullmatch(plain(text)))
