"""A silent engine is told from silent problems by asking it something else."""

from __future__ import annotations

import asyncio

import pytest

from omegaprm.engine.errors import EngineDied
from omegaprm.engine.policy.base import Completion, ProblemFailed, Prompt
from omegaprm.engine.policy.enduring import MAX_SENDS, PROBE, Deadline
from omegaprm.engine.records import Problem


class Silent:
    """Answers the problems named, and counts what each is asked."""

    def __init__(self, *answered: str) -> None:
        self.answered = answered
        self.asked: dict[str, int] = {}

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        name = prompt.problem.id
        self.asked[name] = self.asked.get(name, 0) + 1
        if name not in self.answered:
            await asyncio.Event().wait()
        return [Completion("", 0)] * num

    async def close(self) -> None:
        pass


def asking(policy: Deadline, count: int) -> list[asyncio.Task[list[Completion]]]:
    prompts = [Prompt(Problem(id=f"p{at}", question="?", correct_answer="1")) for at in range(count)]
    return [asyncio.create_task(policy.sample(prompt, 1, 0)) for prompt in prompts]


@pytest.mark.parametrize("count", [1, 3, 40])
async def test_a_living_engine_gives_silent_problems_up_alone(count: int):
    engine = Silent(PROBE.problem.id)
    ended = await asyncio.gather(*asking(Deadline(engine, 0.02), count), return_exceptions=True)
    assert {type(one) for one in ended} == {ProblemFailed}
    assert all(engine.asked[f"p{at}"] == MAX_SENDS for at in range(count))


async def test_an_engine_that_does_not_answer_the_probe_either_is_dead_after_one():
    engine = Silent()
    ended = await asyncio.gather(*asking(Deadline(engine, 0.02), 40), return_exceptions=True)
    assert EngineDied in {type(one) for one in ended}
    assert engine.asked[PROBE.problem.id] == 1


async def test_what_is_answered_while_the_probe_waits_shows_an_engine_alive():
    probed = asyncio.Event()

    class Busy(Silent):
        async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
            if prompt is PROBE:
                probed.set()
            return await super().sample(prompt, num, seed)

    engine = Busy("answered")
    policy = Deadline(engine, 0.5)
    silent = asking(policy, 8)
    await probed.wait()
    await policy.sample(Prompt(Problem(id="answered", question="?", correct_answer="1")), 1, 0)
    await asyncio.gather(*silent, return_exceptions=True)
    assert engine.asked[PROBE.problem.id] == 2, "the first probe that was not answered ended nothing"
