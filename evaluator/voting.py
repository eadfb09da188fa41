"""Votes over final answers: the heaviest answer wins, and tied answers share the win evenly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NUM_ORDERS = 16
"""Random orders behind a vote curve, each used in its rotations, so that N = 1 and N = n are exact."""

MAX_ROTATIONS = 64
"""Rotations an order at the most; above that many candidates N = 1 is an average too."""

ELEMENTS_AT_ONCE = 1 << 22
"""Bounds the memory of a curve: orders x candidates x answers."""

TIE = 1e-9
"""Relative difference below which two answers weigh the same."""

_BOXED = re.compile(r"\\boxed\{(.*)\}", re.DOTALL)
_LEAD = re.compile(r"^(?:the )?(?:final )?answer(?: is|:)\s*", re.IGNORECASE)


def normalise(answer: str) -> str:
    """An answer as it is counted: case, spaces, $, \\boxed, a closing full stop, 3.0 for 3 do not matter."""
    text = " ".join(answer.split())
    text = _LEAD.sub("", text).strip("$ ").rstrip(".").strip("$ ")
    boxed = _BOXED.fullmatch(text)
    text = (boxed[1] if boxed else text).strip().casefold()
    return _number(text.replace(",", "")) or text


def _number(text: str) -> str | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if not value.is_finite() or abs(value.adjusted()) > 30:
        return None
    return format(value.normalize() + 0, "f")


def numbered(answers: Sequence[str]) -> Ints:
    """Answers as numbers 0, 1, ... in the order of their normal forms; -1 for no answer. Shape (n,)."""
    normal = [normalise(answer) for answer in answers]
    order = {text: at for at, text in enumerate(sorted({text for text in normal if text}))}
    return np.array([order.get(text, -1) for text in normal], dtype=np.int64)


def vote_curve(answers: Ints, weights: Floats, labels: Floats, seed: int) -> Floats:
    """Expected label of the winner among random N of the n candidates, for N = 1..n; shape (n,).

    answers as numbered() gives them; weights at least 0. An answer's label is the mean label of its holders.
    Having no answer wins only where nobody has one. Between N = 1 and N = n this is an average over
    random orders.
    """
    canonical = np.lexsort((labels, weights, answers))
    answers, weights, labels = answers[canonical], weights[canonical], labels[canonical]
    held = answers[:, None] == np.arange(-1, answers.max() + 1)[None, :]
    worth = held * np.where(answers < 0, 0.0, weights + np.finfo(float).tiny)[:, None]
    means = (held * labels[:, None]).sum(0) / np.maximum(held.sum(0), 1)
    orders = _rotated_orders(len(answers), seed)
    at_once = max(1, ELEMENTS_AT_ONCE // worth.size)
    chunks = [orders[at : at + at_once] for at in range(0, len(orders), at_once)]
    curve: Floats = np.concatenate([_winners(chunk, held, worth, means) for chunk in chunks]).mean(0)
    return curve


def _rotated_orders(num: int, seed: int) -> Ints:
    """Orders of n candidates, shape (many, n), each candidate equally often at each place."""
    generator = np.random.default_rng(seed)
    orders = np.stack([generator.permutation(num) for _ in range(NUM_ORDERS)])
    starts = np.arange(0, num, -(-num // MAX_ROTATIONS))
    places = (starts[:, None] + np.arange(num)[None, :]) % num
    rotated: Ints = orders[:, places].reshape(-1, num)
    return rotated


def _winners(orders: Ints, held: npt.NDArray[np.bool_], worth: Floats, means: Floats) -> Floats:
    """Mean label of the winner among the first N of every order, shape (orders, N)."""
    present = held[orders].cumsum(1) > 0
    return _winners_mean(np.where(present, worth[orders].cumsum(1), -1.0), means)


def _winners_mean(totals: Floats, means: Floats) -> Floats:
    """Mean label of the heaviest answers: totals (orders, N, answers), means (answers,) -> (orders, N)."""
    best = totals.max(-1, keepdims=True)
    tied = totals >= best - TIE * np.maximum(best, 0.0)
    share: Floats = (tied * means).sum(-1) / tied.sum(-1)
    return share
