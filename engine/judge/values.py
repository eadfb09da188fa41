"""Whether one number says what another says: signs, scale words, units, and how far it was rounded. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from omegaprm.engine.judge import units
from omegaprm.engine.judge.quantities import Quantity
from omegaprm.engine.records import Verdict

UNIT = Verdict("unknown", "unit")
ROUNDED = Verdict("unknown", "rounded")
_VERDICTS = {same: Verdict("correct" if same else "incorrect", "number") for same in (True, False)}
_HOW_MANY = re.compile(r"\b(?:how many|number of)\b", re.IGNORECASE)
_FLOAT_DECIMALS = 10
_FLOAT_ERROR = Fraction(1, 10**9)
"""A decimal with so many places this near a value is it as a computer's arithmetic has it, rounding errors and all."""


def compare_quantities(question: str, target: Quantity, found: Quantity) -> Verdict:
    """The verdict on two numbers with their signs, scale words and units."""
    one, other = target.unit, found.unit
    ratio = Fraction(1)
    if one and other and one != other and not units.is_rate_of(one, other):
        if not one.dimension or not other.dimension:
            return UNIT if same_value(target, found.scaled) else _VERDICTS[False]
        if one.dimension != other.dimension:
            return UNIT if units.are_related(one, other) else _VERDICTS[False]
        ratio = other.factor / one.factor
    if other and not one and units.is_foreign(other, question):
        return UNIT
    same = same_value(target, found.scaled * ratio) or (
        _marks_optional(question, target, found) and same_value(target, found.value * ratio, bare=True)
    )
    if not same and rounds_to(target, found):
        return ROUNDED
    if not same and _may_be_percent(question, target, found):
        return UNIT
    return _VERDICTS[same]


def _marks_optional(question: str, target: Quantity, found: Quantity) -> bool:
    """Whether a percent sign or scale word may be left off: the reference has it, or the question says it."""
    words = question.lower()
    if target.percent != found.percent:
        return target.percent or "%" in words or "percent" in words
    if target.scale != found.scale:
        return bool(target.scale and not found.scale) or (bool(found.scale) and found.scale in words)
    return False


def _may_be_percent(question: str, target: Quantity, found: Quantity) -> bool:
    """Whether "25%" may say 25: the question neither says percent, as "at what rate", nor asks how many."""
    counts = _HOW_MANY.search(question)
    return found.percent and not target.percent and not counts and found.value > 1 and found.value == target.value


def same_value(target: Quantity, value: Fraction, bare: bool = False) -> bool:
    """Whether a value equals the target: exactly, or to the last decimal the target was written with.

    bare compares with the number in front of a percent sign or scale word.
    """
    wanted = target.value if bare else target.scaled
    if target.decimals is None:
        return value == wanted
    place = (Fraction(1) if bare or not target.value else abs(target.scaled / target.value)) / 10**target.decimals
    return bool(2 * abs(value - wanted) < place)


def rounds_to(target: Quantity, found: Quantity) -> bool:
    """Whether the found decimal is the target rounded or cut: 0.66 for 2/3, not its value and yet not wrong."""
    if found.decimals is None:
        return False
    if found.decimals >= _FLOAT_DECIMALS and abs(found.value - target.value) <= _FLOAT_ERROR * abs(target.value):
        return True
    if target.decimals is not None or not found.decimals or (found.decimals == 1 and abs(found.value) < 10):
        return False
    if _terminates(target.scaled.denominator):
        return False
    place = Fraction(1, 10**found.decimals)
    is_cut = found.value * target.value >= 0 and 0 <= abs(target.value) - abs(found.value) < place
    return is_cut or 2 * abs(found.value - target.value) <= place


def _terminates(denominator: int) -> bool:
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1
