"""What MM-PRM's tree JSON still says, as estimates; and the tree that such estimates make, without the search's order.

Pure. A file gives each state's MC and its distinct rollouts, so that with the run's k the counts come back, and every
text; which text came how often does not, nor the order of the searches. NOT_RECOVERED says it for people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple

from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Counts, Estimate, Origin, Outcome, Problem, ProblemRecord, Rollout
from omegaprm.engine.tree import ROOT_DIGEST, FirstError, Node, Tree, state_digests
from omegaprm.engine.tree_json import State, Steps

IMPORTED = "imported_from"
"""The setting that marks a store of imported trees."""
RULE = "imported"
"""The rule in whose name the verdicts of imported rollouts stand."""

NOT_RECOVERED = (
    "Imported trees do not say the order in which they grew, which text came how often among the rollouts of a state "
    "(repeats are spread over its texts), from which of several like rollouts a search came, tokens, seeds, the rule "
    "behind a verdict, policy, prompt and search settings. Counts and texts are those of the files."
)

ROUNDING = 1e-6


class BadTree(ValueError):
    """A tree that cannot be used; the message names the field and the rule it breaks."""


class Recovered(NamedTuple):
    """A problem's record and estimates, and what of them is not as it was."""

    record: ProblemRecord
    estimates: list[Estimate]
    counts: Counter[str]


class _Above(NamedTuple):
    """A state on the way down from the root."""

    number: int
    prefix: Steps
    rollouts: tuple[Rollout, ...]
    above: _Above | None


def recovered(problem: Problem, root: State, num_rollouts: int) -> Recovered:
    """The estimates of a tree, a state before those below it. BadTree."""
    estimates: list[Estimate] = []
    counts: Counter[str] = Counter()
    num_searches = 0
    waiting: list[tuple[State, _Above | None]] = [(root, None)]
    while waiting:
        state, above = waiting.pop()
        num_searches += state.visit_count
        here = _steps(state.partial_solution)
        if above is not None and _is_right_leaf(state):
            continue
        prefix = above.prefix + here if above is not None else ()
        rollouts = _rollouts(state, num_rollouts, counts)
        origin = _origin(prefix, above) if above is not None else None
        estimates.append(Estimate(len(estimates), origin, prefix, 0, rollouts))
        itself = _Above(estimates[-1].number, prefix, rollouts, above)
        waiting += [(child, itself) for child in reversed(state.children)]
    return Recovered(_record(problem, estimates, num_searches), estimates, counts)


def _is_right_leaf(state: State) -> bool:
    """Whether this stands for a right rollout of the state above, which holds it already."""
    empty = not (state.correct_rollouts or state.incorrect_rollouts or state.children)
    if empty and state.mc_value not in (0, 1):
        raise BadTree(f"mc_value {state.mc_value}: a state without rollouts must have 0 or 1")
    return empty and state.mc_value == 1


def _steps(texts: Sequence[str]) -> Steps:
    return tuple(text.strip() for text in texts)


def _rollouts(state: State, num_rollouts: int, counts: Counter[str]) -> tuple[Rollout, ...]:
    """As many rollouts as there were, each text at least once; none for a wrong last step."""
    if not state.correct_rollouts and not state.incorrect_rollouts and state.mc_value == 0 and not state.counts:
        return ()
    of_outcome = state.counts or _counts(state.mc_value, num_rollouts)
    right = _spread(state.correct_rollouts, of_outcome.correct, "correct", counts)
    wrong = _spread(state.incorrect_rollouts, of_outcome.incorrect, "incorrect", counts)
    if any(not rollout.steps for rollout in right):
        raise BadTree("correct_rollouts: a rollout without steps cannot be right")
    counts["rollouts without steps, wrong as MM-PRM counted them"] += sum(not rollout.steps for rollout in wrong)
    outcomes: tuple[Outcome, ...] = ("unknown", "truncated", "unparsed")
    other = tuple(Rollout((), name, RULE) for name in outcomes for _ in range(getattr(of_outcome, name)))
    return right + wrong + other


