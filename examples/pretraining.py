"""What the bundled policy reads in training, besides nothing else.

Documents of problems that no later stage uses (other expressions by checksum, other scans): worked solutions in the
chat format; lines that check an equation, a rewritten expression or what a picture shows,
each answered Yes or No; and chains of such lines, each marked v while all is right so far and x from then on. A real
language model has read such checks. Their format is not a PRM's: they hold no <prm> and no step of a solution, a line
states one equation, one expression or one reading, and chains are answered in other words than a PRM's. A chain may
open with a question as the bundled problems ask it.
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
    stays_small,
    tokens,
    value,
)
from examples.digits import problems as digits
from examples.sums import problems as sums
from examples.working import completion, reading_steps, reduction_steps

USER = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PICTURE = "<IMG_CONTEXT>\n"
DOCUMENT = "<|endoftext|>"
HIDDEN = "\0"
RIGHT_SO_FAR, WRONG_BY_NOW = "v", "x"
CHECKS_A_DOCUMENT = 6
MARKS = ("?", " ?", "!", ";", " ;", "|", "#", "~", "\n?", " :", "/", "^")
"""What stands between a claim and its Yes or No; one is drawn for each document."""
ARROWS = (">", " > ", " = ", ": ", "\n", " -> ", ", ")
LEADS = ("", "", "so ", "now ", "then ", "leaving ", "that makes ", "is ", "& ", "to ")
SEPARATORS = ("\n", "\n", " ", "\n\n", ". ")
HEADINGS = ("check\n", "", "", "marked: ", "is it right\n")
OPENINGS = (DOCUMENT, "<|im_start|>user\n")
"""Checks are read as documents and as what a user sends."""
TASKS = (
    "{}\n",
    "What is {}?\n",
    "What is {}? ",
    "given {}\n\n",
    "Q: {}.\nA: ",
    "{}: ",
    "Question: {}\n",
    "Question: What is {}?\n\n",
    "{}\nProcess: ",
    "work out {}\nProcess:\n",
)
"""What is checked, before its lines."""
SCENES = (
    "",
    "",
    "The image shows digits a, b, c. ",
    "The image shows digits a, b, c. ",
    "A picture of a, b and c. ",
    "given: a, b, c\n",
    "Here are three digits: a, b, c. ",
    "a, b, c are written in the picture.\n",
)
"""What is said of a picture before a task about it."""
READING_LEADS = ("", "", "", "read ", "see ", "letter ")
READING_ARROWS = (*ARROWS, "=", " is ", ": ")
LOOK_ALIKES = ((1, 7), (3, 8), (4, 9), (5, 8), (3, 9), (1, 8), (5, 9), (0, 6), (2, 7), (2, 3), (8, 9))
"""Digits that are easily taken for each other."""


@dataclass(frozen=True)
class Document:
    """One training sequence. The loss is on text alone, or with is_check on its answers alone.

    HIDDEN and a character in text is an answer that is learned at its place and not read on from there: a chain
    stands for as many documents as it has marks, each of which ends with the answer behind its last mark.
    """

    prompt: str
    text: str
    scans: list[int] = field(default_factory=list)
    is_check: bool = False


def documents(rng: random.Random) -> Iterator[Document]:
    """Endless documents in the mix the policy was trained on."""
    makers: list[tuple[float, Callable[[random.Random], Document]]] = [
        (0.16, sum_solution),
        (0.14, digit_solution),
        (0.08, arithmetic_checks),
        (0.24, chain_checks),
        (0.08, digit_checks),
        (0.3, digit_chain_checks),
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


class Style:
    """How the lines of one document of checks are set."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.mark, self.arrow = rng.choice(MARKS), rng.choice(ARROWS)
        self.separator = rng.choice(SEPARATORS)
        self.opening, self.heading, self.task = rng.choice(OPENINGS), rng.choice(HEADINGS), rng.choice(TASKS)

    def line(self, claim: str, holds: bool) -> str:
        return f"{claim}{self.mark}{'Yes' if holds else 'No'}{self.separator}"

    def task_about(self, formula: str) -> str:
        """The task with a formula over a picture's letters, the picture named inside it or before it."""
        scene = self.rng.choice(SCENES)
        if "What" in self.task and self.rng.random() < 0.8:
            return self.task.replace("What", scene + "What").format(formula)
        return scene + self.task.format(formula)

    def reading(self, letter: str, digit: int) -> str:
        """A claim that a letter's place shows a digit."""
        arrow = self.arrow if self.rng.random() < 0.4 else self.rng.choice(READING_ARROWS)
        return f"{self.rng.choice(READING_LEADS)}{letter}{arrow}{digit}"

    def lead(self) -> str:
        return self.rng.choice(LEADS)


def arithmetic_checks(rng: random.Random) -> Document:
    """Lines that have nothing to do with each other."""
    style = Style(rng)
    lines = [rng.choice((_equation_check, _rewrite_check, _rewrite_check))(style) for _ in range(CHECKS_A_DOCUMENT)]
    return Document(style.opening + style.heading, "".join(lines), is_check=True)


class Running(Style):
    """A style whose answers tell whether all lines so far are right."""

    right = True

    def line(self, claim: str, holds: bool) -> str:
        self.right = self.right and holds
        return f"{claim}{self.mark}{HIDDEN}{RIGHT_SO_FAR if self.right else WRONG_BY_NOW}{self.separator}"


