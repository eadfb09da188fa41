"""OmegaPRM's decisions for one problem, pure: what to estimate next, and what an estimate changes.

    tree = Tree.new(rule)
    while (want := next_want(tree)) is not None:
        tree = apply(tree, <the estimate that want asks for>)

apply is the only way a tree changes, it needs no clock, no randomness and no files, so folding it over the
stored estimates of a problem gives the very tree that a live run had. It works in place: use what it returns.

The search (OmegaPRM, arXiv 2406.06592, section 3.3): select the (state, incorrect rollout) with the highest
Q + U, find the rollout's first error by binary search, count the visit, repeat. A rollout is selected once,
ever; rollouts and states with the same text are one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, NamedTuple

from engine.config import SearchRule
from engine.records import Estimate, Origin, Rollout

Reason = Literal[
    "too hard", "too easy", "nothing judged", "max searches", "rollout budget", "no incorrect rollout left"
]
"""Why a tree stopped growing; "too hard" and "too easy" are MC(root) = 0 and 1."""

ROOT_DIGEST = b""
DIGEST_BYTES = 8


class Want(NamedTuple):
    """The next estimate: its number, and where its prefix is cut from; the root has no origin."""

    number: int
    origin: Origin | None


class Candidate(NamedTuple):
    """An incorrect rollout not selected yet; digests[i] stands for the state after its step i + 1."""

    num_words: int
    rollout: int
    digests: tuple[bytes, ...]


class FirstError(NamedTuple):
    """A finished search: in this rollout of this estimate, step index (counted without the prefix) is wrong
    and every step before it is right."""

    estimate: int
    rollout: int
    step: int


@dataclass(slots=True)
class Node:
    """One estimated state. candidates are in the order of selection, the best last."""

    correct: int
    judged: int
    digest: bytes
    candidates: list[Candidate]
    visits: int = 0

    @property
    def value(self) -> float:
        """MC(s); only asked where something was judged."""
        return self.correct / self.judged


@dataclass(slots=True)
class Search:
    """A binary search under way: step low of the rollout is known right (0: none), step high known wrong."""

    estimate: int
    candidate: Candidate
    low: int
    high: int

    @property
    def middle(self) -> int:
        return (self.low + self.high) // 2

    @property
    def is_over(self) -> bool:
        return self.high - self.low <= 1


@dataclass(slots=True)
class Tree:
    """All that the next decision needs; texts stay in the store. nodes are in the order of estimates."""

    rule: SearchRule
    nodes: list[Node] = field(default_factory=list)
    node_of: dict[bytes, int] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    errors: list[FirstError] = field(default_factory=list)
    search: Search | None = None
    num_searches: int = 0
    num_rollouts: int = 0
    want: Want | None = field(default_factory=lambda: Want(0, None))
    reason: Reason | None = None

    @classmethod
    def new(cls, rule: SearchRule) -> Tree:
        return cls(rule)


def next_want(tree: Tree) -> Want | None:
    """What to estimate next; None when the tree is done, tree.reason then says why."""
    return tree.want


def apply(tree: Tree, estimate: Estimate) -> Tree:
    """The tree after an estimate; ValueError where it is not the one the tree wants."""
    if tree.want is None or (estimate.number, estimate.origin) != tree.want:
        raise ValueError(f"estimate {estimate.number} from {estimate.origin}: the tree wants {tree.want}")
    _add_node(tree, estimate)
    _decide(tree)
    return tree


def replay(rule: SearchRule, estimates: Iterable[Estimate]) -> Tree:
    """The tree that grew by these estimates, in the order of their numbers."""
    tree = Tree.new(rule)
    for estimate in estimates:
        tree = apply(tree, estimate)
    return tree


def state_digests(start: bytes, steps: Sequence[str]) -> tuple[bytes, ...]:
    """A digest for the state after each step, chained from the digest of the state they start in."""
    digests = []
    for step in steps:
        start = blake2b(start + b"\0" + step.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()
        digests.append(start)
    return tuple(digests)


def _add_node(tree: Tree, estimate: Estimate) -> None:
    counts = estimate.counts
    digest = state_digests(ROOT_DIGEST, estimate.prefix)[-1] if estimate.prefix else ROOT_DIGEST
    tree.node_of[digest] = estimate.number
    tree.num_rollouts += counts.total
    node = Node(counts.correct, counts.judged, digest, [])
    if node.correct or (estimate.number == 0 and tree.rule.search_extreme_roots):
        node.candidates = _candidates(tree, digest, estimate.rollouts)
    tree.nodes.append(node)


def _candidates(tree: Tree, start: bytes, rollouts: Sequence[Rollout]) -> list[Candidate]:
    """The incorrect rollouts whose text is new to the tree. Of one state, the shorter has the higher Q."""
    found = []
    for index, rollout in enumerate(rollouts):
        if rollout.outcome != "incorrect":
            continue
        digests = state_digests(start, rollout.steps)
        if digests[-1] not in tree.seen:
            tree.seen.add(digests[-1])
            found.append(Candidate(sum(len(step.split()) for step in rollout.steps), index, digests))
    prefers_short = tree.rule.beta <= 1
    return sorted(found, key=lambda c: (-c.num_words if prefers_short else c.num_words, -c.rollout))


def _decide(tree: Tree) -> None:
    """Go on until an estimate is wanted or the tree is done; states already estimated cost nothing."""
    tree.want = None
    tree.reason = _root_reason(tree)
    while tree.reason is None and tree.want is None:
        if tree.search is None:
            tree.reason = _stop_reason(tree) or _select(tree)
        elif tree.search.is_over:
            _finish(tree, tree.search)
        else:
            _halve(tree, tree.search)


def _root_reason(tree: Tree) -> Reason | None:
    root = tree.nodes[0]
    if root.judged == 0:
        return "nothing judged"
    if root.correct == root.judged:
        return "too easy"
    if root.correct == 0 and not tree.rule.search_extreme_roots:
        return "too hard"
    return None


def _stop_reason(tree: Tree) -> Reason | None:
    return "max searches" if tree.num_searches >= tree.rule.max_searches else None


def _select(tree: Tree) -> Reason | None:
    """Begin a search on the (state, rollout) with the highest Q + U; the earliest estimate wins a tie."""
    best = max(
        (number for number, node in enumerate(tree.nodes) if node.candidates),
        key=lambda number: (score(tree, number), -number),
        default=None,
    )
    if best is None:
        return "no incorrect rollout left"
    candidate = tree.nodes[best].candidates.pop()
    tree.search = Search(best, candidate, 0, len(candidate.digests))
    return None


def score(tree: Tree, number: int) -> float:
    """Q + U of a state with its best remaining rollout (section 3.3, "tree structure" and "selection")."""
    node, rule = tree.nodes[number], tree.rule
    quality: float = rule.alpha ** (1 - node.value) * rule.beta ** (node.candidates[-1].num_words / rule.length_scale)
    exploration = rule.c_puct * math.sqrt(tree.num_searches) / (1 + node.visits)
    return quality + exploration


def _halve(tree: Tree, search: Search) -> None:
    """One cut of the binary search: use what is known of the middle state, or want it estimated."""
    known = tree.node_of.get(search.candidate.digests[search.middle - 1])
    if known is None:
        if tree.num_rollouts + tree.rule.num_rollouts > tree.rule.rollout_budget:
            tree.reason = "rollout budget"
        else:
            origin = Origin(search.estimate, search.candidate.rollout, search.middle)
            tree.want = Want(len(tree.nodes), origin)
    elif tree.nodes[known].judged == 0:
        _end(tree, search)
    elif tree.nodes[known].correct:
        search.low = search.middle
    else:
        search.high = search.middle


def _finish(tree: Tree, search: Search) -> None:
    tree.errors.append(FirstError(search.estimate, search.candidate.rollout, search.high - 1))
    _end(tree, search)


def _end(tree: Tree, search: Search) -> None:
    """Count the visit. A search that met a state where nothing was judged ends here without a first error."""
    tree.nodes[search.estimate].visits += 1
    tree.num_searches += 1
    tree.search = None
