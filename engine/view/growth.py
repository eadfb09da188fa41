"""How a tree grew: its states in order, every binary search, and each cut a search made. Pure.

The decisions are those of omegaprm.engine.tree, watched while its estimates are replayed; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Estimate, Origin
from omegaprm.engine.tree import ROOT_DIGEST, Search, Tree, apply, state_digests


class Cut(msgspec.Struct, frozen=True):
    """One look of a binary search: the state after step `step` of the rollout (counted from 1, without the prefix),
    its number, and whether the steps up to there can still be right; None: nothing was judged there."""

    step: int
    node: int
    right: bool | None


class Path(msgspec.Struct):
    """A binary search on a rollout that was selected at a node, and the cuts it made, in order.

    first_error counts the rollout's own steps from 1; None: none was found. is_withdrawn: a later rollout showed that
    step to be right after all.
    """

    node: int
    estimate: int
    rollout: int
    num_steps: int
    cuts: list[Cut]
    first_error: int | None = None
    is_over: bool = False
    is_withdrawn: bool = False


class State(msgspec.Struct):
    """A node: where it was cut from, the estimates of it, its MC as the search counts it, and after which estimate
    it was there (born). search is the path that asked for it."""

    number: int
    origin: Origin | None
    born: int
    estimates: list[int]
    correct: int = 0
    judged: int = 0
    visits: int = 0
    search: int | None = None


class Growth(msgspec.Struct):
    """A tree as it grew. state_of[t] is the number of the state that estimate t belongs to, search_of[t] the path
    that asked for it, number_of the state of a digest."""

    states: list[State]
    state_of: list[int]
    search_of: list[int | None]
    number_of: dict[bytes, int]
    paths: list[Path]

    def node_after(self, prefix: Sequence[str], steps: Sequence[str]) -> list[int | None]:
        """For each step, the number of the state after it, if it is a node."""
        start = (ROOT_DIGEST, *state_digests(ROOT_DIGEST, prefix))[-1]
        return [self.number_of.get(digest) for digest in state_digests(start, steps)]


def prefix_of(estimates: Sequence[Estimate], origin: Origin | None) -> tuple[str, ...]:
    """The steps of the state that an origin names."""
    if origin is None:
        return ()
    source = estimates[origin.estimate]
    return source.prefix + source.rollouts[origin.rollout].steps[: origin.num_steps]


def replayed(rule: SearchRule, estimates: Sequence[Estimate]) -> Growth:
    """Replay estimates in the order of their numbers. ValueError where they do not fit together."""
    watcher = _Watcher()
    tree = Tree.new(rule)
    tree.watch = watcher.look
    growth = Growth([], [], [], tree.node_of, watcher.paths)
    for at, estimate in enumerate(estimates):
        search = watcher.current
        tree = apply(tree, estimate)
        growth.states += [
            State(number, tree.nodes[number].origin, at, []) for number in range(len(growth.states), len(tree.nodes))
        ]
        _note(growth, estimate, search)
    for state, node in zip(growth.states, tree.nodes, strict=True):
        state.correct, state.judged, state.visits = node.correct, node.judged, node.visits
    _finish(growth, tree)
    return growth


def grouped(estimates: Sequence[Estimate]) -> Growth:
    """The states of estimates whose search rule is not known: no searches, MC from their own rollouts."""
    growth = Growth([], [], [], {}, [])
    for at, estimate in enumerate(estimates):
        digest = (ROOT_DIGEST, *state_digests(ROOT_DIGEST, estimate.prefix))[-1]
        if digest not in growth.number_of:
            growth.number_of[digest] = len(growth.states)
            growth.states.append(State(len(growth.states), estimate.origin, at, []))
        _note(growth, estimate, None)
        state = growth.states[growth.number_of[digest]]
        state.correct += estimate.counts.correct
        state.judged += estimate.counts.judged
    return growth


def _note(growth: Growth, estimate: Estimate, search: int | None) -> None:
    """An estimate belongs to its state, and was asked for by a search."""
    digest = (ROOT_DIGEST, *state_digests(ROOT_DIGEST, estimate.prefix))[-1]
    state = growth.states[growth.number_of[digest]]
    if not state.estimates:
        state.search = search
    state.estimates.append(len(growth.state_of))
    growth.state_of.append(state.number)
    growth.search_of.append(search)


def _finish(growth: Growth, tree: Tree) -> None:
    """What is known only at the end: errors taken back, and the searches of states that cost no rollouts."""
    kept = {(error.estimate, error.rollout) for error in tree.errors}
    for at, path in enumerate(growth.paths):
        path.is_withdrawn = path.first_error is not None and (path.estimate, path.rollout) not in kept
        for cut in path.cuts:
            state = growth.states[cut.node]
            if not state.estimates and state.search is None:
                state.search = at


class _Watcher:
    """Turns what a tree decides into paths; current is the index of the search under way."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.current: int | None = None
        self._search: Search | None = None
        self._low, self._highs = 0, [0]

    def look(self, tree: Tree) -> None:
        if self._search is not None:
            self._cut(tree, self._search)
            if tree.search is not self._search:
                self._close(tree, self._search)
        if tree.search is not None and tree.search is not self._search:
            self._open(tree.search)
        self._search = tree.search
        self.current = None if tree.search is None else len(self.paths) - 1

    def _open(self, search: Search) -> None:
        self._low, self._highs = search.low, list(search.highs)
        self.paths.append(Path(search.node, search.estimate, search.candidate.rollout, search.high, []))

    def _cut(self, tree: Tree, search: Search) -> None:
        if search.low != self._low:
            self._add(tree, search, search.low, True)
        if search.high not in self._highs:
            self._add(tree, search, search.high, False)
        self._low, self._highs = search.low, list(search.highs)

    def _close(self, tree: Tree, search: Search) -> None:
        path = self.paths[-1]
        path.is_over = True
        if tree.errors and tree.errors[-1][:2] == (path.estimate, path.rollout):
            path.first_error = tree.errors[-1].step + 1
        elif search.candidate.digest(search.middle) in tree.node_of:
            self._add(tree, search, search.middle, None)

    def _add(self, tree: Tree, search: Search, step: int, right: bool | None) -> None:
        node = tree.node_of.get(search.candidate.digest(step))
        if node is not None:
            self.paths[-1].cuts.append(Cut(step, node, right))
