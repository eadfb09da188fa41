"""One search for the first error of a wrong rollout, pure: which state to look at next, and what it decides.

The binary search of OmegaPRM (section 3.2): MC > 0 after a step, and the error is later; MC = 0, and it is there or
before. A state that is known costs no rollouts.
"""

from __future__ import annotations

from omegaprm.engine import evidence
from omegaprm.engine.nodes import FirstError, Node, Search, Tree, Want
from omegaprm.engine.records import Origin
from omegaprm.engine.stopping import num_missing


def go_on(tree: Tree, search: Search) -> None:
    """One decision of a search: look at a state, want rollouts for it, or end."""
    _raise_saved(tree, search)
    if search.is_over:
        _conclude(tree, search)
    else:
        _halve(tree, search)


def want(tree: Tree, origin: Origin | None, num: int) -> None:
    """Ask for rollouts of a state where the budget holds them, else stop the tree."""
    if tree.num_rollouts + num > tree.rule.rollout_budget:
        tree.reason = "rollout budget"
    else:
        tree.want = Want(tree.num_estimates, origin, num)


def _raise_saved(tree: Tree, search: Search) -> None:
    """Take up above a step that was taken for wrong and that a rollout has saved since."""
    saved = [step for step in search.highs[1:] if _node(tree, search, step).is_right]
    if saved:
        search.low = max(saved)
        search.highs = [step for step in search.highs if step > search.low]


def _halve(tree: Tree, search: Search) -> None:
    step = _next_step(tree, search)
    node = _node(tree, search, step)
    missing = num_missing(tree.rule, node, "middle")
    if missing:
        want(tree, node.origin, missing)
        return
    if node.digest not in tree.node_of:
        evidence.keep(tree, node)
    if node.judged == 0:
        _end(tree, search)
    elif node.is_right:
        search.low = step
    else:
        search.highs.append(step)


def _next_step(tree: Tree, search: Search) -> int:
    """The middle; where rollouts are reused, first what is known: the last step saved, the first one wrong."""
    if tree.rule.reuse_rollouts:
        between = range(search.low + 1, search.high)
        for step in reversed(between):
            if _node(tree, search, step).is_right:
                return step
        for step in between:
            if search.candidate.digest(step) in tree.node_of:
                return step
    return search.middle


def _node(tree: Tree, search: Search, step: int) -> Node:
    """The state after a step of the rollout under search, as far as it is known."""
    digest = search.candidate.digest(step)
    origin = Origin(search.estimate, search.candidate.rollout, step)
    return tree.node(digest) or evidence.discovered(tree, digest, origin)


def _conclude(tree: Tree, search: Search) -> None:
    """Step high is the first error, once its MC = 0 is sure; the last step is wrong by the judge's word."""
    error = FirstError(search.estimate, search.candidate.rollout, search.high - 1)
    if search.high < search.candidate.num_steps:
        node = _node(tree, search, search.high)
        missing = num_missing(tree.rule, node, "end")
        if missing:
            want(tree, node.origin, missing)
            return
        node.errors += (error,)
    tree.errors.append(error)
    _end(tree, search)


def _end(tree: Tree, search: Search) -> None:
    """Count the visit. A search that met a state where nothing was judged ends here without a first error."""
    tree.nodes[search.node].visits += 1
    tree.num_searches += 1
    tree.search = None
