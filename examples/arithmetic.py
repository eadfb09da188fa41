"""Expressions over + - * and parentheses, reduced one operation at a time.

A term is an int; the other tokens are "+", "-", "*", "(", ")". A negative number that is not the first
token stands in parentheses of its own in text, "3-(-4)", and is one int token here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

Token = int | str

OPERATORS = ("+", "-", "*")
MAX_VALUE = 50
"""Every number met while working a bundled problem stays within +-50, so that each is one or two digits."""

_PIECE = re.compile(r"\s*(\d+|[+\-*()])")


def tokens(expression: str) -> list[Token]:
    """Read an expression into tokens; ValueError where it is not one."""
    out: list[Token] = []
    at = 0
    text = expression.strip()
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise ValueError(f"not an expression at {text[at:]!r}")
        at = piece.end()
        out.append(int(piece[1]) if piece[1].isdigit() else piece[1])
    return _unwrap(_bind_signs(out))


def _bind_signs(raw: list[Token]) -> list[Token]:
    """Turn a minus that has no left operand into the sign of the number after it."""
    out: list[Token] = []
    for token in raw:
        negates = len(out) > 0 and out[-1] == "-" and (len(out) == 1 or out[-2] == "(")
        if isinstance(token, int) and negates:
            out[-1] = -token
        else:
            out.append(token)
    return out


def _unwrap(items: list[Token]) -> list[Token]:
    """Drop parentheses that hold nothing but a number."""
    out: list[Token] = []
    for token in items:
        out.append(token)
        if token == ")" and len(out) >= 3 and out[-3] == "(" and isinstance(out[-2], int):
            out[-3:] = [out[-2]]
    return out


def show(items: list[Token]) -> str:
    """Write tokens as text, a negative number in parentheses wherever it is not the first token."""
    parts = []
    for at, token in enumerate(items):
        bare = not isinstance(token, int) or token >= 0 or at == 0 or items[at - 1] == "("
        parts.append(str(token) if bare else f"({token})")
    return "".join(parts)


def operate(left: int, operator: str, right: int) -> int:
    if operator == "*":
        return left * right
    return left + right if operator == "+" else left - right


def value(expression: str) -> int:
    """The value of an expression; ValueError where the text is not one."""
    items = tokens(expression)
    result, rest = _sum(items)
    if rest:
        raise ValueError(f"left over after the expression: {rest}")
    return result


def _sum(items: list[Token]) -> tuple[int, list[Token]]:
    total, items = _product(items)
    while items and items[0] in ("+", "-"):
        operator = str(items[0])
        right, items = _product(items[1:])
        total = operate(total, operator, right)
    return total, items


def _product(items: list[Token]) -> tuple[int, list[Token]]:
    total, items = _atom(items)
    while items and items[0] == "*":
        right, items = _atom(items[1:])
        total *= right
    return total, items


def _atom(items: list[Token]) -> tuple[int, list[Token]]:
    if items and isinstance(items[0], int):
        return items[0], items[1:]
    if items and items[0] == "(":
        inside, rest = _sum(items[1:])
        if rest and rest[0] == ")":
            return inside, rest[1:]
    raise ValueError("expected a number or an opening parenthesis")


def reductions(items: list[Token]) -> list[int]:
    """Positions of the operators that may be worked next without changing the value."""
    return [at for at in range(1, len(items) - 1) if _may_work(items, at)]


def _may_work(items: list[Token], at: int) -> bool:
    operands = isinstance(items[at - 1], int) and isinstance(items[at + 1], int)
    if items[at] not in OPERATORS or not operands:
        return False
    if items[at] == "*":
        return True
    before = items[at - 2] if at >= 2 else None
    after = items[at + 2] if at + 2 < len(items) else None
    return before in (None, "(", "+") and after != "*"


def reduce_at(items: list[Token], at: int) -> tuple[str, int, list[Token]]:
    """Work the operator at a position: (the operation as text, its result, the tokens that remain)."""
    left, operator, right = items[at - 1], str(items[at]), items[at + 1]
    assert isinstance(left, int)
    assert isinstance(right, int)
    result = operate(left, operator, right)
    remaining = _unwrap([*items[: at - 1], result, *items[at + 2 :]])
    return show([left, operator, right]), result, remaining


def stays_small(items: list[Token]) -> bool:
    """Whether every order of working keeps each number within MAX_VALUE."""
    if any(isinstance(token, int) and abs(token) > MAX_VALUE for token in items):
        return False
    return all(stays_small(reduce_at(items, at)[2]) for at in reductions(items))


def draw(rng: random.Random, terms: list[str]) -> str:
    """Join terms by random operators, every other time with one pair of parentheses."""
    parts = [terms[0]]
    for term in terms[1:]:
        parts += [rng.choice(OPERATORS), term]
    if rng.random() < 0.5 and len(terms) > 2:
        first = rng.randrange(len(terms) - 1)
        widest = min(len(terms) - 1 - first, len(terms) - 2)
        last = first + rng.randint(1, min(2, widest))
        parts[2 * first] = "(" + parts[2 * first]
        parts[2 * last] += ")"
    return "".join(parts)


def small_expressions(rng: random.Random, fewest: int, most: int) -> Iterator[str]:
    """Endless expressions of one-digit terms whose every intermediate number stays small."""
    while True:
        terms = [str(rng.randint(0, 9)) for _ in range(rng.randint(fewest, most))]
        expression = draw(rng, terms)
        if stays_small(tokens(expression)):
            yield expression
