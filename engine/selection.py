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

from engine.records import Estimate
from engine.tree import ROOT_DIGEST, FirstError, Tree, state_digests

Labels = tuple[float | None, ...]

Wrong = Literal["searched", "searched-and-continued"]
"""Which wrong solutions become rows: those whose first error a search found, or also the rollouts from a state
that no rollout could save, whose steps all come after an error that is known."""


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
    num_unsure: int = 0


def select(
    estimates: Sequence[Estimate],
    tree: Tree,
    rng: random.Random,
    mask_unestimated: bool = False,
    wrong_kind: Wrong = "searched",
    min_judged: int = 0,
    error_at_most: float = 0.0,
) -> Selection:
    """All wrong solutions of a tree and as many right ones, drawn by rng; each text once.

    States with fewer judged rollouts than min_judged count as not estimated; a wrong solution whose first error is
    such a state is left out. In a wrong solution the first label of at most error_at_most is its
    first error.
    """
    solutions = wrong_solutions(estimates, tree, mask_unestimated, min_judged, error_at_most)
    if wrong_kind == "searched-and-continued":
        solutions = chain(solutions, continued_solutions(estimates, tree, mask_unestimated, min_judged, error_at_most))
    wrong, again_wrong = _distinct(solutions)
    right, again_right = _distinct(right_solutions(estimates, tree, mask_unestimated, min_judged))
    drawn = sorted(rng.sample(range(len(right)), min(len(wrong), len(right))))
    return Selection(
        rows=wrong + [right[index] for index in drawn],
        num_wrong=len(wrong),
        num_duplicates=again_wrong + again_right,
        num_right_not_drawn=len(right) - len(drawn),
        num_unsure=len(tree.errors) - len(sure_errors(estimates, tree, min_judged)),
    )


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


def wrong_solutions(
    estimates: Sequence[Estimate],
    tree: Tree,
    mask_unestimated: bool,
    min_judged: int = 0,
    error_at_most: float = 0.0,
) -> Iterator[Labelled]:
    """Each rollout that a search found the first error of, in the order of the searches."""
    for error in sure_errors(estimates, tree, min_judged):
        estimate = estimates[error.estimate]
        steps = estimate.prefix + estimate.rollouts[error.rollout].steps
        right = steps[: len(estimate.prefix) + error.step]
        before = _labels_before_error(tree, right, mask_unestimated, min_judged, error_at_most)
        yield Labelled(steps, before + _zeros(len(steps) - len(before), mask_unestimated))


def continued_solutions(
    estimates: Sequence[Estimate],
    tree: Tree,
    mask_unestimated: bool,
    min_judged: int = 0,
    error_at_most: float = 0.0,
) -> Iterator[Labelled]:
    """The rollouts from each state that a search proved wrong, in the order of the estimates."""
    first_errors = {_state_at(estimates, error): error for error in sure_errors(estimates, tree, min_judged)}
    for estimate in estimates:
        error = first_errors.get(estimate.prefix)
        if error is None or estimate.counts.correct:
            continue
        right = estimate.prefix[: len(estimates[error.estimate].prefix) + error.step]
        before = _labels_before_error(tree, right, mask_unestimated, min_judged, error_at_most)
        for rollout in estimate.rollouts:
            if rollout.outcome == "incorrect":
                steps = estimate.prefix + rollout.steps
                yield Labelled(steps, before + _zeros(len(steps) - len(before), mask_unestimated))


def _state_at(estimates: Sequence[Estimate], error: FirstError) -> tuple[str, ...]:
    """The steps up to and with the first wrong one."""
    source = estimates[error.estimate]
    return source.prefix + source.rollouts[error.rollout].steps[: error.step + 1]


def _zeros(count: int, mask_unestimated: bool) -> Labels:
    """Labels from the first error to the end; what a search estimated or a judge saw is its ends alone."""
    if not mask_unestimated:
        return (0.0,) * count
    return (0.0,) + (None,) * (count - 2) + (0.0,) * (count > 1)


def right_solutions(
    estimates: Sequence[Estimate], tree: Tree, mask_unestimated: bool, min_judged: int = 0
) -> Iterator[Labelled]:
    """Each rollout that reached the right answer, in the order of the estimates."""
    for estimate in estimates:
        for rollout in estimate.rollouts:
            if rollout.outcome == "correct":
                steps = estimate.prefix + rollout.steps
                known = _known_values(tree, steps[:-1], min_judged)
                yield Labelled(steps, _filled([*known, 1.0], mask_unestimated))


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


def _labels_before_error(
    tree: Tree, right: Sequence[str], mask_unestimated: bool, min_judged: int, error_at_most: float
) -> Labels:
    """The labels of the steps before the first error that a search found; fewer of them where one is at most
    error_at_most: a wrong step that a rollout recovered from by luck."""
    labels = _filled(_known_values(tree, right, min_judged), mask_unestimated)
    low = (at for at, value in enumerate(labels) if value is not None and value <= error_at_most)
    return labels[: next(low, len(labels))]


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