def _counts(value: float, num_rollouts: int) -> Counts:
    correct = round(value * num_rollouts)
    if not 0 <= value <= 1 or abs(value * num_rollouts - correct) > ROUNDING:
        raise BadTree(f"mc_value {value}: must be a multiple of 1/{num_rollouts}, with --num-rollouts that of the run")
    return Counts(correct=correct, incorrect=num_rollouts - correct)


def _spread(rollouts: Sequence[Steps], num: int, outcome: Outcome, counts: Counter[str]) -> tuple[Rollout, ...]:
    texts = list(dict.fromkeys(map(_steps, rollouts)))
    if len(texts) > num or (num and not texts):
        raise BadTree(f"{outcome}_rollouts: {len(texts)} texts cannot be {num} rollouts, as many as mc_value says")
    counts["rollouts whose text stands for a repeat"] += num - len(texts)
    return tuple(Rollout(steps, outcome, RULE) for steps in islice(cycle(texts), num)) if texts else ()


def _origin(prefix: Steps, above: _Above) -> Origin:
    """A wrong rollout of the nearest state above that begins with these steps."""
    state: _Above | None = above
    while state is not None:
        own = prefix[len(state.prefix) :]
        for at, rollout in enumerate(state.rollouts):
            if rollout.outcome == "incorrect" and rollout.steps[: len(own)] == own:
                return Origin(state.number, at, len(own))
        state = state.above
    raise BadTree(f"partial_solution {list(prefix[-1:])}: must be part of a wrong rollout of a state above")


def _record(problem: Problem, estimates: Sequence[Estimate], num_searches: int) -> ProblemRecord:
    root = estimates[0].counts
    reason = {None: "nothing judged", 0.0: "too hard", 1.0: "too easy"}.get(root.value, "imported")
    return ProblemRecord(
        problem=problem,
        state="done",
        reason=reason,
        num_searches=num_searches,
        num_estimates=len(estimates),
        num_rollouts=sum(len(estimate.rollouts) for estimate in estimates),
        root=root,
    )


def assembled(estimates: Sequence[Estimate]) -> Tree:
    """The tree that imported estimates make; estimates of one state count together.

    A first error is known where a state has no right rollout and the state one step before it has one.
    """
    tree = Tree.new(SearchRule())
    for estimate in estimates:
        node = _node(tree, estimate)
        node.correct += estimate.counts.correct
        node.judged += estimate.counts.judged
        tree.num_rollouts += estimate.counts.total
    errors = dict.fromkeys(error for one in estimates if (error := _first_error(tree, estimates, one)) is not None)
    tree.errors = list(errors)
    for error in tree.errors:
        _node(tree, estimates[error.estimate]).visits += 1
    tree.num_searches = len(tree.errors)
    tree.want = None
    return tree


def _node(tree: Tree, estimate: Estimate) -> Node:
    digest = _digest(estimate.prefix)
    if digest not in tree.node_of:
        tree.node_of[digest] = len(tree.nodes)
        tree.nodes.append(Node(digest, estimate.origin))
    return tree.nodes[tree.node_of[digest]]


def _first_error(tree: Tree, estimates: Sequence[Estimate], estimate: Estimate) -> FirstError | None:
    if estimate.origin is None or _node(tree, estimate).correct:
        return None
    before = tree.node_of.get(_digest(estimate.prefix[:-1]))
    if before is None or not tree.nodes[before].correct:
        return None
    source = estimate.origin.estimate
    step = len(estimate.prefix) - 1 - len(estimates[source].prefix)
    return FirstError(source, estimate.origin.rollout, step)


def _digest(steps: Steps) -> bytes:
    return state_digests(ROOT_DIGEST, steps)[-1] if steps else ROOT_DIGEST
