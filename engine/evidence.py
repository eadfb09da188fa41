"""What rollouts change in a tree, pure: the counts of the states they say something about, and new candidates.

A rollout counts for the state it was drawn from. With reuse_rollouts it counts, too, for every later state that it
passes through: from there on it is one more rollout of that state, drawn by the same policy from the same text. The
one exception is the rollout whose search led to a state: it was chosen for being wrong.
"""

from __future__ import annotations

from omegaprm.engine.nodes import ROOT_DIGEST, Candidate, Node, Search, Tree, incorrect_rollouts, state_digests
from omegaprm.engine.records import Estimate, Origin, Rollout
from omegaprm.engine.stopping import may_turn


def add(tree: Tree, estimate: Estimate, num_wanted: int) -> None:
    """Take in an estimate: into the node of its state, made where it is new, and the states its rollouts pass."""
    digest = state_digests(ROOT_DIGEST, estimate.prefix)[-1] if estimate.prefix else ROOT_DIGEST
    node = tree.node(digest)
    if node is None:
        node = discovered(tree, digest, estimate.origin)
        keep(tree, node)
    counts = estimate.counts
    tree.num_estimates += 1
    tree.num_rollouts += counts.total
    if counts.correct or _is_live(tree, node) or may_turn(tree.rule):
        node.pending += tuple(incorrect_rollouts(digest, estimate))
    gain(tree, node, counts.correct, counts.judged, num_wanted)
    if tree.rule.reuse_rollouts:
        for rollout in estimate.rollouts:
            _pass(tree, digest, rollout)


def discovered(tree: Tree, digest: bytes, origin: Origin | None) -> Node:
    """A state that is no node yet, with the rollouts known to pass it less the one under search."""
    correct, judged = tree.passing.get(digest, (0, 0))
    judged -= judged > 0
    return Node(digest, origin, correct, judged, num=judged)


def keep(tree: Tree, node: Node) -> None:
    """Make a discovered state a node. What counts as luck there follows from the latest state known right before it."""
    if tree.rule.error_below and tree.search is not None:
        node.luck = tree.rule.error_below * _before(tree, tree.search).value
    tree.passing.pop(node.digest, None)
    tree.node_of[node.digest] = len(tree.nodes)
    tree.nodes.append(node)


def _before(tree: Tree, search: Search) -> Node:
    """The state that a search last held for right: after its step low, or the one its rollout starts from."""
    known = tree.node(search.candidate.digest(search.low)) if search.low else None
    return known or tree.nodes[search.node]


def gain(tree: Tree, node: Node, correct: int, judged: int, num: int) -> None:
    """More rollouts for a node. The first right one makes candidates of its wrong ones, and takes back what
    rested on its MC being 0."""
    node.correct += correct
    node.judged += judged
    node.num += num
    if node.pending and _is_live(tree, node):
        _offer(tree, node)
    if node.is_right and node.errors:
        tree.errors = [error for error in tree.errors if error not in node.errors]
        node.errors = ()


def _is_live(tree: Tree, node: Node) -> bool:
    """Whether searches may begin at a node."""
    return node.is_right or (node.digest == ROOT_DIGEST and tree.rule.search_extreme_roots)


def _offer(tree: Tree, node: Node) -> None:
    """Make candidates of pending rollouts whose text is new to the tree. The shorter has the higher Q."""
    node.candidates += [candidate for candidate in node.pending if tree.is_new(candidate)]
    node.pending = ()
    prefers_short = tree.rule.beta <= 1

    def order(candidate: Candidate) -> tuple[int, int, int]:
        words = -candidate.num_words if prefers_short else candidate.num_words
        return words, -candidate.estimate, -candidate.rollout

    node.candidates.sort(key=order)


def _pass(tree: Tree, start: bytes, rollout: Rollout) -> None:
    """Count a judged rollout at the states it goes through; its last step is the answer and ends in no state."""
    if rollout.outcome not in ("correct", "incorrect"):
        return
    correct = int(rollout.outcome == "correct")
    for digest in state_digests(start, rollout.steps[:-1]):
        node = tree.node(digest)
        if node is not None:
            gain(tree, node, correct, 1, 1)
        else:
            before = tree.passing.get(digest, (0, 0))
            tree.passing[digest] = (before[0] + correct, before[1] + 1)
