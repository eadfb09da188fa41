"""One tree as MM-PRM's JSON: states below the right state they go on from, steps as partial solutions.

Published in MM-PRM's data pipeline (arXiv 2505.13427): the root holds question, answer, image_path and id; every
state mc_value, visit_count, its distinct correct_rollouts and incorrect_rollouts, each a list of steps, and
children. A child's partial_solution are its steps behind its parent's. Each distinct right rollout is a child, too,
with mc_value 1 and nothing in it; so is the last step of a wrong rollout whose search ended there, with mc_value 0.
`counts`, which MM-PRM does not have, keeps what distinct texts lose: rollouts by outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import msgspec

from omegaprm.engine.records import Counts, Estimate, Problem
from omegaprm.engine.tree import ROOT_DIGEST, Tree, state_digests

Steps = tuple[str, ...]


class State(msgspec.Struct, kw_only=True):
    """A state in MM-PRM's JSON; see the module. counts is None in files that MM-PRM wrote itself."""

    partial_solution: Steps
    mc_value: float
    visit_count: int = 0
    correct_rollouts: list[Steps]
    incorrect_rollouts: list[Steps]
    children: list[State]
    counts: Counts | None = None


def tree_json(problem: Problem, estimates: Sequence[Estimate], tree: Tree) -> dict[str, Any]:
    """The tree of a problem whose root was judged."""
    states = _states(estimates, tree)
    for steps in _last_step_errors(estimates, tree, states):
        _add_child(states, steps, _leaf(0.0))
    for steps in sorted(states, key=len):
        if steps:
            _hang(states, steps)
    root: dict[str, Any] = msgspec.to_builtins(states[()])
    del root["partial_solution"]
    images = problem.image_paths
    head = {
        "question": problem.question,
        "answer": problem.correct_answer,
        "image_path": list(images) if len(images) > 1 else "".join(images),
    }
    return head | root | {"id": problem.id}


def _states(estimates: Sequence[Estimate], tree: Tree) -> dict[Steps, State]:
    """Every judged state by its steps, those of several estimates as one, with a child for each right rollout."""
    of_state: dict[Steps, list[Estimate]] = {}
    for estimate in estimates:
        of_state.setdefault(estimate.prefix, []).append(estimate)
    states: dict[Steps, State] = {}
    for steps, found in of_state.items():
        counts = sum((estimate.counts for estimate in found), Counts())
        right, wrong = _texts(found, "correct"), _texts(found, "incorrect")
        states[steps] = State(
            partial_solution=(),
            mc_value=counts.value or 0.0,
            visit_count=tree.nodes[tree.node_of[_digest(steps)]].visits,
            correct_rollouts=right,
            incorrect_rollouts=wrong,
            children=[_leaf(1.0, rollout) for rollout in right],
            counts=counts,
        )
    return states


def _texts(estimates: Iterable[Estimate], outcome: str) -> list[Steps]:
    rollouts = chain.from_iterable(estimate.rollouts for estimate in estimates)
    return list(dict.fromkeys(rollout.steps for rollout in rollouts if rollout.outcome == outcome))


def _last_step_errors(estimates: Sequence[Estimate], tree: Tree, states: dict[Steps, State]) -> list[Steps]:
    """The whole solutions whose first error is the last step: no state was estimated there."""
    found = []
    for error in tree.errors:
        estimate = estimates[error.estimate]
        steps = estimate.prefix + estimate.rollouts[error.rollout].steps
        if error.step == len(estimate.rollouts[error.rollout].steps) - 1 and steps not in states:
            found.append(steps)
    return list(dict.fromkeys(found))


def _leaf(value: float, steps: Steps = ()) -> State:
    return State(partial_solution=steps, mc_value=value, correct_rollouts=[], incorrect_rollouts=[], children=[])


def _hang(states: dict[Steps, State], steps: Steps) -> None:
    _add_child(states, steps, states[steps])


def _add_child(states: dict[Steps, State], steps: Steps, child: State) -> None:
    """Hang a state below the longest one before it that reached the answer; the root where none did."""
    lengths = range(len(steps) - 1, 0, -1)
    above = next((steps[:at] for at in lengths if steps[:at] in states and states[steps[:at]].mc_value > 0), ())
    child.partial_solution = steps[len(above) :]
    states[above].children.append(child)


def _digest(steps: Steps) -> bytes:
    return state_digests(ROOT_DIGEST, steps)[-1] if steps else ROOT_DIGEST
