from __future__ import annotations

from typing import Any

import pytest
from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy
from sympy import srepr

from omegaprm.engine.judge import exact, grammar, math_worker
from omegaprm.engine.judge.math_rule import formulas
from tests.engine.hard_pairs import load


def compared_texts() -> list[str]:
    """Every formula that a process is sent for the hard pairs."""
    pairs = [one for one in load() if exact.decide(one.question, one.reference, one.answer) is None]
    return sorted(
        {text for one in pairs for text in formulas(*exact.compared(one.question, one.reference, one.answer))}
    )


def read(text: str) -> list[str] | str:
    try:
        return [srepr(expression) for expression in math_worker._parse(text)]
    except Exception as error:
        return repr(error)


def test_every_formula_is_read_in_two_stages_as_it_is_in_one(monkeypatch: pytest.MonkeyPatch):
    texts, made = compared_texts(), []
    create_parser = _Latex2Sympy.create_parser

    def counted(self: Any, text: str) -> Any:
        made.append(text)
        return create_parser(self, text)

    monkeypatch.setattr(_Latex2Sympy, "create_parser", counted)
    in_one = [read(text) for text in texts]
    num_alone = len(made)
    grammar.read_in_two_stages()
    assert [read(text) for text in texts] == in_one
    num_again = len(made) - 2 * num_alone
    assert 0 < num_again < 0.3 * num_alone, "some need the second stage, and most do not"
