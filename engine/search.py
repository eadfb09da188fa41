"""Grow one tree: what the tree wants is sampled, judged, committed and only then applied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from omegaprm.engine import journal
from omegaprm.engine.ahead import Ahead, Ask
from omegaprm.engine.config import AnnotateConfig, SearchRule
from omegaprm.engine.foresight import next_wants
from omegaprm.engine.judge.base import Judge
from omegaprm.engine.policy.base import Completion, Policy, ProblemFailed, Prompt
from omegaprm.engine.progress import Progress
from omegaprm.engine.prompts import OutsideTags, Solution, parse
from omegaprm.engine.records import Estimate, Outcome, Problem, ProblemRecord, Rollout, Verdict
from omegaprm.engine.seams import StepFormat
from omegaprm.engine.seeds import derive_seed
from omegaprm.engine.store import Store, StoreDamaged
from omegaprm.engine.tree import Tree, Want, apply, next_want
from omegaprm.engine.turns import Turns

REPLAYED_A_TURN = 16
"""Stored estimates that one turn of the event loop replays."""


@dataclass(frozen=True)
class Search:
    """What every search of a run shares. on_estimate and on_end tell the progress display; ahead samples ahead."""

    policy: Policy
    judge: Judge
    store: Store
    rule: SearchRule
    step_format: StepFormat
    run_seed: int
    draining: asyncio.Event
    on_estimate: Callable[[Estimate], None] = field(default=lambda estimate: None)
    on_end: Callable[[ProblemRecord], None] = field(default=lambda record: None)
    outside_tags: OutsideTags = "unparsed"
    turns: Turns = field(default_factory=Turns)
    ahead: Ahead | None = None

    async def grow(self, problem: Problem, image_digests: tuple[str, ...] = ()) -> None:
        """Grow a problem's tree from where the store has it until it is done, fails, or the run drains.

        A failure of this problem alone quarantines it with its reason and is not raised.
        """
        try:
            record = await self._grow(problem, image_digests)
        except (ProblemFailed, StoreDamaged) as failure:
            record = ProblemRecord(
                problem=problem, state="quarantined", reason=str(failure), image_digests=image_digests
            )
        finally:
            if self.ahead is not None:
                self.ahead.drop(problem.id)
        if record is not None:
            await self.store.commit([journal.write_problem(record)])
            self.on_end(record)

    async def _grow(self, problem: Problem, image_digests: tuple[str, ...]) -> ProblemRecord | None:
        """The finished record, or None where the run drains first."""
        record = ProblemRecord(problem=problem, state="open", image_digests=image_digests)
        tree = Tree.new(self.rule)
        await self.turns.take()
        for estimate in journal.estimates(self.store, problem.id):
            if estimate.number % REPLAYED_A_TURN == REPLAYED_A_TURN - 1:
                await self.turns.take()
            tree = self._replayed(tree, estimate)
            record = _counted(record, estimate)
        while (want := next_want(tree)) is not None:
            if self.draining.is_set():
                return None
            await self.turns.take()
            estimate = await self._estimate(problem, image_digests, want, tree)
            record = _counted(record, estimate)
            writes = [journal.write_estimate(problem.id, estimate)]
            if estimate.number == 0:
                writes.append(journal.write_problem(record))
            await self.store.commit(writes)
            self.on_estimate(estimate)
            tree = apply(tree, estimate)
        return _finished(record, tree)

    def _replayed(self, tree: Tree, estimate: Estimate) -> Tree:
        try:
            return apply(tree, estimate)
        except ValueError as error:
            raise StoreDamaged(f"stored estimates do not fit together: {error}") from error

    async def _estimate(self, problem: Problem, image_digests: tuple[str, ...], want: Want, tree: Tree) -> Estimate:
        ask = self._ask(problem, image_digests, want)
        completions = [_storable(one) for one in await self._completions(ask, tree)]
        await self.turns.take()
        solutions = [self._read(one) for one in completions]
        verdicts = await self._verdicts(problem, [solution.answer for solution in solutions if solution])
        rollouts = (_rollout(*pair, verdicts) for pair in zip(completions, solutions, strict=True))
        prefix, seams = ask.prompt.begun
        return Estimate(want.number, want.origin, prefix, ask.seed, tuple(rollouts), seams)

    def _read(self, completion: Completion) -> Solution | None:
        if completion.truncated or completion.strayed:
            return None
        return parse(completion.text, self.step_format, self.outside_tags)

    async def _completions(self, ask: Ask, tree: Tree) -> list[Completion]:
        if self.ahead is None:
            return await self.policy.sample(*ask)
        return await self.ahead.sample(ask, lambda: self._next_asks(ask.prompt, tree))

    def _next_asks(self, prompt: Prompt, tree: Tree) -> Iterator[Ask]:
        for want in next_wants(tree):
            yield self._ask(prompt.problem, prompt.image_digests, want)

    def _ask(self, problem: Problem, image_digests: tuple[str, ...], want: Want) -> Ask:
        prefix, seams = journal.begun_of(self.store, problem.id, want.origin, self.step_format)
        seed = derive_seed(self.run_seed, problem.id, want.number)
        return Ask(Prompt(problem, prefix, image_digests, seams), want.num, seed)

    async def _verdicts(self, problem: Problem, answers: Iterable[str]) -> dict[str, Verdict]:
        """One verdict for each distinct answer: most rollouts of a problem share a few."""
        distinct = list(dict.fromkeys(answers))
        verdicts = await asyncio.gather(*(self.judge.grade(problem, answer) for answer in distinct))
        return dict(zip(distinct, verdicts, strict=True))


def search_under(
    config: AnnotateConfig,
    policy: Policy,
    judge: Judge,
    store: Store,
    progress: Progress,
    draining: asyncio.Event,
    ahead: Ahead | None = None,
) -> Search:
    """The search that a command's flags describe, telling its progress."""
    return Search(
        policy=policy,
        judge=judge,
        store=store,
        rule=config.part(SearchRule),
        step_format=config.step_format,
        outside_tags=config.outside_tags,
        run_seed=config.run_seed,
        draining=draining,
        on_estimate=progress.on_estimate,
        on_end=progress.on_end,
        ahead=ahead,
    )


