"""Policies that outlive their engine: a request has a deadline, and a dead engine is replaced in place.

A completion is drawn from its prompt and seed alone, so a request that is sent again gives what the first
sending would have given, and an estimate is committed once: nothing is lost and nothing doubled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from omegaprm.engine import log
from omegaprm.engine.errors import EngineDied
from omegaprm.engine.load import PolicyLoad, policy_load
from omegaprm.engine.policy.base import Completion, Policy, ProblemFailed, Prompt
from omegaprm.engine.records import Problem

MAX_SENDS = 3
"""Times that a request is sent before its problem is given up."""
MAX_SILENCES = 8
"""Deadlines in a row that pass without a single answer before the engine itself is asked whether it lives."""
PROBE = Prompt(Problem(id="probe", question="What is 1 + 1?", correct_answer="2"))
"""What a living engine answers, whatever the problems are that it does not."""


class Deadline:
    """A Policy that gives each request so many seconds. ProblemFailed after MAX_SENDS sendings without an answer.

    Where MAX_SILENCES deadlines pass and no request at all is answered meanwhile, the engine is asked for one step of
    one completion of PROBE. One that does not answer that in time either is dead: EngineDied, now and ever after.
    """

    def __init__(self, policy: Policy, seconds: float) -> None:
        self._policy = policy
        self._seconds = seconds
        self._num_silences = 0
        self._probing = asyncio.Lock()
        self._is_dead = False

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        for _ in range(MAX_SENDS):
            try:
                async with asyncio.timeout(self._seconds) as scope:
                    completions = await self._policy.sample(prompt, num, seed)
            except TimeoutError:
                if not scope.expired():
                    raise
                await self._count_silence()
            else:
                self._num_silences = 0
                return completions
        raise ProblemFailed(f"the policy did not answer within {self._seconds:g} s, asked {MAX_SENDS} times")

    def policy_load(self) -> PolicyLoad:
        return policy_load(self._policy)

    async def _count_silence(self) -> None:
        """One probe at a time; whoever waited for another's takes its answer."""
        self._num_silences += 1
        if self._num_silences < MAX_SILENCES:
            return
        async with self._probing:
            if self._num_silences >= MAX_SILENCES and not self._is_dead:
                self._is_dead = not await self._answers_a_probe()
        if self._is_dead:
            raise EngineDied(
                f"the inference engine answered nothing: {MAX_SILENCES} requests in a row and a short one to see "
                f"whether it lives took over {self._seconds:g} s"
            )

    async def _answers_a_probe(self) -> bool:
        """Whether the engine answers in time, be it another request that it answers meanwhile."""
        ask = getattr(self._policy, "sample_step", self._policy.sample)
        try:
            async with asyncio.timeout(self._seconds):
                await ask(PROBE, 1, 0)
        except TimeoutError:
            return self._num_silences < MAX_SILENCES
        except ProblemFailed:
            pass  # A refusal is an answer.
        self._num_silences = 0
        return True

    async def close(self) -> None:
        await self._policy.close()


class Restarting:
    """A Policy that starts its engine anew when it has died, at most max_restarts times in a run.

    Requests that were under way are sent again to the new engine. EngineDied where no restart is left.
    """

    def __init__(self, start: Callable[[], Awaitable[Policy]], policy: Policy, max_restarts: int) -> None:
        self._start = start
        self._policy = policy
        self._num_left = max_restarts
        self._replacing = asyncio.Lock()

    @classmethod
    async def started(cls, start: Callable[[], Awaitable[Policy]], max_restarts: int) -> Restarting:
        return cls(start, await start(), max_restarts)

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        while True:
            policy = self._policy
            try:
                return await policy.sample(prompt, num, seed)
            except EngineDied as death:
                await self._replace(policy, death)

    def policy_load(self) -> PolicyLoad:
        return policy_load(self._policy)

    async def _replace(self, dead: Policy, death: EngineDied) -> None:
        """The first to find an engine dead starts the next one; the others wait for it."""
        async with self._replacing:
            if self._policy is not dead:
                return
            if not self._num_left:
                raise death
            self._num_left -= 1
            log.tell("restart", f"{death}; starting it again ({self._num_left} restarts left)")
            await dead.close()
            self._policy = await self._start()

    async def close(self) -> None:
        await self._policy.close()
