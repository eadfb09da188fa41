"""A scripted policy: instant, deterministic, with slips at a known rate and odd completions now and then."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Awaitable, Callable

from engine.policy.base import Completion, Prompt

SLIP = "slip"


async def at_once() -> None:
    await asyncio.sleep(0)


class ScriptedPolicy:
    """Writes solutions of 3 to 6 steps; one that holds a slip, its own or the prefix's, ends in a wrong answer.

    The same prompt, number and seed give the same completions. pause runs before each answer.
    """

    def __init__(
        self,
        slip_rate: float = 0.15,
        odd_rate: float = 0.02,
        pause: Callable[[], Awaitable[None]] = at_once,
        max_words: int = 3,
    ) -> None:
        self.slip_rate = slip_rate
        self.odd_rate = odd_rate
        self.pause = pause
        self.max_words = max_words
        self.num_requests = 0

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        self.num_requests += 1
        await self.pause()
        return [self.completion(prompt, random.Random(seed + at)) for at in range(num)]

    async def close(self) -> None:
        pass

    def completion(self, prompt: Prompt, rng: random.Random) -> Completion:
        if rng.random() < self.odd_rate:
            return Completion("no tags at all", 3, truncated=rng.random() < 0.5)
        num_steps = 3 + zlib.crc32(prompt.problem.id.encode()) % 4
        own = [self.step(at, rng) for at in range(len(prompt.prefix) + 1, num_steps)]
        wrong = any(SLIP in step for step in (*prompt.prefix, *own))
        answer = f"{prompt.problem.correct_answer}.{rng.randint(1, 5)}" if wrong else prompt.problem.correct_answer
        text = "".join(f"<step>{step}</step>" for step in own) + f"<answer>{answer}</answer>"
        return Completion(text, 4 * len(own) + 2)

    def step(self, at: int, rng: random.Random) -> str:
        words = " ".join(rng.choices(("so", "then", "hence"), k=rng.randint(1, self.max_words)))
        return f"{at} {words}" + (f" {SLIP}" if rng.random() < self.slip_rate else "")
