"""A scripted solver of sums that slips at known rates: trees of the right kind at once, without an engine.

It works one operation a step, goes on from its own slips without noticing, and now and then gets back to the right
value by luck. How often it slips depends on the problem, so that states have values all over (0, 1).
"""

from __future__ import annotations

import random
import re
import zlib

from examples.arithmetic import Token, reduce_at, reductions, show, tokens, value
from examples.working import REDUCTION_PHRASES, completion
from omegaprm.engine.policy.base import Completion, Prompt

SLIPS = (0.02, 0.05, 0.1, 0.2, 0.35)
"""Slips a step, one of these for each problem."""
LUCK = 0.02
"""Chance, at each step after a slip, of being back at the right value."""
_EXPRESSION = re.compile(r"[\d(\-][\d+\-*() ]*$")


class SlippingPolicy:
    """The same prompt, number and seed give the same completions."""

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        return [self.completion(prompt, random.Random(seed + at)) for at in range(num)]

    async def close(self) -> None:
        pass

    def completion(self, prompt: Prompt, rng: random.Random) -> Completion:
        asked = prompt.problem.question.removeprefix("What is ").rstrip("?")
        expression = _EXPRESSION.search(prompt.prefix[-1]) if prompt.prefix else None
        items = tokens(expression[0] if expression else asked)
        answer, rate = value(asked), SLIPS[zlib.crc32(prompt.problem.id.encode()) % len(SLIPS)]
        steps = []
        while len(items) > 1:
            operation, result, items = worked(items, rng, rate, answer)
            phrase = rng.choice(REDUCTION_PHRASES)
            steps.append(phrase.format(operation=operation, result=result, rest=show(items)))
        return Completion(completion([*steps, show(items)]), num_tokens=8 * len(steps) + 2)


def worked(items: list[Token], rng: random.Random, rate: float, answer: int) -> tuple[str, int, list[Token]]:
    """One operation, as it is, with a slip, or, after a slip, with luck."""
    at = rng.choice(reductions(items))
    operation, result, rest = reduce_at(items, at)
    if value(show(items)) != answer and rng.random() < LUCK:
        return operation, result, [answer]
    if rng.random() < rate:
        result += rng.choice((-2, -1, 1, 2))
        rest = tokens(show([*items[: at - 1], result, *items[at + 2 :]]))
    return operation, result, rest
