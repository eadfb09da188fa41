"""bin/rollout: N judged candidates a problem, in MM-PRM's rollouts format; the same command resumes."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from omegaprm.engine import log
from omegaprm.engine.beam import BeamPolicy, BeamRule, Guide
from omegaprm.engine.config import RolloutConfig
from omegaprm.engine.display import shown
from omegaprm.engine.errors import ConfigurationError, Drained, EngineDied
from omegaprm.engine.files import require_writable, write_whole
from omegaprm.engine.fingerprint import sampled_under
from omegaprm.engine.judge.base import Judge
from omegaprm.engine.lifecycle import drain_on_signal, in_thread, unless_draining
from omegaprm.engine.meter import Meter
from omegaprm.engine.opening import read_seeds, start_enduring, start_policy
from omegaprm.engine.partial import Partial, Settings, require_same, settings_of_work
from omegaprm.engine.policy.base import Completion, Policy, ProblemFailed, Prompt
from omegaprm.engine.problems import SeedSet
from omegaprm.engine.progress import Progress
from omegaprm.engine.prompt_date import as_begun, settled
from omegaprm.engine.prompts import Solution, parse
from omegaprm.engine.records import Candidates, Outcome, Problem, ProblemRecord, ProblemState
from omegaprm.engine.reporting import reported
from omegaprm.engine.scheduler import run_all
from omegaprm.engine.seams import StepFormat
from omegaprm.engine.seeds import derive_seed

StartPolicy = Callable[[RolloutConfig], Awaitable[Policy]]
StartJudge = Callable[[RolloutConfig], Awaitable[Judge]]
StartGuide = Callable[[str], Awaitable[Guide]]
"""Folder of a PRM -> the guide of a beam search."""

SHOWN_FAILURES = 10

_LOOSE_ENDS: dict[StepFormat, re.Pattern[str]] = {
    "tags": re.compile(r"</?(?:step|answer)>"),
    "paragraphs": re.compile(r"\n\s*\n"),
    "lines": re.compile(r"\n"),
}


def rollout(config: RolloutConfig, guide_of: StartGuide | None = None) -> None:
    """Write the candidates file; raises Drained where a signal stopped it first.

    guide_of loads the PRM of a beam search: this package knows none itself.
    """
    asyncio.run(run(config, guided(guide_of) if config.search == "beam" else start_policy, start_judge))


def guided(guide_of: StartGuide | None) -> StartPolicy:
    """Starts the policy under a beam search."""

    async def start(config: RolloutConfig) -> Policy:
        assert guide_of is not None
        assert config.prm is not None
        guide = await guide_of(config.prm)
        return BeamPolicy(await start_policy(config), guide, config.part(BeamRule), config.step_format)

    return start


async def run(config: RolloutConfig, policy_of: StartPolicy, judge_of: StartJudge) -> None:
    """Everything of the command but the choice of policy and judge, which tests replace."""
    draining = asyncio.Event()
    with drain_on_signal(draining):
        async with reported(config, draining) as meter:
            seeds = await unless_draining(draining, in_thread(lambda: read_seeds(config)))
            earlier = _earlier(config)
            dated = settled(config, earlier)
            settings = await unless_draining(draining, in_thread(lambda: _settings(dated, seeds)))
            settings = as_begun(config, settings, earlier)
            if not _is_finished(config, settings):
                await _write_candidates(dated, seeds, settings, policy_of, judge_of, meter)


async def _write_candidates(
    config: RolloutConfig,
    seeds: SeedSet,
    settings: Settings,
    policy_of: StartPolicy,
    judge_of: StartJudge,
    meter: Meter,
) -> None:
    require_writable(Path(config.out), "--out")
    done = Partial.open(Path(f"{config.out}.partial"), settings, Candidates)
    try:
        await _sample_all(config, seeds, done, policy_of, judge_of, meter)
        write_whole(Path(config.out), _in_order(seeds, done.rows))
        write_whole(_notes(config), msgspec.json.format(msgspec.json.encode(settings)))
        done.remove()
    finally:
        done.close()


async def start_judge(config: RolloutConfig) -> Judge:
    from omegaprm.engine.judge.opening import start_cascade

    return await start_cascade(config)


def _settings(config: RolloutConfig, seeds: SeedSet) -> Settings:
    """What decides the candidates, by name; throughput flags are not among them."""
    named = {**sampled_under(config, seeds), "num_candidates": config.num_candidates}
    if config.search == "beam":
        assert config.prm is not None
        from omegaprm.engine.policy.checkpoint import model_digest

        named |= {"search": "beam", "prm": model_digest(config.prm), **msgspec.structs.asdict(config.part(BeamRule))}
    return {name: str(value) for name, value in named.items()}


def _earlier(config: RolloutConfig) -> Settings:
    """The settings that the file which this command goes on with, or finds finished, was made under."""
    partial, notes = Path(f"{config.out}.partial"), _notes(config)
    if partial.is_file():
        return settings_of_work(partial)
    return (
        msgspec.json.decode(notes.read_bytes(), type=Settings) if notes.exists() and Path(config.out).exists() else {}
    )


def _notes(config: RolloutConfig) -> Path:
    """The settings a finished file was made under, beside it."""
    return Path(f"{config.out}.settings.json")


def _is_finished(config: RolloutConfig, settings: Settings) -> bool:
    """Whether this very command wrote the file already; ConfigurationError for a file of any other origin."""
    out, notes = Path(config.out), _notes(config)
    if Path(f"{config.out}.partial").exists() or not out.exists():
        return False
    if not notes.exists():
        raise ConfigurationError(f"--out {out}: this file is there already; move it away or name another")
    require_same(out, msgspec.json.decode(notes.read_bytes(), type=Settings), settings)
    log.tell("complete", f"nothing to do: {out} is complete")
    return True


@dataclass
class _Sampler:
    """What the problems of a run share."""

    config: RolloutConfig
    policy: Policy
    judge: Judge
    done: Partial[Candidates]
    digests: dict[str, tuple[str, ...]]
    progress: Progress
    image_base: Path | None = None
    failures: dict[str, str] = field(default_factory=dict)

    async def work(self, problem: Problem) -> None:
        """Sample and judge one problem and keep it on disk; a failure of this one alone is noted."""
        with self.progress.opened():
            try:
                await self.done.append(await self._candidates(problem))
            except ProblemFailed as failure:
                self.failures[problem.id] = str(failure)
        state: ProblemState = "quarantined" if problem.id in self.failures else "done"
        self.progress.on_end(ProblemRecord(problem=problem, state=state))

    async def _candidates(self, problem: Problem) -> Candidates:
        prompt = Prompt(problem, (), self.digests.get(problem.id, ()))
        seed = derive_seed(self.config.run_seed, problem.id, 0)
        completions = await self.policy.sample(prompt, self.config.num_candidates, seed)
        judged = await asyncio.gather(*(self._judged(problem, completion) for completion in completions))
        outcomes = (outcome for _, outcome in judged)
        self.progress.on_rollouts(zip(outcomes, (one.num_tokens for one in completions), strict=True))
        return Candidates(
            id=problem.id,
            question=problem.question,
            correct_answer=problem.correct_answer,
            image_path=_image_path(problem, self.image_base),
            solutions_splits=tuple(solution.steps for solution, _ in judged),
            labels=tuple(int(outcome == "correct") for _, outcome in judged),
            answers=tuple(solution.answer for solution, _ in judged),
        )

    async def _judged(self, problem: Problem, completion: Completion) -> tuple[Solution, Outcome]:
        if completion.truncated:
            return split_loosely(completion.text, self.config.step_format), "truncated"
        solution = parse(completion.text, self.config.step_format, self.config.outside_tags)
        if solution is None:
            return Solution((completion.text,), ""), "unparsed"
        verdict = await self.judge.grade(problem, solution.answer)
        return solution, verdict.outcome


def split_loosely(text: str, step_format: StepFormat) -> Solution:
    """Whatever steps an unfinished text has, at least one, and no answer."""
    pieces = [piece.strip() for piece in _LOOSE_ENDS[step_format].split(text)]
    return Solution(tuple(piece for piece in pieces if piece) or (text,), "")


async def _sample_all(
    config: RolloutConfig,
    seeds: SeedSet,
    done: Partial[Candidates],
    policy_of: StartPolicy,
    judge_of: StartJudge,
    meter: Meter,
) -> None:
    """Sample every problem that is not done yet; Drained where a signal came first."""
    finished = {row.id for row in done.rows}
    waiting = [problem for problem in seeds.problems if problem.id not in finished]
    if not waiting:
        return
    draining = meter.draining
    policy = await unless_draining(draining, start_enduring(config, policy_of))
    try:
        judge = await unless_draining(draining, judge_of(config))
        try:
            progress = Progress(len(seeds.problems), len(finished), num_rejected=len(seeds.rejected))
            base = image_base(config)
            sampler = _Sampler(config, policy, judge, done, seeds.image_digests, progress, base)
            meter.run(progress, policy, judge)
            async with shown(meter):
                with meter.until_end():
                    await _work_on(waiting, sampler, draining)
        finally:
            await judge.close()
    finally:
        await policy.close()
    if progress.num_ended < len(seeds.problems):
        raise Drained(f"stopped on a signal with everything saved in {done.path}; run the same command again")
    _report(sampler, seeds)


async def _work_on(waiting: list[Problem], sampler: _Sampler, draining: asyncio.Event) -> None:
    """Work on all. That an engine stopped by the same signal takes no next step of a search is not its death."""
    config = sampler.config
    try:
        await run_all(waiting, sampler.work, config.concurrency, draining, config.drain_seconds)
    except EngineDied:
        if config.search != "beam" or not draining.is_set():
            raise


def _report(sampler: _Sampler, seeds: SeedSet) -> None:
    for problem_id, reason in list(sampler.failures.items())[:SHOWN_FAILURES]:
        log.tell("failed", f"failed {problem_id}: {reason}", id=problem_id, reason=reason)
    if root := _root_elsewhere(sampler, seeds):
        log.tell("images", f"image paths in {sampler.config.out} start from {root}: evaluate with --image-root {root}")
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sampler.progress.outcomes.most_common())
    log.tell(
        "done",
        f"{len(sampler.done.rows)} problems ({len(sampler.failures)} failed, {len(seeds.rejected)} seed rows "
        f"rejected); of this run's candidates: {outcomes}; {sampler.progress.num_tokens} tokens drawn",
    )


def _root_elsewhere(sampler: _Sampler, seeds: SeedSet) -> str:
    """The folder that image paths start from, if bin/evaluate would not look there by itself; "" without images."""
    roots = {problem.image_root for problem in seeds.problems if problem.image_paths}
    if sampler.image_base and roots:
        return str(sampler.image_base)
    return "".join(roots - {str(Path(sampler.config.out).parent.resolve())})


def _in_order(seeds: SeedSet, rows: list[Candidates]) -> bytes:
    """The candidates file: one problem a line, in the order of the seeds."""
    by_id = {row.id: msgspec.json.encode(row) for row in rows}
    lines = [by_id[problem.id] for problem in seeds.problems if problem.id in by_id]
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


def image_base(config: RolloutConfig) -> Path | None:
    """The folder that holds the image roots of seeds files in several folders; None where they have one root."""
    roots = {Path(seeds).parent.resolve() for seeds in config.seeds} if config.image_root is None else set()
    return Path(os.path.commonpath(sorted(roots))) if len(roots) > 1 else None


def _image_path(problem: Problem, base: Path | None) -> str | tuple[str, ...] | None:
    """As the seeds have it, or below the base of all image roots."""
    inside = Path(problem.image_root).relative_to(base) if base and problem.image_paths else Path()
    names = tuple(os.path.normpath(inside / name) for name in problem.image_paths) if base else problem.image_paths
    return names[0] if len(names) == 1 else names or None
