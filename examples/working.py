"""How a solution is written: one reduction a step, in any legal order and one of several phrasings."""

from __future__ import annotations

import random

from examples.arithmetic import reduce_at, reductions, show, tokens

REDUCTION_PHRASES = (
    "{operation}={result}, so {rest}",
    "{operation} is {result}, leaving {rest}",
    "take {operation}={result}, then {rest}",
    "work out {operation}: {result}, now {rest}",
)
READING_PHRASES = ("{letter} is {digit}", "{letter}={digit}", "read {letter}: {digit}")
SUBSTITUTION_PHRASES = ("so {rest}", "that makes {rest}", "now {rest}")


def reduction_steps(rng: random.Random, expression: str) -> list[str]:
    """Steps that work an expression down to one number, and the answer as the last step."""
    items = tokens(expression)
    steps = []
    while len(items) > 1:
        operation, result, items = reduce_at(items, rng.choice(reductions(items)))
        phrase = rng.choice(REDUCTION_PHRASES)
        steps.append(phrase.format(operation=operation, result=result, rest=show(items)))
    return [*steps, show(items)]


def reading_steps(rng: random.Random, formula: str, digits: dict[str, int]) -> list[str]:
    """Steps that read each letter's digit from the image, left to right, put them in the formula and work it."""
    steps = [rng.choice(READING_PHRASES).format(letter=name, digit=digit) for name, digit in digits.items()]
    expression = substitute(formula, digits)
    steps.append(rng.choice(SUBSTITUTION_PHRASES).format(rest=expression))
    return steps + reduction_steps(rng, expression)


def substitute(formula: str, digits: dict[str, int]) -> str:
    """Put digits for the letters of a formula."""
    return "".join(str(digits.get(character, character)) for character in formula)


def completion(steps: list[str]) -> str:
    """A solution as the policy writes it; the last step is the answer."""
    return "".join(f"<step>{step}</step>" for step in steps[:-1]) + f"<answer>{steps[-1]}</answer>"
