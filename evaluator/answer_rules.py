"""The parts of benchmarks' answer rules that the engine's judge does not know: options beside the question,
rounding to given decimals, a given tolerance, and references of several items. Pure; None where none applies.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import msgspec

from omegaprm.engine.judge import choices, exact, quantities

MAX_DECIMALS = 12
MAX_NUMBER = 10**15
"""Larger numbers are left to the exact rules."""

_SEPARATOR = re.compile(r"\s*[,;]\s*(?![^(\[{]*[)\]}])")
"""Between the items of an answer, not inside brackets."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A right answer: its items, the texts of the options by letter, and how near is near enough."""

    values: tuple[str, ...]
    options: dict[str, str] = {}
    decimals: Any = None
    tolerance: Any = None


def listed_options(texts: Any) -> dict[str, str]:
    """Option texts by letter, of a list of them; empty for anything else."""
    if not isinstance(texts, list) or len(texts) > 26:
        return {}
    return {chr(ord("A") + at): str(text) for at, text in enumerate(texts)}


def decide(reference: Reference, answer: str) -> bool | None:
    """Whether an answer is right; None where the benchmark's own rule says nothing about it."""
    if not answer.strip():
        return False
    if len(reference.values) > 1:
        return _several(reference, answer)
    value = reference.values[0]
    for rule in (_by_option, _by_rounding, _by_tolerance):
        right = rule(reference, value, answer)
        if right is not None:
            return right
    return None


def _several(reference: Reference, answer: str) -> bool | None:
    """Every item has an answer of its own, in any order; None where an item is beyond these rules."""
    given = [item for item in _SEPARATOR.split(answer.strip("$ ")) if item]
    if len(given) != len(reference.values):
        return False
    left = list(reference.values)
    for item in given:
        verdicts = [_single(reference, value, item) for value in left]
        if True not in verdicts:
            return None if None in verdicts else False
        left.pop(verdicts.index(True))
    return True


def _single(reference: Reference, value: str, item: str) -> bool | None:
    alone = msgspec.structs.replace(reference, values=(value,))
    right = decide(alone, item)
    if right is None:
        verdict = exact.decide("", value, item)
        right = {"correct": True, "incorrect": False}.get(verdict.outcome) if verdict else None
    return right


def _by_option(reference: Reference, value: str, answer: str) -> bool | None:
    """Letters or texts of options, on either side."""
    options = {letter: exact.normalise(text) for letter, text in reference.options.items()}
    if not options:
        return None
    wanted = choices.reference_letter(exact.normalise(value))
    if wanted not in options:
        wanted = choices.picked(exact.normalise(value), options)
    picked = choices.picked(exact.normalise(answer), options)
    return None if wanted is None or picked is None else picked == wanted


def _by_rounding(reference: Reference, value: str, answer: str) -> bool | None:
    decimals = _number(reference.decimals)
    pair = _numbers(value, answer)
    if decimals is None or pair is None or not 0 <= decimals <= MAX_DECIMALS:
        return None
    place = Decimal(1).scaleb(-int(decimals))
    wanted, given = (number.quantize(place, ROUND_HALF_EVEN) for number in pair)
    return wanted == given


def _by_tolerance(reference: Reference, value: str, answer: str) -> bool | None:
    tolerance = _number(reference.tolerance)
    pair = _numbers(value, answer)
    if tolerance is None or pair is None:
        return None
    return abs(pair[0] - pair[1]) <= tolerance


def _numbers(value: str, answer: str) -> tuple[Decimal, Decimal] | None:
    """Both as numbers; None where one of them is none, is huge, or their units or percent signs differ."""
    wanted, given = (quantities.read(exact.normalise(text)) for text in (value, answer))
    if wanted is None or given is None or wanted.percent != given.percent:
        return None
    if wanted.unit and given.unit and wanted.unit != given.unit:
        return None
    if max(abs(wanted.scaled), abs(given.scaled)) > MAX_NUMBER:
        return None
    return _decimal(wanted.scaled), _decimal(given.scaled)


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _number(value: Any) -> Decimal | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
