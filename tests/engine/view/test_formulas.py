"""LaTeX becomes MathML of known tags and attributes; whatever else a text holds stays text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omegaprm.engine.view.formulas import Formula, rich


def tags(markup: Any) -> set[str]:
    return {markup[0]}.union(*(tags(child) for child in markup[2:] if isinstance(child, list)))


def attributes(markup: Any) -> dict[str, str]:
    found = dict(markup[1])
    for child in markup[2:]:
        found |= attributes(child) if isinstance(child, list) else {}
    return found


def formulas(text: str) -> list[Formula]:
    return [piece for piece in rich(text) if isinstance(piece, Formula)]


def source(text: str) -> str:
    return "".join(piece.source if isinstance(piece, Formula) else piece for piece in rich(text))


@pytest.mark.parametrize("text", [r"$\frac{a}{b}$", r"\(\frac{a}{b}\)", r"$$\frac{a}{b}$$", r"\[\frac{a}{b}\]"])
def test_every_delimiter_makes_a_fraction(text: str) -> None:
    (formula,) = formulas(f"so {text} it is")
    assert "mfrac" in tags(formula.mathml)
    assert formula.display is (text.startswith(("$$", r"\[")))


@pytest.mark.parametrize("text", ["costs $5 and $6", "$5", "5$", "a $ b $ c", r"\$x\$", "$10,$20", "no dollars"])
def test_money_is_no_formula(text: str) -> None:
    assert rich(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        r"$\def\a{\a\a}\a$",
        r"$\newcommand{\a}{\a\a}\a$",
        r"$\frac{$",
        "$" + "{" * 1500 + "x" + "}" * 400 + "$",
        "$" + r"\sqrt{" * 200 + "x" + "}" * 200 + "$",
        "$" + "x" * 3000 + "$",
    ],
)
def test_what_cannot_be_converted_stays_as_it_is_written(text: str) -> None:
    assert rich(text) == [text]


@pytest.mark.parametrize(
    "latex",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\style{background:url(//evil)}{x}",
        r"\class{top}{x}",
        r"\color{red}{x}",
        r"\rule{9999em}{9999em}",
        r"\hspace{9999em}x",
        r"\text{<script>alert(1)</script>}",
        r"\unicode{x3c}script\unicode{x3e}",
        r"\mathord{<img src=x onerror=alert(1)>}",
    ],
)
def test_tricks_leave_neither_tags_nor_attributes(latex: str) -> None:
    for formula in formulas(f"${latex}$"):
        assert tags(formula.mathml) <= {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mstyle", "msup"}
        kept = attributes(formula.mathml)
        assert not kept.keys() & {"href", "style", "class", "id", "src", "height", "mathbackground", "mathcolor"}
        assert "9999em" not in kept.values()


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=r"$\{}()[]^_ abfrcdet01&<>", max_size=80))
def test_pieces_joined_give_the_text_again(text: str) -> None:
    assert source(text) == text
