"""bin/annotate --dry-run N: a few problems' trees in full, shown, and what the whole job would cost at that rate.

The trees are grown by the very search into a scratch store that is gone afterwards; the store of the flags is neither
made nor touched.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from omegaprm.engine import journal, prompts
from omegaprm.engine.advice import about_text_outside, advice
from omegaprm.engine.config import AnnotateConfig, SearchRule
from omegaprm.engine.few_shot import read_examples
from omegaprm.engine.judge.base import Judge
from omegaprm.engine.judge.flags import judge_identity
from omegaprm.engine.lifecycle import unless_draining
from omegaprm.engine.load import judge_load
from omegaprm.engine.meter import Meter
from omegaprm.engine.policy.base import Policy
from omegaprm.engine.problems import SeedSet
from omegaprm.engine.progress import Progress, clock_text
from omegaprm.engine.records import Estimate, Problem, ProblemRecord, Rollout
from omegaprm.engine.scheduler import run_all
from omegaprm.engine.seams import Begun
from omegaprm.engine.search import search_under
from omegaprm.engine.shares import Shares, share_lines, unparsed_from_prefix, warnings
from omegaprm.engine.snapshot import Prices
from omegaprm.engine.store import Store
from omegaprm.engine.tree import replay

SHOWN_ROLLOUTS = 3
"""Of a root's rollouts, one of each outcome first."""
SHOWN_ERRORS = 3
"""Of the first errors that a tree's searches found."""
SHOWN_UNPARSED = 3
"""Unparsed rollouts from prefixes, one per problem, in full."""
READ_ABOVE = "read the unparsed rollouts above"
SHOWN_CHARACTERS = 2000
"""Longer texts are cut."""

