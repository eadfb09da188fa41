"""One problem as the browser gets it: its tree, then a node's steps and rollouts, then a rollout's steps.

Text goes out in pieces (omegaprm.engine.view.formulas), never as markup. Three answers keep each small: a tree of 1,000
rollouts is some hundred kilobytes of text, of which a person reads a few.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from omegaprm.engine import journal
from omegaprm.engine.records import Counts, Estimate, Outcome
from omegaprm.engine.store import Store, StoreDamaged
from omegaprm.engine.view.formulas import Rich, rich
from omegaprm.engine.view.growth import Growth, Path, State, grouped, prefix_of, replayed
from omegaprm.engine.view.intervals import wilson
from omegaprm.engine.view.opinions import Opinions, read_opinions
from omegaprm.engine.view.scores import StepScores
from omegaprm.engine.view.shelf import Shelved

LABEL_CHARACTERS = 120


class NodeView(msgspec.Struct):
    """A node as the tree draws it.

    counts are its own rollouts; correct and judged what its MC rests on, reused rollouts included. depth counts the
    steps of its prefix, label is the last one, score the PRM's of that step, opinion the step judge's.
    """

    number: int
    parent: int | None
    rollout: int | None
    depth: int
    label: str
    counts: Counts
    correct: int
    judged: int
    interval: tuple[float, float] | None
    visits: int
    born: int
    search: int | None
    score: float | None
    opinion: bool | None


class EstimateView(msgspec.Struct):
    """One estimate in the order of growth: the node it belongs to, its rollouts, the search that asked for it."""

    node: int
    num: int
    search: int | None


class TreePage(msgspec.Struct, kw_only=True):
    """A problem and its tree. note says what could not be read or replayed."""

    store: int
    id: str
    question: Rich
    answer: Rich
    images: list[str]
    state: str
    reason: str
    totals: Counts
    num_tokens: int
    nodes: list[NodeView]
    estimates: list[EstimateView]
    searches: list[Path]
    note: str = ""
    judge: str = ""


class StepView(msgspec.Struct):
    """A step; node is the one that stands for the state after it, if there is one."""

    text: Rich
    node: int | None
    score: float | None
    opinion: bool | None


class RolloutView(msgspec.Struct):
    """A rollout in a node's list: its answer, how it was judged and by which rule, what grew from it."""

    estimate: int
    index: int
    outcome: Outcome
    rule: str
    num_tokens: int
    num_steps: int
    answer: Rich
    children: list[int]
    search: int | None


class NodePage(msgspec.Struct):
    """A node: the steps of its state, the seeds of its estimates, and its rollouts."""

    number: int
    seeds: list[str]
    prefix: list[StepView]
    rollouts: list[RolloutView]


class RolloutPage(msgspec.Struct):
    """A rollout's own steps; text is the completion where no steps could be read from it."""

    steps: list[StepView]
    text: Rich


class _Read(msgspec.Struct):
    """What the pages of a problem are made of."""

    id: str
    estimates: list[Estimate]
    growth: Growth
    scores: StepScores
    opinions: Opinions
    note: str

    def steps(self, prefix: Sequence[str], steps: Sequence[str]) -> list[StepView]:
        nodes, scores = self.growth.node_after(prefix, steps), self.scores.after(self.id, prefix, steps)
        known = zip(nodes, scores, self.opinions.after(prefix, steps), strict=True)
        return [StepView(rich(text), *each) for text, each in zip(steps, known, strict=True)]

    def node(self, state: State) -> NodeView:
        origin, prefix = state.origin, prefix_of(self.estimates, state.origin)
        return NodeView(
            number=state.number,
            parent=None if origin is None else self.growth.state_of[origin.estimate],
            rollout=None if origin is None else origin.rollout,
            depth=len(prefix),
            label=prefix[-1][:LABEL_CHARACTERS] if prefix else "",
            counts=sum((self.estimates[at].counts for at in state.estimates), Counts()),
            correct=state.correct,
            judged=state.judged,
            interval=wilson(state.correct, state.judged),
            visits=state.visits,
            born=state.born,
            search=state.search,
            score=self.scores.after(self.id, prefix[:-1], prefix[-1:])[0] if prefix else None,
            opinion=self.opinions.after(prefix[:-1], prefix[-1:])[0] if prefix else None,
        )


