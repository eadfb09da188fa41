"""Which estimates may come after the one that is wanted, pure: the two ways a step of a binary search can go.

A search that ends chooses its next rollout among ones not sampled yet, so nothing is foreseen beyond a search. Where
the tree goes another way than foreseen, nothing was decided by it.
"""

from __future__ import annotations

from omegaprm.engine.nodes import Search, Tree, Want
from omegaprm.engine.records import Origin
from omegaprm.engine.stopping import next_part


def next_wants(tree: Tree) -> list[Want]:
    """At most two: where MC is above 0 in the state that is wanted now, and where it is 0."""
    search, want = tree.search, tree.want
    if search is None or want is None or tree.rule.reuse_rollouts:
        return []
    num = next_part(tree.rule, 0)
    if tree.num_rollouts + want.num + num > tree.rule.rollout_budget:
        return []
    steps = dict.fromkeys(step for low, high in _halves(search) if (step := _middle(tree, search, low, high)))
    rollout = search.candidate.rollout
    return [Want(want.number + 1, Origin(search.estimate, rollout, step), num) for step in steps]


def _halves(search: Search) -> list[tuple[int, int]]:
    """Where the search goes on: behind the state that is wanted and before it; at its end, behind it alone."""
    if search.is_over:
        return [(search.high, before) for before in search.highs[-2:-1]]
    return [(search.middle, search.high), (search.low, search.middle)]


def _middle(tree: Tree, search: Search, low: int, high: int) -> int | None:
    """The first step between a right and a wrong one that takes rollouts; states that are known take none."""
    while high - low > 1:
        middle = (low + high) // 2
        node = tree.node(search.candidate.digest(middle))
        if node is None:
            return middle
        if not node.judged:
            return None
        low, high = (middle, high) if node.is_right else (low, middle)
    return None
