"""Rollouts of the bundled policy by state, drawn once and kept in a file: every reader is given the same ones.

Two search rules that ask for the same state then differ by what they do with its rollouts, not by luck, and a
measurement that was cut draws nothing twice.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

from omegaprm.engine.errors import Drained
from omegaprm.engine.policy.base import Completion, Policy, Prompt
from omegaprm.engine.seeds import derive_seed

BLOCK = 8
"""Rollouts are drawn by so many at once; block b of a state has a seed of its own."""

State = tuple[str, tuple[str, ...]]
"""Problem id and prefix."""


class Pool:
    """The file of rollouts, and the policy that adds to it until draining is set; Drained then."""

    def __init__(self, file: Path, policy: Policy, draining: asyncio.Event) -> None:
        self._draining = draining
        self._file = file
        self._policy = policy
        self._drawn: dict[State, list[Completion]] = {}
        self._locks: dict[State, asyncio.Lock] = {}
        for line in file.read_text().splitlines() if file.exists() else ():
            self._take(line)

    def _take(self, line: str) -> None:
        """A line that a cut run left half written is the last one and stands for nothing."""
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            return
        drawn = self._drawn.setdefault((row["id"], tuple(row["prefix"])), [])
        drawn += [Completion(*completion) for completion in row["completions"]]

    async def first(self, prompt: Prompt, num: int) -> list[Completion]:
        """The first num rollouts of a state."""
        state = (prompt.problem.id, prompt.prefix)
        async with self._locks.setdefault(state, asyncio.Lock()):
            while len(self._drawn.get(state, ())) < num:
                await self._draw(state, prompt)
        return self._drawn[state][:num]

    async def _draw(self, state: State, prompt: Prompt) -> None:
        if self._draining.is_set():
            raise Drained("stopped on a signal with everything saved; run the same command again")
        drawn = self._drawn.setdefault(state, [])
        seed = derive_seed(0, f"{state[0]}\0{state[1]}", len(drawn) // BLOCK)
        completions = await self._policy.sample(prompt, BLOCK, seed)
        drawn += completions
        kept = [[one.text, one.num_tokens, one.truncated] for one in completions]
        with self._file.open("a") as file:
            file.write(json.dumps({"id": state[0], "prefix": state[1], "completions": kept}) + "\n")


class PooledPolicy:
    """A Policy that gives the rollouts of a pool, each once: later requests of a state get the next ones.

    Seeds are the pool's own.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._given: Counter[State] = Counter()

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        state = (prompt.problem.id, prompt.prefix)
        begin = self._given[state]
        self._given[state] += num
        return (await self._pool.first(prompt, begin + num))[begin:]

    async def close(self) -> None:
        """The pool's policy stays open."""