def _read(shelved: Shelved, problem_id: str, scores: StepScores) -> _Read:
    estimates, note = _readable(shelved.store, problem_id)
    opinions = read_opinions(shelved.store, problem_id)
    if shelved.rule is not None:
        try:
            return _Read(problem_id, estimates, replayed(shelved.rule, estimates), scores, opinions, note)
        except ValueError:
            note = note or "The estimates do not follow from the store's search rule: no searches are shown."
    return _Read(problem_id, estimates, grouped(estimates), scores, opinions, note)


def _readable(store: Store, problem_id: str) -> tuple[list[Estimate], str]:
    """The estimates up to the first damaged one, and a note about that one."""
    estimates: list[Estimate] = []
    try:
        for estimate in journal.estimates(store, problem_id):
            estimates.append(estimate)
    except StoreDamaged as error:
        return estimates, f"Estimate {len(estimates)} cannot be read, nothing from there on is shown: {error}"
    return estimates, ""


def tree_page(shelved: Shelved, problem_id: str, scores: StepScores) -> TreePage | None:
    """None where the store has no such problem."""
    record = shelved.record(problem_id)
    if record is None:
        return None
    read, problem = _read(shelved, problem_id, scores), record.problem
    growth, estimates = read.growth, read.estimates
    return TreePage(
        store=shelved.at,
        id=problem.id,
        question=rich(problem.question),
        answer=rich(problem.correct_answer),
        images=list(problem.image_paths),
        state=record.state,
        reason=record.reason,
        totals=sum((estimate.counts for estimate in estimates), Counts()),
        num_tokens=sum(rollout.num_tokens for estimate in estimates for rollout in estimate.rollouts),
        nodes=[read.node(state) for state in growth.states],
        estimates=[
            EstimateView(node, len(estimate.rollouts), search)
            for node, estimate, search in zip(growth.state_of, estimates, growth.search_of, strict=True)
        ],
        searches=growth.paths,
        note=read.note,
        judge=read.opinions.judge,
    )


def node_page(shelved: Shelved, problem_id: str, number: int, scores: StepScores) -> NodePage | None:
    """None where the tree has no such node."""
    read = _read(shelved, problem_id, scores)
    if not 0 <= number < len(read.growth.states):
        return None
    state = read.growth.states[number]
    return NodePage(
        number=number,
        seeds=[str(read.estimates[at].seed) for at in state.estimates],
        prefix=read.steps((), prefix_of(read.estimates, state.origin)),
        rollouts=[rollout for at in state.estimates for rollout in _rollouts(read, at)],
    )


def _rollouts(read: _Read, at: int) -> list[RolloutView]:
    searched = {path.rollout: index for index, path in enumerate(read.growth.paths) if path.estimate == at}
    children: dict[int, list[int]] = {}
    for state in read.growth.states:
        if state.origin is not None and state.origin.estimate == at:
            children.setdefault(state.origin.rollout, []).append(state.number)
    return [
        RolloutView(
            estimate=at,
            index=index,
            outcome=rollout.outcome,
            rule=rollout.rule,
            num_tokens=rollout.num_tokens,
            num_steps=len(rollout.steps),
            answer=rich(rollout.steps[-1]) if rollout.steps else [],
            children=children.get(index, []),
            search=searched.get(index),
        )
        for index, rollout in enumerate(read.estimates[at].rollouts)
    ]


def rollout_page(
    shelved: Shelved, problem_id: str, estimate: int, index: int, scores: StepScores
) -> RolloutPage | None:
    """None where the tree has no such rollout."""
    read = _read(shelved, problem_id, scores)
    if not (0 <= estimate < len(read.estimates) and 0 <= index < len(read.estimates[estimate].rollouts)):
        return None
    source = read.estimates[estimate]
    rollout = source.rollouts[index]
    return RolloutPage(read.steps(source.prefix, rollout.steps), [rollout.text] if rollout.text else [])