JudgeOf = Callable[[AnnotateConfig, Store], Awaitable[Judge]]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of problems took, or would take."""

    num_problems: int
    num_rollouts: float
    num_tokens: float
    num_judge_requests: float
    seconds: float

    def of(self, num_problems: int) -> Cost:
        """The same for so many problems, at the same mean and the same rate."""
        factor = num_problems / self.num_problems
        return Cost(
            num_problems=num_problems,
            num_rollouts=self.num_rollouts * factor,
            num_tokens=self.num_tokens * factor,
            num_judge_requests=self.num_judge_requests * factor,
            seconds=self.seconds * factor,
        )


async def dry_run(config: AnnotateConfig, seeds: SeedSet, policy: Policy, judge_of: JudgeOf, meter: Meter) -> None:
    """Grow, show and count. A signal ends it with what has been grown by then."""
    chosen = sample(seeds.problems, config.dry_run, config.run_seed)
    with tempfile.TemporaryDirectory(prefix="omegaprm-dry-run-") as folder, Store.open(Path(folder)) as store:
        judge = await unless_draining(meter.draining, judge_of(config, store))
        try:
            progress = Progress(len(chosen))
            meter.run(progress, policy, judge)
            await _grow(config, seeds, chosen, store, policy, judge, meter)
            requests = judge_load(judge).num_requests
        finally:
            await judge.close()
        text = list(report(config, store, chosen, progress, requests, len(seeds.problems)))
    print("\n".join(_plain(line) for line in text))


def sample(problems: Sequence[Problem], count: int, run_seed: int) -> list[Problem]:
    """As many problems as asked for, drawn from all, in their order."""
    drawn = random.Random(run_seed).sample(range(len(problems)), min(count, len(problems)))
    return [problems[at] for at in sorted(drawn)]


async def _grow(
    config: AnnotateConfig,
    seeds: SeedSet,
    chosen: Sequence[Problem],
    store: Store,
    policy: Policy,
    judge: Judge,
    meter: Meter,
) -> None:
    from omegaprm.engine.display import shown

    progress = meter.progress
    search = search_under(config, policy, judge, store, progress, meter.draining)

    async def grow(problem: Problem) -> None:
        with progress.opened():
            await search.grow(problem, seeds.image_digests.get(problem.id, ()))

    async with shown(meter):
        with meter.until_end():
            await run_all(chosen, grow, config.concurrency, meter.draining, config.drain_seconds)


def report(
    config: AnnotateConfig,
    store: Store,
    chosen: Sequence[Problem],
    progress: Progress,
    num_judge_requests: int,
    num_problems: int,
) -> Iterator[str]:
    """What was grown, problem by problem, and the cost of all."""
    yield from _shown_lines(config)
    roots: list[Estimate] = []
    unparsed: list[str] = []
    grown: list[Estimate] = []
    for problem in chosen:
        record = journal.problem_record(store, problem.id)
        if record is not None:
            estimates = list(journal.estimates(store, problem.id))
            roots += estimates[:1]
            grown += estimates
            yield from _problem_lines(config, record, estimates)
            if len(unparsed) < SHOWN_UNPARSED:
                unparsed += _unparsed(problem, estimates)
    yield from unparsed
    shares = Shares().adding(grown)
    for sentence in (*advice(config, roots), *about_text_outside(config, grown), *share_lines(shares)):
        yield f"=== {sentence}"
    for warning in warnings(shares, READ_ABOVE):
        yield f"=== warning: {warning}"
    cost = Cost(
        num_problems=max(progress.num_ended, 1),
        num_rollouts=progress.num_rollouts,
        num_tokens=progress.num_tokens,
        num_judge_requests=num_judge_requests,
        seconds=progress.seconds,
    )
    if progress.num_ended < len(chosen):
        yield f"stopped after {progress.num_ended} of {len(chosen)} problems: no cost can be told"
    else:
        yield from _cost_lines(config, cost, num_problems)


def _shown_lines(config: AnnotateConfig) -> Iterator[str]:
    """What went before every question."""
    examples = read_examples(config.few_shot, config.step_format)
    turns = prompts.turns("", Begun(), config.prompt_template, config.step_format, examples)
    shown = turns.shown
    if turns.system:
        yield f"=== before every question\n--- system\n{_cut(turns.system)}\n"
    for number, (asked, replied) in enumerate(shown, 1):
        yield f"=== solved before every question, {number} of {len(shown)}"
        yield f"--- user\n{_cut(asked)}\n--- assistant\n{_cut(replied)}\n"


def _problem_lines(config: AnnotateConfig, record: ProblemRecord, estimates: Sequence[Estimate]) -> Iterator[str]:
    problem = record.problem
    why = f"the tree ended by: {record.reason}" if record.state == "done" else f"{record.state}: {record.reason}"
    yield f"=== problem {problem.id}; {why}"
    turns = prompts.turns(problem.question, Begun(), config.prompt_template, config.step_format)
    yield f"--- user{''.join(f' [image {path}]' for path in problem.image_paths)}\n{_cut(turns.user)}"
    yield f"--- reference: {problem.correct_answer}"
    if not estimates:
        return
    for rollout in varied(estimates[0].rollouts):
        yield from _rollout_lines(rollout)
    counts = estimates[0].counts
    yield (
        f"--- root: {counts.correct} of {counts.judged} judged rollouts right; {counts.unknown} unknown, "
        f"{counts.truncated} truncated, {counts.unparsed} unparsed"
    )
    yield from _error_lines(config, estimates)
    yield (
        f"--- tree: {_count(record.num_estimates, 'estimate')}, {_count(record.num_searches, 'search')}, "
        f"{_count(record.num_rollouts, 'rollout')}, {_count(record.num_tokens, 'token')}\n"
    )


def _unparsed(problem: Problem, estimates: Sequence[Estimate]) -> list[str]:
    """The steps of a prefix and, in full, an unparsed rollout from it, as one text; none if all could be read."""
    found = unparsed_from_prefix(estimates)
    if found is None:
        return []
    estimate, rollout = found
    steps = [f"  step {number}: {_cut(step)}" for number, step in enumerate(estimate.prefix, 1)]
    head = f"=== problem {problem.id}: an unparsed rollout from a prefix of {_count(len(steps), 'step')}"
    wrote = f"--- what the model wrote next, {_count(rollout.num_tokens, 'token')}"
    return ["\n".join([head, *steps, wrote, rollout.text, ""])]


def _error_lines(config: AnnotateConfig, estimates: Sequence[Estimate]) -> Iterator[str]:
    """The first errors that the searches found: what a row of training would call wrong, and the step before it."""
    errors = replay(config.part(SearchRule), estimates).errors
    for error in errors[:SHOWN_ERRORS]:
        source = estimates[error.estimate]
        steps = (*source.prefix, *source.rollouts[error.rollout].steps)
        at = len(source.prefix) + error.step
        behind = f"behind: {_cut(steps[at - 1])}" if at else "the first step"
        yield f"--- a first error, step {at + 1} of {len(steps)}: {_cut(steps[at])}\n  {behind}"
    if len(errors) > SHOWN_ERRORS:
        yield f"--- and {_count(len(errors) - SHOWN_ERRORS, 'first error')} more"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{'es' if noun.endswith('ch') else 's'}"


def varied(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """A few rollouts, one of each outcome before a second of any."""
    outcomes = [rollout.outcome for rollout in rollouts]
    order = sorted(range(len(rollouts)), key=lambda at: (outcomes.index(outcomes[at]) != at, at))
    return [rollouts[at] for at in order[:SHOWN_ROLLOUTS]]


def _rollout_lines(rollout: Rollout) -> Iterator[str]:
    rule = f" (rule {rollout.rule})" if rollout.rule else ""
    yield f"--- a rollout: {rollout.outcome}{rule}, {rollout.num_tokens} tokens"
    if not rollout.steps:
        yield _cut(rollout.text)
    for number, step in enumerate(rollout.steps, 1):
        yield f"  {'answer' if number == len(rollout.steps) else f'step {number}'}: {_cut(step)}"


def _cost_lines(config: AnnotateConfig, cost: Cost, num_problems: int) -> Iterator[str]:
    whole = cost.of(num_problems)
    yield (
        f"=== {cost.num_problems} problems took {cost.num_rollouts:.0f} rollouts, {cost.num_tokens:.0f} tokens, "
        f"{clock_text(cost.seconds)}"
    )
    yield (
        f"=== all {num_problems} problems at the same mean: {whole.num_rollouts:.0f} rollouts, "
        f"{whole.num_tokens:.0f} tokens, {whole.seconds / 3600:.2f} hours at this rate"
    )
    if judge_identity(config):
        yield f"=== judge's model: {whole.num_judge_requests:.0f} requests"
    if (money := config.part(Prices).cost(whole.seconds, int(whole.num_tokens), 0)) is not None:
        yield f"=== cost by the prices given, without the judge's tokens: {money:.2f}"
    open_then, open_now = min(config.concurrency, num_problems), min(config.concurrency, cost.num_problems)
    if open_then > open_now:
        yield (
            f"=== this rate is that of {open_now} problems open at once; the job has {open_then} open, which uses an "
            "engine better: the hours are an upper bound there"
        )


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + f"… ({len(text)} characters)"


def _plain(text: str) -> str:
    """Without characters that would steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
