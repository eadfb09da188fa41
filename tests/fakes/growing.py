"""Grow a tree in memory from a scripted policy: the loop of omegaprm.engine.search without store and engine."""

from __future__ import annotations

import random
from typing import Protocol

from omegaprm.engine.config import SearchRule
from omegaprm.engine.policy.base import Prompt
from omegaprm.engine.prompts import parse
from omegaprm.engine.records import Estimate, Origin, Problem, Rollout
from omegaprm.engine.seeds import derive_seed
from omegaprm.engine.tree import Tree, apply, next_want
from tests.fakes.policy import ScriptedPolicy


class Roll(Protocol):
    """Rollouts from a prefix for the estimate of a number; as many as usual unless num says otherwise."""

    def __call__(self, prefix: tuple[str, ...], number: int, num: int | None = None) -> tuple[Rollout, ...]: ...


def recorded_rollouts(problem: Problem, policy: ScriptedPolicy, usual: int) -> Roll:
    """Rollouts that are always the same ones."""

    def roll(prefix: tuple[str, ...], number: int, num: int | None = None) -> tuple[Rollout, ...]:
        seed = derive_seed(0, problem.id, number)
        num = usual if num is None else num
        completions = [policy.completion(Prompt(problem, prefix), random.Random(seed + at)) for at in range(num)]
        return tuple(rollout(problem, completion.text, completion.truncated) for completion in completions)

    return roll


def rollout(problem: Problem, text: str, truncated: bool = False) -> Rollout:
    solution = parse(text, "tags")
    if truncated or solution is None:
        return Rollout((), "truncated" if truncated else "unparsed", text=text)
    outcome = "correct" if solution.answer == problem.correct_answer else "incorrect"
    return Rollout(solution.steps, outcome, "exact")


def grow(rule: SearchRule, roll: Roll) -> tuple[Tree, list[Estimate]]:
    """The finished tree and its estimates in order."""
    tree = Tree.new(rule)
    estimates: list[Estimate] = []
    while (want := next_want(tree)) is not None:
        prefix = prefix_of(estimates, want.origin)
        estimates.append(Estimate(want.number, want.origin, prefix, 0, roll(prefix, want.number, want.num)))
        tree = apply(tree, estimates[-1])
    return tree, estimates


def prefix_of(estimates: list[Estimate], origin: Origin | None) -> tuple[str, ...]:
    if origin is None:
        return ()
    source = estimates[origin.estimate]
    return source.prefix + source.rollouts[origin.rollout].steps[: origin.num_steps]
