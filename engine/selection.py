"""Which solutions of a finished tree become training rows, and their labels; pure.

A wrong solution is a rollout whose first error a search found: 0 from that step on, MC of the states before.
A right solution is a rollout that reached the right answer. A step inside a node, that is, between two
estimated states, takes the node's label, which is the value at the node's end; the end of a right solution
has the value 1 (MM-PRM, section 3.3).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal, NamedTuple

import msgspec

from omegaprm.engine.records import Estimate
from omegaprm.engine.tree import ROOT_DIGEST, FirstError, Tree, state_digests

Labels = tuple[float | None, ...]

Wrong = Literal["searched", "searched-and-continued"]
"""Which wrong solutions become rows: those whose first error a search found, or also the rollouts from a state
that no rollout could save, whose steps all come after an error that is known."""


class RowRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which solutions become rows, and what their labels rest on."""

    wrong: Wrong = "searched"
    mask_unestimated: bool = False
    """Steps inside a node have no label."""
    min_judged: int = 0
    """States with fewer judged rollouts count as not estimated."""
    error_at_most: float = 0.0
    """In a wrong solution the first label of at most this is its first error."""
    right_above: float = 0.0
    """Right solutions are left out that pass a state with an MC below this share of the root's."""


PLAIN = RowRule()
"""Rows as MM-PRM's."""


class Labelled(NamedTuple):
    """A solution and its labels, one a step, in [0, 1] or None where the step is masked."""

    steps: tuple[str, ...]
    labels: Labels


class Selection(NamedTuple):
    """The rows of one problem, wrong solutions first, and how many were left out."""

    rows: list[Labelled]
    num_wrong: int
    num_duplicates: int
    num_right_not_drawn: int
    num_right_doubtful: int = 0
    num_unsure: int = 0


def select(estimates: Sequence[Estimate], tree: Tree, rng: random.Random, rule: RowRule = PLAIN) -> Selection:
    """All wrong solutions of a tree and as many right ones, drawn by rng; each text once.

    A wrong solution whose first error is a state with fewer than min_judged judged rollouts is left out.
    """
    solutions = wrong_solutions(estimates, tree, rule)
    if rule.wrong == "searched-and-continued":
        solutions = chain(solutions, continued_solutions(estimates, tree, rule))
    wrong, again_wrong = _distinct(solutions)
    right, again_right = _distinct(right_solutions(estimates, tree, rule))
    sure = [solution for solution in right if _lowest(tree, solution.steps) >= rule.right_above * tree.nodes[0].value]
    drawn = sorted(rng.sample(range(len(sure)), min(len(wrong), len(sure))))
    return Selection(
        rows=wrong + [sure[index] for index in drawn],
        num_wrong=len(wrong),
        num_duplicates=again_wrong + again_right,
        num_right_not_drawn=len(sure) - len(drawn),
        num_right_doubtful=len(right) - len(sure),
        num_unsure=len(tree.errors) - len(sure_errors(estimates, tree, rule.min_judged)),
    )


def _lowest(tree: Tree, steps: Sequence[str]) -> float:
    """The lowest MC of the states that a solution passes; 1 where none was estimated."""
    nodes = map(tree.node, state_digests(ROOT_DIGEST, steps[:-1]))
    return min((node.value for node in nodes if node is not None and node.judged), default=1.0)


def sure_errors(estimates: Sequence[Estimate], tree: Tree, min_judged: int) -> list[FirstError]:
    """The first errors whose state has at least min_judged judged rollouts; the last step's is the judge's word."""
    return [
        error
        for error in tree.errors
        if error.step == len(estimates[error.estimate].rollouts[error.rollout].steps) - 1
        or _judged(tree, _state_at(estimates, error)) >= min_judged
    ]


def _judged(tree: Tree, steps: Sequence[str]) -> int:
    node = tree.node(state_digests(ROOT_DIGEST, steps)[-1])
    return node.judged if node is not None else 0


