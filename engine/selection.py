"""Which solutions of a finished tree become training rows, and their labels; pure.

A wrong solution is a rollout whose first error a search found: 0 from that step on, MC of the states before.
A right solution is a rollout that reached the right answer. A step inside a node, that is, between two
estimated states, takes the node's label, which is the value at the node's end; the end of a right solution
has the value 1 (MM-PRM, section 3.3).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from engine.records import Estimate
from engine.tree import ROOT_DIGEST, Tree, state_digests

Labels = tuple[float | None, ...]


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


def select(estimates: Sequence[Estimate], tree: Tree, rng: random.Random, mask_unestimated: bool = False) -> Selection:
    """All wrong solutions of a tree and as many right ones, drawn by rng; each text once."""
    wrong, again_wrong = _distinct(wrong_solutions(estimates, tree, mask_unestimated))
    right, again_right = _distinct(right_solutions(estimates, tree, mask_unestimated))
    drawn = sorted(rng.sample(range(len(right)), min(len(wrong), len(right))))
    return Selection(
        rows=wrong + [right[index] for index in drawn],
        num_wrong=len(wrong),
        num_duplicates=again_wrong + again_right,
        num_right_not_drawn=len(right) - len(drawn),
    )


def wrong_solutions(estimates: Sequence[Estimate], tree: Tree, mask_unestimated: bool) -> Iterator[Labelled]:
    """Each rollout that a search found the first error of, in the order of the searches."""
    for error in tree.errors:
        estimate = estimates[error.estimate]
        steps = estimate.prefix + estimate.rollouts[error.rollout].steps
        first_error = len(estimate.prefix) + error.step
        known = _known_values(tree, steps[:first_error])
        wrong: Labels = (0.0,) * (len(steps) - first_error)
        if mask_unestimated:
            wrong = (0.0,) + (None,) * (len(wrong) - 2) + (0.0,) * (len(wrong) > 1)
        yield Labelled(steps, _filled(known, mask_unestimated) + wrong)


def right_solutions(estimates: Sequence[Estimate], tree: Tree, mask_unestimated: bool) -> Iterator[Labelled]:
    """Each rollout that reached the right answer, in the order of the estimates."""
    for estimate in estimates:
        for rollout in estimate.rollouts:
            if rollout.outcome == "correct":
                steps = estimate.prefix + rollout.steps
                known = _known_values(tree, steps[:-1])
                yield Labelled(steps, _filled([*known, 1.0], mask_unestimated))


def _known_values(tree: Tree, steps: Sequence[str]) -> list[float | None]:
    """MC of the state after each step where it was estimated.

    These steps are followed by a state that reached the right answer, so an estimate of 0 among them is a
    sample that missed it: such a state counts as not estimated.
    """
    values: list[float | None] = []
    for digest in state_digests(ROOT_DIGEST, steps):
        number = tree.node_of.get(digest)
        values.append(tree.nodes[number].value if number is not None and tree.nodes[number].correct else None)
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
