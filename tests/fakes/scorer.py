"""A scripted PRM: scores by a rule, and a record of what was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaprm.evaluator.scorer import Item


class ScriptedScorer:
    """Scores every step by rule(item, index of the step); asked holds every item, calls each call's size."""

    def __init__(self, rule: Callable[[Item, int], float] = lambda item, at: 0.5) -> None:
        self.rule = rule
        self.asked: list[Item] = []
        self.calls: list[int] = []

    def score_many(self, items: Sequence[Item]) -> list[list[float]]:
        self.asked.extend(items)
        self.calls.append(len(items))
        return [[self.rule(item, at) for at in range(len(item.steps))] for item in items]
