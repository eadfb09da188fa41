"""A scripted policy: instant, deterministic, with slips at a known rate and odd completions now and then."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from omegaprm.engine.errors import EngineDied
from omegaprm.engine.policy.base import Completion, Prompt

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


class StumblingPolicy(ScriptedPolicy):
    """A ScriptedPolicy that leaves its form at most prefixes, as a model does that cannot continue its own reply."""

    def __init__(self, rate: float = 0.7, text: str = "Sure! Here is the solution.") -> None:
        super().__init__()
        self.rate = rate
        self.text = text

    def completion(self, prompt: Prompt, rng: random.Random) -> Completion:
        if prompt.prefix and rng.random() < self.rate:
            return Completion(self.text, 6)
        return super().completion(prompt, rng)


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with a policy."""

    pause: float = 0.0
    """Seconds that each request takes."""
    jitter: float = 0.0
    """Seconds that a request may take besides, at random: answers come in any order."""
    silent: tuple[str, ...] = ()
    """Ids of problems that are never answered; "*" for all."""
    lives: int = 0
    """The first engines die after this many requests; 0: none dies."""
    deaths: int = 1
    """How many engines of this process die so."""
    stall: float = 0.0
    """Seconds for which one request holds up the event loop."""
    child: str = ""
    """File for the id of a process that the policy starts and leaves running."""
    bombs: bool = False
    """Every wrong answer is one that a careless judge chokes on."""


BOMBS = (
    "7" * 1_000_000,
    "x" * 1_000_000,
    "(" * 500_000 + ")" * 500_000,
    "\\frac{1}{" * 3_000 + "2" + "}" * 3_000,
    "{" * 50_000,
    "9**9**9",
    "9^{9^{9}}",
    "(10^9)!",
    "1+" * 200_000 + "1",
    "\ud800 half a character",
    "\0\u202e\u2067",
)


class TroubledPolicy(ScriptedPolicy):
    """A ScriptedPolicy with trouble; what it does answer is what the other would."""

    num_dead = 0
    """Engines of this process that have died so far."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(pause=self._pause)
        self.trouble = trouble
        self._stalls = trouble.stall > 0
        if trouble.child:
            child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            Path(trouble.child).write_text(str(child.pid))

    async def _pause(self) -> None:
        await asyncio.sleep(self.trouble.pause + random.random() * self.trouble.jitter)

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        if self.trouble.silent == ("*",) or prompt.problem.id in self.trouble.silent:
            await asyncio.Event().wait()
        if self._stalls and self.num_requests > 20:
            self._stalls = False
            hold_up_the_loop(self.trouble.stall)
        if self.trouble.lives and self.num_requests >= self.trouble.lives and self._dies():
            raise EngineDied("the scripted engine died")
        return await super().sample(prompt, num, seed)

    def _dies(self) -> bool:
        """Whether this engine is one of those that die; dead, it stays dead."""
        if not hasattr(self, "_dead") and TroubledPolicy.num_dead < self.trouble.deaths:
            TroubledPolicy.num_dead += 1
            self._dead = True
        return hasattr(self, "_dead")

    def completion(self, prompt: Prompt, rng: random.Random) -> Completion:
        found = super().completion(prompt, rng)
        reference = f"<answer>{prompt.problem.correct_answer}</answer>"
        if not self.trouble.bombs or "<answer>" not in found.text or reference in found.text:
            return found
        bomb = BOMBS[rng.randrange(len(BOMBS))]
        return Completion(found.text.partition("<answer>")[0] + f"<answer>{bomb}</answer>", found.num_tokens)


def hold_up_the_loop(seconds: float) -> None:
    time.sleep(seconds)
