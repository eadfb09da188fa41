"""How large the numbers in a formula may get, bounded without evaluating any of it.

math-verify swallows the MemoryError that a number like 2^(10^10) ends in and calls the pair unequal, so
formulas of that kind are told apart before they reach it.
"""

from __future__ import annotations

import math
from typing import Any

MAX_DIGITS = 20_000.0
"""Decimal digits that a number in a formula may have on its way to a value."""

MAX_DEPTH = 60
"""Nested operations; sympy recurses several frames for each."""

_GROWING = frozenset({"factorial", "factorial2", "subfactorial", "gamma", "binomial"})
_MAX_EXPONENT_DIGITS = 7.0


class TooLarge(Exception):
    """A formula that is not worth evaluating."""


def check_nesting(text: str) -> None:
    """Raise TooLarge where brackets are nested too deep: the grammar's time doubles with a few levels."""
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_DEPTH:
            raise TooLarge


def check(expression: Any) -> None:
    """Raise TooLarge where a sympy expression is nested too deep or some part of it could be too large."""
    num_digits(expression, 0)


def num_digits(expression: Any, depth: int) -> float:
    """An upper estimate of |log10| of the value, symbols taken as one digit. TooLarge past the bounds."""
    if depth > MAX_DEPTH:
        raise TooLarge
    arguments = [num_digits(argument, depth + 1) for argument in getattr(expression, "args", ())]
    digits = _own_digits(expression, arguments)
    if digits > MAX_DIGITS:
        raise TooLarge
    return digits


def _own_digits(expression: Any, arguments: list[float]) -> float:
    if not arguments:
        return _atom_digits(expression)
    name = type(expression).__name__
    if name == "Pow" or name == "exp":
        base = arguments[0] if len(arguments) == 2 else 1.0
        return max(base, 0.05) * _magnitude(arguments[-1])
    if name in _GROWING:
        return _magnitude(arguments[0]) * (arguments[0] + 1)
    return sum(arguments) if name == "Mul" else max(arguments) + 1


def _magnitude(digits: float) -> float:
    return float(10**digits) if digits <= _MAX_EXPONENT_DIGITS else math.inf


def _atom_digits(expression: Any) -> float:
    if getattr(expression, "is_Integer", False):
        return math.log10(max(abs(int(expression)), 1))
    if getattr(expression, "is_Rational", False):
        return math.log10(max(abs(int(expression.p)), int(expression.q)))
    if getattr(expression, "is_Float", False):
        _, _, exponent, num_bits = expression._mpf_
        return abs(int(exponent) + int(num_bits)) * math.log10(2)
    return 1.0
