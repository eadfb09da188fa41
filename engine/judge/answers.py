"""One written form for answers that say the same: marks, wrappers, spacing and case gone, meaning kept.

Pure functions in time linear in the answer's length; callers bound the length first (MAX_ANSWER_CHARS).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_ANSWER_CHARS = 1000
"""A longer answer is not compared at all: no reference is that long, and parsing it could take for ever."""

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUBSCRIPT_RUN = re.compile("(?<![A-Za-z])([a-z]|log|[0-9]+)([₀-₉]+)")
"""An index or a base; "H₂O" is written without a mark."""
_VULGAR_FRACTION = re.compile("(?<=[0-9])(?=[¼½¾⅐-⅞])")
_SYMBOLS = str.maketrans(
    {
        "º": "°",
        "˚": "°",
        "−": "-",
        "–": "-",
        "—": "-",
        "⁄": "/",
        "∕": "/",
        "÷": "/",
        "×": "*",
        "·": "*",
        "⋅": "*",
        "π": "\\pi ",
        "√": "\\sqrt ",
        "∞": "\\infty ",
        "≤": "\\le ",
        "≥": "\\ge ",
        "≈": "\\approx ",
        "±": "\\pm ",
        "“": '"',
        "”": '"',
        "’": "'",
        "∶": ":",
        "\u200b": None,
    }
)
_LEAD = re.compile(
    r"(?:#+\s*)?(?:(?:so|thus|hence|therefore),?\s+)?(?:the\s+)?(?:final\s+|correct\s+)?answer"
    r"(?:\s*(?::|=)\s*|\s+is\s*:?\s*)",
    re.IGNORECASE,
)
_EXCLAIMED = re.compile(r"[A-Za-z]{2}!$")
_INLINE_MATH = re.compile(r"(?<!\\)\$(?=\S)([^$]+?)(?<=[^\s\\])\$(?!\d)")
_BRACED_WORDS = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|rm)\s*\{([^{}]*)\}")
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r",\\!\s*", ","),
        (r"\\(?:left|right|displaystyle|bigl?|bigr|Bigl?|Bigr|!)(?![A-Za-z])", ""),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\frac\s*(\d)\s*(\d)(?!\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*\{\s*(\w+)\s*\}\s*\{\s*(\w+)\s*\}", r"\\frac{\1}{\2}"),
        (r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\\sqrt\s*(\d)", r"\\sqrt{\1}"),
        (r"\s*\^\s*\{?\s*\\(?:circ|degree)\s*\}?|\s*\\degree(?![A-Za-z])", "°"),
        (r"(?<!\\)\\(?:quad|qquad|[,;: ])|~", " "),
        (r"\{,\}", ","),
        (r"(?<=[\d\s])\{\s*([cmdk]m|[mk]g|[mcd]l|ft|feet|inch(?:es)?|meters?|degrees?|units?)\s*\}", r" \1 "),
        (r"\\([%$#&])", r"\1"),
        (r"\\(?:times|cdot|ast)(?![A-Za-z])", "*"),
        (r"\\(?:leq?|leqslant)(?![A-Za-z])", r"\\le "),
        (r"\\(?:geq?|geqslant)(?![A-Za-z])", r"\\ge "),
        (r"([\^_])\{(\w)\}", r"\1\2"),
        (r"(?<![\\A-Za-z])log(?=_)", r"\\log"),
        (r"\*\*", "^"),
    )
)
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]*[a-z][A-Za-z]+|(?<![\\A-Za-z])[A-Za-z]+[a-z]|(?<![\\A-Za-z])[A-Z]{4,}")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_SPACED_THOUSANDS = re.compile(r"-?\d{1,3}(?: \d{3})+(?:\.\d+)?")
_AROUND_MARKS = re.compile(r"\s*([^\w\s\\])\s*|\s+(?=\\)")
_PAIRS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_MAX_LAYERS = 8


@lru_cache(maxsize=8192)
def normalise(answer: str) -> str:
    """The answer alone, as comparable text; "" where nothing is left.

    Money signs, percent signs and degree signs stay; words lose their case, single letters keep it.
    """
    text = _unwrap(_unicode(answer))
    text = " ".join(text.split())
    text = _INLINE_MATH.sub(r"\1", text)
    text = _BRACED_WORDS.sub(r" \1 ", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = _unwrap(" ".join(text.split()))
    text = _WORD.sub(lambda match: match[0].lower(), text)
    return _AROUND_MARKS.sub(lambda match: match[1] or "", _join_thousands(text)).strip()


def _unicode(text: str) -> str:
    text = _SUPERSCRIPT_RUN.sub(lambda match: "^{" + match[0].translate(_SUPERSCRIPTS) + "}", text)
    text = _SUBSCRIPT_RUN.sub(lambda match: match[1] + "_{" + match[2].translate(_SUBSCRIPTS) + "}", text)
    text = _VULGAR_FRACTION.sub(" ", text.replace("º", "°"))
    return unicodedata.normalize("NFKC", text).translate(_SYMBOLS).strip()


def _unwrap(text: str) -> str:
    """Without the layers around it: "The answer is $\\boxed{5}$." is "5"."""
    for _ in range(_MAX_LAYERS):
        inner = _peel(text).strip()
        if inner == text:
            break
        text = inner
    return text


def _peel(text: str) -> str:
    lead = _LEAD.match(text)
    if lead:
        return text[lead.end() :]
    if (text.endswith((".", ",", ";")) or _EXCLAIMED.search(text)) and not text.endswith(("\\,", "\\;", "\\!")):
        return text[:-1]
    for opening, closing in _PAIRS:
        inner = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and inner and opening not in inner.replace("\\$", ""):
            return inner if not inner.endswith("\\") else text
    return _peel_braces(text)


def _peel_braces(text: str) -> str:
    for command in ("\\boxed", "\\fbox", "\\text", "\\textbf", "\\mathrm", "\\mathbf"):
        rest = text.removeprefix(command).lstrip()
        if rest != text and rest.startswith("{") and _closing_brace(rest) == len(rest) - 1:
            return rest[1:-1]
    return "" if text in ("$", "$$", "*", "**") else text


def _closing_brace(text: str) -> int:
    """Where the brace that text begins with is closed; -1 where it is not."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return at
    return -1


def _join_thousands(text: str) -> str:
    if _SPACED_THOUSANDS.fullmatch(text):
        return text.replace(" ", "")
    if text.startswith(("(", "[", "{", "\\{")):
        return text
    return _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
