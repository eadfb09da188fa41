"""Text with LaTeX in it as plain pieces and MathML trees: never markup, never an attribute that could load or run.

A formula stands between $…$, $$…$$, \\(…\\) or \\[…\\]. A lone dollar is money: an opening one has no space behind
it, a closing one none before it and no digit after it. What cannot be converted stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from html import unescape
from typing import Any, TypeAlias

import msgspec
from latex2mathml.converter import convert_to_element

MAX_FORMULA = 2_000
MAX_TEXT = 20_000
"""Characters; longer formulas and texts are shown as they are written."""
MAX_DEPTH = 60
"""Elements inside each other."""
KEPT = 4_096
"""Texts whose conversion is remembered."""

Markup: TypeAlias = "list[str | dict[str, str] | Markup]"
"""[tag, attributes, child, ...]; a child is text or another element."""


class Formula(msgspec.Struct, frozen=True):
    """A formula: MathML, whether it stands on a line of its own, and its LaTeX as written."""

    mathml: Markup
    display: bool
    source: str


Rich: TypeAlias = list[str | Formula]

_FORMULA = re.compile(
    r"\$\$(?P<d1>[^$]+?)\$\$"
    r"|\\\[(?P<d2>.{1,2000}?)\\\]"
    r"|\\\((?P<i1>.{1,2000}?)\\\)"
    r"|(?<![\\$])\$(?=\S)(?P<i2>(?:\\.|[^$\\\n])+?)(?<=\S)\$(?![\d$])",
    re.DOTALL,
)
_MACROS = re.compile(r"\\(?:def|edef|gdef|let|futurelet|(?:re|provide)?newcommand|newenvironment|csname|require)\b")
"""Definitions can blow a line up to gigabytes; text has no use for them."""

_TAGS = frozenset(
    {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup"}
    | {"munder", "mover", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom", "menclose"}
    | {"mmultiscripts", "mprescripts"}
)
_ATTRIBUTES = {
    "mathvariant": re.compile(r"[a-z-]{1,24}"),
    "displaystyle": re.compile(r"true|false"),
    "scriptlevel": re.compile(r"[+-]?\d"),
    "stretchy": re.compile(r"true|false"),
    "fence": re.compile(r"true|false"),
    "separator": re.compile(r"true|false"),
    "accent": re.compile(r"true|false"),
    "form": re.compile(r"prefix|infix|postfix"),
    "columnalign": re.compile(r"(?:left|center|right| ){1,60}"),
    "notation": re.compile(r"[a-z ]{1,24}"),
    "linethickness": re.compile(r"[0-3](?:\.\d{1,3})?(?:px|pt|em)?"),
    "width": re.compile(r"[0-3](?:\.\d{1,4})?em"),
}
"""The attributes that are kept and what their values must look like; no colours, links, styles or classes."""


def rich(text: str) -> Rich:
    """The pieces of a text, in order; joined, text and sources give the text again."""
    if len(text) > MAX_TEXT or ("$" not in text and "\\" not in text):
        return [text]
    return list(_rich(text))


@lru_cache(KEPT)
def _rich(text: str) -> tuple[str | Formula, ...]:
    return tuple(_pieces(text))


def _pieces(text: str) -> Iterator[str | Formula]:
    plain = 0
    for match in _FORMULA.finditer(text):
        display = match["d1"] is not None or match["d2"] is not None
        mathml = _converted(match[match.lastgroup or 0], display)
        if mathml is None:
            continue
        if match.start() > plain:
            yield text[plain : match.start()]
        yield Formula(mathml, display, match[0])
        plain = match.end()
    if plain < len(text):
        yield text[plain:]


def _converted(latex: str, display: bool) -> Markup | None:
    """MathML of a formula; None where it is too long, defines macros, or the converter cannot read it."""
    if len(latex) > MAX_FORMULA or _MACROS.search(latex):
        return None
    known = re.sub(r"\{(align|gather)ed\}", r"{\1*}", latex)
    try:
        return _clean(convert_to_element(known, display="block" if display else "inline"), 0)
    except Exception:  # The converter raises whatever its parser trips over; the formula is shown as written.
        return None


def _clean(element: Any, depth: int) -> Markup:
    """An element as lists, with known tags and attributes alone; RecursionError where it nests too deeply."""
    if depth > MAX_DEPTH:
        raise RecursionError
    tag = element.tag if element.tag in _TAGS else "mrow"
    attributes = {
        name: value
        for name, value in element.attrib.items()
        if name in _ATTRIBUTES and _ATTRIBUTES[name].fullmatch(value)
    }
    whole: Markup = [tag, attributes]
    if element.text:
        whole.append(unescape(element.text))
    for child in element:
        whole.append(_clean(child, depth + 1))
        if child.tail:
            whole.append(unescape(child.tail))
    return whole
