"""A policy and a judge that answer at once, so that what is measured is everything around them.

The same prompt, number and seed give the same completions. A problem's solutions have 4 to 7 steps of ten words;
a slip in any step makes the answer wrong, and a state behind a slip has MC = 0.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import zlib
from collections.abc import Awaitable, Callable

from omegaprm.engine.config import SearchRule
from omegaprm.engine.policy.base import Completion, Policy, Prompt
from omegaprm.engine.prompts import parse
from omegaprm.engine.records import Estimate, Problem, Rollout, Verdict
from omegaprm.engine.search import Search
from omegaprm.engine.seeds import derive_seed
from omegaprm.engine.store import Store
from omegaprm.engine.tree import Tree, apply, next_want

SLIP = "slip"
SLIP_RATE = 0.12
"""Chance of a step to go wrong: a root of 5 steps has MC near one half."""
NUM_WORDINGS = 64
"""Ways that one step is put; texts are made once, so that the policy itself costs next to nothing."""
MAX_STEPS = 7
MIN_STEPS = 4

RIGHT = Verdict("correct", "script")
WRONG = Verdict("incorrect", "script")


def _wording(position: int, number: int) -> str:
    words = ("so", "then", "hence", "thus", "now", "next", "since", "from")
    rng = random.Random(1000 * position + number)
    return f"step {position + 1}, wording {number}: " + " ".join(rng.choices(words, k=6))


_PLAIN = [[_wording(at, number) for number in range(NUM_WORDINGS)] for at in range(MAX_STEPS)]
_SLIPPED = [[f"{text} {SLIP}" for text in texts] for texts in _PLAIN]


async def at_once() -> None:
    await asyncio.sleep(0)


class ScriptedPolicy:
    """Completes states by script. pause runs before each answer."""

    def __init__(self, pause: Callable[[], Awaitable[None]] = at_once) -> None:
        self.pause = pause

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        await self.pause()
        rng = random.Random(seed)
        return [self._completion(prompt, rng) for _ in range(num)]

    async def close(self) -> None:
        pass

    def _completion(self, prompt: Prompt, rng: random.Random) -> Completion:
        num_steps = MIN_STEPS + zlib.crc32(prompt.problem.id.encode()) % (MAX_STEPS - MIN_STEPS + 1)
        own = []
        for at in range(len(prompt.prefix), num_steps - 1):
            texts = _SLIPPED if rng.random() < SLIP_RATE else _PLAIN
            own.append(texts[at][int(rng.random() * NUM_WORDINGS)])
        wrong = any(step.endswith(SLIP) for step in (*prompt.prefix, *own))
        answer = f"{int(rng.random() * 9)}.5" if wrong else prompt.problem.correct_answer
        text = "".join(f"<step>{step}</step>" for step in own) + f"<answer>{answer}</answer>"
        return Completion(text, 14 * len(own) + 2)


class ScriptedJudge:
    """Equal texts are right."""

    async def grade(self, problem: Problem, answer: str) -> Verdict:
        return RIGHT if answer == problem.correct_answer else WRONG

    async def close(self) -> None:
        pass


class HeldPolicy:
    """Never answers; full is set once so many requests wait."""

    def __init__(self, num_held: int) -> None:
        self.full = asyncio.Event()
        self._num_missing = num_held

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        self._num_missing -= 1
        if self._num_missing <= 0:
            self.full.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        pass


def problems(num: int) -> list[Problem]:
    return [Problem(id=f"bench-{at}", question=f"What is {at}?", correct_answer=str(at)) for at in range(num)]


def grown(problem: Problem, rule: SearchRule, num_rollouts: int) -> list[Estimate] | None:
    """The estimates of a tree that is still open with so many rollouts; None where it ends before."""
    policy, tree, estimates = ScriptedPolicy(), Tree.new(rule), list[Estimate]()
    while (want := next_want(tree)) is not None:
        if tree.num_rollouts >= num_rollouts:
            return estimates
        prefix: tuple[str, ...] = ()
        if want.origin is not None:
            source = estimates[want.origin.estimate]
            prefix = source.prefix + source.rollouts[want.origin.rollout].steps[: want.origin.num_steps]
        rng = random.Random(derive_seed(0, problem.id, want.number))
        prompt = Prompt(problem, prefix)
        rollouts = (_rollout(problem, policy._completion(prompt, rng)) for _ in range(want.num))
        estimates.append(Estimate(want.number, want.origin, prefix, 0, tuple(rollouts)))
        tree = apply(tree, estimates[-1])
    return None


def _rollout(problem: Problem, completion: Completion) -> Rollout:
    solution = parse(completion.text, "tags")
    assert solution is not None
    verdict = RIGHT if solution.answer == problem.correct_answer else WRONG
    return Rollout(solution.steps, verdict.outcome, verdict.rule, completion.num_tokens)


def open_trees(rule: SearchRule, num_rollouts: int, num: int) -> list[list[Estimate]]:
    """The estimates of so many trees, each still open with num_rollouts rollouts."""
    trees = (grown(problem, rule, num_rollouts) for problem in problems(10**6))
    return list(itertools.islice((tree for tree in trees if tree is not None), num))


def search(
    store: Store, rule: SearchRule, policy: Policy, on_estimate: Callable[[Estimate], None] = lambda estimate: None
) -> Search:
    """What the searches of a scripted run share."""
    return Search(
        policy=policy,
        judge=ScriptedJudge(),
        store=store,
        rule=rule,
        step_format="tags",
        run_seed=0,
        draining=asyncio.Event(),
        on_estimate=on_estimate,
    )