def chain_checks(rng: random.Random) -> Document:
    """An expression rewritten line by line, equations of its own in between."""
    style = Running(rng)
    before = tokens(_expression(rng))
    lines = [style.task.format(show(before)), *_chain(style, before)]
    return Document(style.opening + style.heading, "".join(lines), is_check=True)


def _chain(style: Style, before: list[Token]) -> list[str]:
    """Lines that lead from an expression to one number; an error is mostly gone on from, as its writer would."""
    rng = style.rng
    lines: list[str] = []
    with_equations = rng.random() < 0.7
    while len(before) > 1 and len(lines) < 2 * CHECKS_A_DOCUMENT and (places := reductions(before)):
        operation, result, after = reduce_at(before, rng.choice(places))
        if with_equations:
            claim = _near(rng, result) if rng.random() < 0.06 else result
            lines.append(style.line(f"{operation}{rng.choice(('=', ' is ', ': '))}{claim}", claim == result))
        claimed = _spoil(rng, after) if rng.random() < 0.2 else after
        found = _value_or_none(claimed)
        lines.append(style.line(style.lead() + show(claimed), found is not None and found == value(show(before))))
        before = claimed if found is not None and stays_small(claimed) and rng.random() < 0.9 else after
    if len(before) == 1 and rng.random() < 0.6:
        last = int(before[0])
        claim = _near(rng, last) if rng.random() < 0.1 else last
        lines.append(style.line(style.lead() + str(claim), claim == last))
    return lines


def digit_checks(rng: random.Random) -> Document:
    """Claims about a picture that have nothing to do with each other: a digit, or a formula with digits put in."""
    scans, truth, _ = digits.draw_problem(rng, "pretraining")
    style = Style(rng)
    lines = [rng.choice((_reading_check, _formula_check))(style, truth) for _ in range(CHECKS_A_DOCUMENT)]
    return Document(style.opening + PICTURE + style.heading, "".join(lines), scans, is_check=True)


def digit_chain_checks(rng: random.Random) -> Document:
    """What a picture shows, the formula with that put in, and on from there."""
    scans, truth, formula = digits.draw_problem(rng, "pretraining")
    style = Running(rng)
    read = {letter: _misread(rng, truth, letter) if rng.random() < 0.17 else digit for letter, digit in truth.items()}
    lines = [style.task_about(formula)] if rng.random() < 0.9 else []
    lines += [style.line(style.reading(letter, digit), digit == truth[letter]) for letter, digit in read.items()]
    right = tokens(digits.substitute(formula, read))
    claimed = _spoil(rng, right) if rng.random() < 0.15 else right
    found = _value_or_none(claimed)
    put_in = formula + style.arrow if not lines or rng.random() < 0.5 else style.lead()
    lines.append(style.line(put_in + show(claimed), found == value(show(right))))
    if found is not None and stays_small(claimed):
        lines += _chain(style, claimed)
    return Document(style.opening + PICTURE + style.heading, "".join(lines), scans, is_check=True)


def _misread(rng: random.Random, truth: dict[str, int], letter: str) -> int:
    """A digit that looks like the letter's, another letter's digit, or any."""
    alike = [digit for pair in LOOK_ALIKES if truth[letter] in pair for digit in pair if digit != truth[letter]]
    return rng.choice((*truth.values(), *alike, *alike, rng.randint(0, 9), rng.randint(0, 9)))


def _reading_check(style: Style, truth: dict[str, int]) -> str:
    letter = style.rng.choice(digits.LETTERS)
    claim = _misread(style.rng, truth, letter) if style.rng.random() < 0.5 else truth[letter]
    return style.line(style.reading(letter, claim), claim == truth[letter])


def _formula_check(style: Style, truth: dict[str, int]) -> str:
    rng = style.rng
    formula = digits.draw_formula(rng)
    right = tokens(digits.substitute(formula, truth))
    claimed = right
    if rng.random() < 0.5:
        wrong = {letter: rng.randint(0, 9) if rng.random() < 0.4 else digit for letter, digit in truth.items()}
        claimed = tokens(digits.substitute(formula, wrong)) if rng.random() < 0.6 else _spoil(rng, right)
    holds = _value_or_none(claimed) == value(show(right))
    return style.line(f"{formula}{style.arrow}{show(claimed)}", holds)


def _equation_check(style: Style) -> str:
    operation, result, _ = _worked(style.rng)
    claim = result if style.rng.random() < 0.5 else _near(style.rng, result)
    return style.line(f"{operation}{style.arrow}{claim}", claim == result)


def _rewrite_check(style: Style) -> str:
    """Whether one expression may be rewritten as another: the same value, after none or one operation."""
    before, after = _rewriting(style.rng)
    if style.rng.random() < 0.5:
        after = _spoil(style.rng, after)
    holds = value(show(before)) == _value_or_none(after)
    return style.line(f"{show(before)}{style.arrow}{style.lead()}{show(after)}", holds)


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
    """Another number of the kind a slip produces: off by a little or by ten, the sign, the digits' order, any."""
    while True:
        drift = rng.choice((-20, -10, -9, -8, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 20))
        swapped = int(str(abs(result))[::-1])
        anything = rng.randint(-MAX_VALUE, MAX_VALUE)
        wrong = rng.choice((result + drift, result + drift, -result, swapped, anything, rng.randint(0, 20)))
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