def _rollout(completion: Completion, solution: Solution | None, verdicts: Mapping[str, Verdict]) -> Rollout:
    if solution is None:
        outcome: Outcome = "truncated" if completion.truncated else "unparsed"
        return Rollout((), outcome, num_tokens=completion.num_tokens, text=completion.text)
    verdict = verdicts[solution.answer]
    return Rollout(solution.steps, verdict.outcome, verdict.rule, completion.num_tokens, seams=solution.seams)


def _storable(completion: Completion) -> Completion:
    """With "?" for lone surrogates, which JSON can hold and UTF-8 cannot."""
    if completion.text.isascii():
        return completion
    return msgspec.structs.replace(completion, text=completion.text.encode(errors="replace").decode())


def _counted(record: ProblemRecord, estimate: Estimate) -> ProblemRecord:
    """The record with one more estimate in its totals."""
    return ProblemRecord(
        problem=record.problem,
        state=record.state,
        image_digests=record.image_digests,
        num_estimates=record.num_estimates + 1,
        num_rollouts=record.num_rollouts + len(estimate.rollouts),
        num_tokens=record.num_tokens + sum(rollout.num_tokens for rollout in estimate.rollouts),
        root=estimate.counts if estimate.number == 0 else record.root,
    )


def _finished(record: ProblemRecord, tree: Tree) -> ProblemRecord:
    return ProblemRecord(
        problem=record.problem,
        state="done",
        reason=tree.reason or "",
        image_digests=record.image_digests,
        num_searches=tree.num_searches,
        num_estimates=record.num_estimates,
        num_rollouts=record.num_rollouts,
        num_tokens=record.num_tokens,
        root=record.root,
    )
