"""OmegaPRM written down slowly and plainly, on whole texts, to hold omegaprm.engine.tree against.

No digests, no bookkeeping: every search scores every incorrect rollout of every state again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Rollout
from tests.fakes.growing import Roll


@dataclass
class State:
    prefix: tuple[str, ...]
    rollouts: tuple[Rollout, ...]
    visits: int = 0

    @property
    def correct(self) -> int:
        return sum(rollout.outcome == "correct" for rollout in self.rollouts)

    @property
    def judged(self) -> int:
        return self.correct + sum(rollout.outcome == "incorrect" for rollout in self.rollouts)

    @property
    def mc(self) -> float:
        return self.correct / self.judged


class OutOfBudget(Exception):
    pass


class SlowOmegaPRM:
    """After run(): states in the order of their estimation, and (solution, index of its first error) found."""

    def __init__(self, rule: SearchRule, roll: Roll) -> None:
        self.rule = rule
        self.roll = roll
        self.states: list[State] = []
        self.selected: set[tuple[str, ...]] = set()
        self.first_errors: list[tuple[tuple[str, ...], int]] = []

    def run(self) -> None:
        root = self.estimate(())
        if root.judged == 0 or root.correct in (0, root.judged):
            return
        try:
            for _ in range(self.rule.max_searches):
                choice = self.choose()
                if choice is None:
                    return
                state, solution = choice
                self.selected.add(solution)
                self.locate(state, solution)
                state.visits += 1
        except OutOfBudget:
            pass

    def estimate(self, prefix: tuple[str, ...]) -> State:
        for state in self.states:
            if state.prefix == prefix:
                return state
        if (len(self.states) + 1) * self.rule.num_rollouts > self.rule.rollout_budget:
            raise OutOfBudget
        self.states.append(State(prefix, self.roll(prefix, len(self.states))))
        return self.states[-1]

    def choose(self) -> tuple[State, tuple[str, ...]] | None:
        total = sum(state.visits for state in self.states)
        best: tuple[float, State, tuple[str, ...]] | None = None
        owned: set[tuple[str, ...]] = set()
        for state in self.states:
            for rollout in state.rollouts if state.correct else ():
                solution = state.prefix + rollout.steps
                if rollout.outcome != "incorrect" or solution in owned:
                    continue
                owned.add(solution)
                if solution in self.selected:
                    continue
                words = len(" ".join(rollout.steps).split())
                q = self.rule.alpha ** (1 - state.mc) * self.rule.beta ** (words / self.rule.length_scale)
                u = self.rule.c_puct * math.sqrt(total) / (1 + state.visits)
                if best is None or q + u > best[0]:
                    best = (q + u, state, solution)
        return None if best is None else best[1:]

    def locate(self, start: State, solution: tuple[str, ...]) -> None:
        right, wrong = len(start.prefix), len(solution)
        while wrong - right > 1:
            middle = right + (wrong - right) // 2
            state = self.estimate(solution[:middle])
            if state.judged == 0:
                return
            if state.correct:
                right = middle
            else:
                wrong = middle
        self.first_errors.append((solution, wrong - 1))
