"""What the bundled policy reads in training, besides nothing else.

Four kinds of document, all of problems that no later stage uses (other expressions by checksum, other scans):
worked solutions in the chat format; the same as running text; packed lines that check an equation, a rewritten
expression or a digit in a picture, each answered Yes or No. A real language model has read such checks; their
format is not a PRM's, they hold no <prm>, and no line is a labelled step of a solution.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from examples.arithmetic import (
    MAX_VALUE,
    OPERATORS,
    Token,
    operate,
    reduce_at,
    reductions,
    show,
    small_expressions,
    tokens,
    value,
)
from examples.digits import problems as digits
from examples.sums import problems as sums
from examples.working import completion, reading_steps, reduction_steps

USER = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PICTURE = "<IMG_CONTEXT>\n"
DOCUMENT = "<|endoftext|>"
CHECKS_A_DOCUMENT = 6
DIGIT_CHECKS_A_DOCUMENT = 9


@dataclass(frozen=True)
class Document:
    """One training sequence. The loss is on text alone, or with is_check on its Yes and No alone."""

    prompt: str
    text: str
    scans: list[int] = field(default_factory=list)
    is_check: bool = False


def documents(rng: random.Random) -> Iterator[Document]:
    """Endless documents in the mix the policy was trained on."""
    makers: list[tuple[float, Callable[[random.Random], Document]]] = [
        (0.25, sum_solution),
        (0.25, digit_solution),
        (0.05, sum_text),
        (0.05, digit_text),
        (0.26, arithmetic_checks),
        (0.14, digit_checks),
    ]
    weights = [weight for weight, _ in makers]
    while True:
        yield rng.choices([maker for _, maker in makers], weights)[0](rng)


def _expression(rng: random.Random) -> str:
    """An expression that neither the seeds nor the test problems of sums may hold."""
    return next(text for text in small_expressions(rng, 3, 6) if not sums.is_held_out(text))


def sum_solution(rng: random.Random) -> Document:
    text = _expression(rng)
    return Document(USER.format(sums.question(text)), completion(reduction_steps(rng, text)) + "<|im_end|>")


def digit_solution(rng: random.Random) -> Document:
    scans, truth, formula = digits.draw_problem(rng, "pretraining")
    prompt = USER.format(PICTURE + digits.question(formula))
    return Document(prompt, completion(reading_steps(rng, formula, truth)) + "<|im_end|>", scans)


def sum_text(rng: random.Random) -> Document:
    text = _expression(rng)
    return Document(DOCUMENT, _running(sums.question(text), reduction_steps(rng, text)))


def digit_text(rng: random.Random) -> Document:
    scans, truth, formula = digits.draw_problem(rng, "pretraining")
    steps = reading_steps(rng, formula, truth)
    return Document(DOCUMENT + PICTURE, _running(digits.question(formula), steps), scans)


def _running(question: str, steps: list[str]) -> str:
    return f"Question: {question}\nProcess: " + "\n\n".join(steps) + DOCUMENT


def arithmetic_checks(rng: random.Random) -> Document:
    lines = [rng.choice((_equation_check, _rewrite_check, _rewrite_check))(rng) for _ in range(CHECKS_A_DOCUMENT)]
    return Document(DOCUMENT + "check\n", "".join(lines), is_check=True)


def digit_checks(rng: random.Random) -> Document:
    scans, truth, _ = digits.draw_problem(rng, "pretraining")
    lines = []
    for _ in range(DIGIT_CHECKS_A_DOCUMENT):
        letter = rng.choice(digits.LETTERS)
        claim = truth[letter] if rng.random() < 0.5 else rng.randint(0, 9)
        lines.append(_line(f"{letter}>{claim}", claim == truth[letter]))
    return Document(DOCUMENT + PICTURE + "check\n", "".join(lines), scans, is_check=True)


def _line(claim: str, holds: bool) -> str:
    return f"{claim}?{'Yes' if holds else 'No'}\n"


def _equation_check(rng: random.Random) -> str:
    operation, result, _ = _worked(rng)
    claim = result if rng.random() < 0.5 else _near(rng, result)
    return _line(f"{operation}>{claim}", claim == result)


def _rewrite_check(rng: random.Random) -> str:
    """Whether one expression may be rewritten as another: the same value, after none or one operation."""
    before, after = _rewriting(rng)
    if rng.random() < 0.5:
        after = _spoil(rng, after)
    return _line(f"{show(before)}>{show(after)}", value(show(before)) == _value_or_none(after))


def _rewriting(rng: random.Random) -> tuple[list[Token], list[Token]]:
    items = tokens(_expression(rng))
    for _ in range(rng.randrange(3)):
        if len(items) > 3:
            items = reduce_at(items, rng.choice(reductions(items)))[2]
    after = reduce_at(items, rng.choice(reductions(items)))[2] if rng.random() < 0.85 else list(items)
    return items, after


def _worked(rng: random.Random) -> tuple[str, int, list[Token]]:
    items, _ = _rewriting(rng)
    return reduce_at(items, rng.choice(reductions(items)))


def _near(rng: random.Random, result: int) -> int:
    """Another number of the kind a slip produces: off by a little or by ten, the sign, a digit."""
    while True:
        drift = rng.choice((-20, -10, -9, -2, -1, 1, 2, 9, 10, 11, 20))
        wrong = rng.choice((result + drift, -result, rng.randint(-MAX_VALUE, MAX_VALUE), result + drift))
        if wrong != result and abs(wrong) <= MAX_VALUE:
            return wrong


def _spoil(rng: random.Random, items: list[Token]) -> list[Token]:
    """Damage one place: a number, an operator, a term dropped, or an operation worked out of turn."""
    numbers = [at for at, token in enumerate(items) if isinstance(token, int)]
    operators = [at for at, token in enumerate(items) if token in OPERATORS]
    kind = rng.random()
    spoiled = list(items)
    if kind < 0.55 or not operators:
        at = rng.choice(numbers)
        spoiled[at] = _near(rng, int(items[at]))
    elif kind < 0.75:
        at = rng.choice(operators)
        spoiled[at] = rng.choice([operator for operator in OPERATORS if operator != items[at]])
    elif kind < 0.9:
        at = rng.choice(operators)
        del spoiled[at : at + 2]
    else:
        at = rng.choice(operators)
        if isinstance(items[at - 1], int) and isinstance(items[at + 1], int):
            result = operate(int(items[at - 1]), str(items[at]), int(items[at + 1]))
            spoiled[at - 1 : at + 2] = [max(-MAX_VALUE, min(MAX_VALUE, result))]
    return spoiled


def _value_or_none(items: list[Token]) -> int | None:
    try:
        return value(show(items))
    except ValueError:
        return None