def wrong_solutions(estimates: Sequence[Estimate], tree: Tree, rule: RowRule = PLAIN) -> Iterator[Labelled]:
    """Each rollout that a search found the first error of, in the order of the searches."""
    for error in sure_errors(estimates, tree, rule.min_judged):
        estimate = estimates[error.estimate]
        steps = estimate.prefix + estimate.rollouts[error.rollout].steps
        yield _labelled_wrong(tree, steps, len(estimate.prefix) + error.step, rule)


def continued_solutions(estimates: Sequence[Estimate], tree: Tree, rule: RowRule = PLAIN) -> Iterator[Labelled]:
    """The rollouts from each state that a search proved wrong, in the order of the estimates."""
    first_errors = {_state_at(estimates, error): error for error in sure_errors(estimates, tree, rule.min_judged)}
    for estimate in estimates:
        error = first_errors.get(estimate.prefix)
        if error is None or estimate.counts.correct:
            continue
        num_right = len(estimates[error.estimate].prefix) + error.step
        for rollout in estimate.rollouts:
            if rollout.outcome == "incorrect":
                yield _labelled_wrong(tree, estimate.prefix + rollout.steps, num_right, rule)


def _state_at(estimates: Sequence[Estimate], error: FirstError) -> tuple[str, ...]:
    """The steps up to and with the first wrong one."""
    source = estimates[error.estimate]
    return source.prefix + source.rollouts[error.rollout].steps[: error.step + 1]


def _labelled_wrong(tree: Tree, steps: tuple[str, ...], num_right: int, rule: RowRule) -> Labelled:
    """A solution whose first num_right steps come before the first error that a search found; fewer do where a label is
    at most error_at_most: a wrong step that a rollout recovered from by luck."""
    labels = _filled(_known_values(tree, steps[:num_right], rule.min_judged), rule.mask_unestimated)
    low = (at for at, value in enumerate(labels) if value is not None and value <= rule.error_at_most)
    before = labels[: next(low, len(labels))]
    return Labelled(steps, before + _zeros(len(steps) - len(before), rule.mask_unestimated))


def _zeros(count: int, mask_unestimated: bool) -> Labels:
    """Labels from the first error to the end; what a search estimated or a judge saw is its ends alone."""
    if not mask_unestimated:
        return (0.0,) * count
    return (0.0,) + (None,) * (count - 2) + (0.0,) * (count > 1)


def right_solutions(estimates: Sequence[Estimate], tree: Tree, rule: RowRule = PLAIN) -> Iterator[Labelled]:
    """Each rollout that reached the right answer, in the order of the estimates."""
    for estimate in estimates:
        for rollout in estimate.rollouts:
            if rollout.outcome == "correct":
                steps = estimate.prefix + rollout.steps
                known = _known_values(tree, steps[:-1], rule.min_judged)
                yield Labelled(steps, _filled([*known, 1.0], rule.mask_unestimated))


def _known_values(tree: Tree, steps: Sequence[str], min_judged: int) -> list[float | None]:
    """MC of the state after each step where it was estimated by enough rollouts.

    These steps are followed by a state that reached the right answer, so an estimate of 0 among them is a
    sample that missed it: such a state counts as not estimated.
    """
    values: list[float | None] = []
    for digest in state_digests(ROOT_DIGEST, steps):
        node = tree.node(digest)
        is_known = node is not None and node.correct > 0 and node.judged >= min_judged
        values.append(node.value if node is not None and is_known else None)
    return values


def _filled(known: list[float | None], mask_unestimated: bool) -> Labels:
    """Give each step without a value of its own that of the next one, the end of its node."""
    if mask_unestimated:
        return tuple(known)
    filled: list[float | None] = []
    following: float | None = None
    for value in reversed(known):
        following = value if value is not None else following
        filled.append(following)
    return tuple(reversed(filled))


def _distinct(solutions: Iterator[Labelled]) -> tuple[list[Labelled], int]:
    """The first of each text, and how many more there were."""
    first: dict[tuple[str, ...], Labelled] = {}
    count = 0
    for solution in solutions:
        count += 1
        first.setdefault(solution.steps, solution)
    return list(first.values()), count - len(first)
