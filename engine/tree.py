"""OmegaPRM's decisions for one problem, pure: what to estimate next, and what an estimate changes.

    tree = Tree.new(rule)
    while (want := next_want(tree)) is not None:
        tree = apply(tree, <the estimate that want asks for>)

apply is the only way a tree changes, it needs no clock, no randomness and no files, so folding it over the
stored estimates of a problem gives the very tree that a live run had. It works in place: use what it returns.

The search (OmegaPRM, arXiv 2406.06592, section 3.3): select the (state, incorrect rollout) with the highest
Q + U, find the rollout's first error by binary search, count the visit, repeat. A rollout is selected once,
ever; rollouts and states with the same text are one. An estimate of a state that has one already adds to it:
omegaprm.engine.stopping says when a state is asked for more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from omegaprm.engine import bisection, evidence
from omegaprm.engine.config import SearchRule
from omegaprm.engine.nodes import (
    DIGEST_BYTES,
    ROOT_DIGEST,
    Candidate,
    FirstError,
    Node,
    Reason,
    Search,
    Tree,
    Want,
    state_digests,
)
from omegaprm.engine.records import Estimate
from omegaprm.engine.stopping import num_spare

__all__ = [
    "DIGEST_BYTES",
    "ROOT_DIGEST",
    "Candidate",
    "FirstError",
    "Node",
    "Reason",
    "Search",
    "Tree",
    "Want",
    "apply",
    "next_want",
    "replay",
    "score",
    "state_digests",
]


def next_want(tree: Tree) -> Want | None:
    """What to estimate next; None when the tree is done, tree.reason then says why."""
    return tree.want


def apply(tree: Tree, estimate: Estimate) -> Tree:
    """The tree after an estimate; ValueError where it is not the one the tree wants."""
    if tree.want is None or (estimate.number, estimate.origin) != (tree.want.number, tree.want.origin):
        raise ValueError(f"estimate {estimate.number} from {estimate.origin}: the tree wants {tree.want}")
    evidence.add(tree, estimate, tree.want.num)
    _decide(tree)
    return tree


def replay(rule: SearchRule, estimates: Iterable[Estimate]) -> Tree:
    """The tree that grew by these estimates, in the order of their numbers."""
    tree = Tree.new(rule)
    for estimate in estimates:
        tree = apply(tree, estimate)
    return tree


def _decide(tree: Tree) -> None:
    """Go on until an estimate is wanted or the tree is done; states already estimated cost nothing."""
    tree.want = None
    tree.reason = None
    _look_at_root(tree)
    while tree.reason is None and tree.want is None:
        if tree.search is not None:
            bisection.go_on(tree, tree.search)
        elif tree.num_searches >= tree.rule.max_searches:
            tree.reason = "max searches"
        else:
            _select(tree)
        if tree.watch is not None:
            tree.watch(tree)


def _look_at_root(tree: Tree) -> None:
    """Stop where MC(root) is 0 or 1."""
    root = tree.nodes[0]
    if root.judged == 0:
        tree.reason = "nothing judged"
    elif root.correct == root.judged:
        tree.reason = "too easy"
    elif root.correct == 0 and not tree.rule.search_extreme_roots:
        tree.reason = "too hard"


def _select(tree: Tree) -> None:
    """Begin a search on the (state, rollout) with the highest Q + U; the earliest state wins a tie."""
    best = max(
        (number for number, node in enumerate(tree.nodes) if node.candidates),
        key=lambda number: (score(tree, number), -number),
        default=None,
    )
    if best is None:
        _want_candidates(tree)
        return
    candidate = tree.nodes[best].candidates.pop()
    tree.search = Search(best, candidate, 0, [candidate.num_steps])


def _want_candidates(tree: Tree) -> None:
    """With nothing left to search, want what the earliest state that the answer was reached from was spared."""
    for node in tree.nodes:
        spare = num_spare(tree.rule, node)
        if spare and node.correct:
            bisection.want(tree, node.origin, spare)
            return
    tree.reason = "no incorrect rollout left"


def score(tree: Tree, number: int) -> float:
    """Q + U of a state with its best remaining rollout (section 3.3, "tree structure" and "selection")."""
    node, rule = tree.nodes[number], tree.rule
    quality: float = rule.alpha ** (1 - node.value) * rule.beta ** (node.candidates[-1].num_words / rule.length_scale)
    exploration = rule.c_puct * math.sqrt(tree.num_searches) / (1 + node.visits)
    return quality + exploration
