"""The exact step checker: is a step right, given the question and the image's truth?

The project's ground truth for the bundled families. It serves the report and the tests alone; nothing
that makes labels or trains may import it. It judges meaning, not wording: a step is right when every
equation in it holds and the expression it ends with still has the value of the question.
"""

from __future__ import annotations

import re

from examples.arithmetic import value
from examples.working import substitute

_FORMULA = re.compile(r"What is (.+)\?$")
_EXPRESSION = re.compile(r"[\d(\-][\d+\-*() ]*")
_READING = re.compile(r"^(?:read )?([a-z])\s*(?: is |=|:)\s*(-?\d+)$")


def truth(question: str, digits: dict[str, int] | None = None) -> int:
    """The value the question asks for; digits gives the image's truth where there is an image."""
    formula = _FORMULA.search(question)
    if formula is None:
        raise ValueError(f"not a bundled question: {question!r}")
    return value(substitute(formula[1], digits or {}))


def first_error(question: str, steps: list[str], digits: dict[str, int] | None = None) -> int | None:
    """The index of the first wrong step, or None where all are right."""
    answer = truth(question, digits)
    for at, step in enumerate(steps):
        if not is_right(step, answer, digits):
            return at
    return None


def is_right(step: str, answer: int, digits: dict[str, int] | None = None) -> bool:
    """Whether one step holds by itself: a reading names the true digit, a reduction keeps the value."""
    reading = _READING.match(step.strip())
    if reading is not None and digits is not None:
        return digits.get(reading[1]) == int(reading[2])
    values = _values(step)
    if values is None or not values or values[-1] != answer:
        return False
    if len(values) == 3:
        return values[0] == values[1]
    return len(values) == 1 or (len(values) == 2 and values[0] == values[1])


def _values(step: str) -> list[int] | None:
    """The values of the expressions in a step, in order; None where one of them is garbled."""
    try:
        return [value(text.strip()) for text in _EXPRESSION.findall(step)]
    except ValueError:
        return None
