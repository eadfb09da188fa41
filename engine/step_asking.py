"""Which steps a judge is still to be asked about, and the asking: an opinion is on disk before its step counts as done.

A step is asked about once, however many rollouts share it: what is asked is the text from the question up to it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from omegaprm.engine import images, journal
from omegaprm.engine.export import ExportConfig, problem_rows
from omegaprm.engine.judge.chatting import Spent, Unanswered
from omegaprm.engine.judge.step_rule import StepRule
from omegaprm.engine.opinions import Opinion, StepJudge, opinions_of, stored_judge, write_judge, write_opinion
from omegaprm.engine.progress import clock_text
from omegaprm.engine.records import Problem, ProblemRecord
from omegaprm.engine.store import Store
from omegaprm.engine.tree import ROOT_DIGEST, state_digests

Solutions = Callable[[ProblemRecord], Iterator[tuple[str, ...]]]
"""The solutions of a problem whose steps are asked about."""

SHOWN_REFUSALS = 5
MAX_PICTURES = 64
"""Problems whose images are kept encoded; their steps are asked about one after the other."""


class Question(NamedTuple):
    """The last of these steps; state is the digest behind it."""

    problem: Problem
    steps: tuple[str, ...]
    state: bytes


def steps_of(which: str, store: Store) -> Solutions:
    """ "all" stored rollouts, or the "rows" that bin/export writes by default."""

    def every(record: ProblemRecord) -> Iterator[tuple[str, ...]]:
        for estimate in journal.estimates(store, record.problem.id):
            for rollout in estimate.rollouts:
                yield estimate.prefix + rollout.steps

    def of_rows(record: ProblemRecord) -> Iterator[tuple[str, ...]]:
        for row in problem_rows(ExportConfig(stores=("",), out=""), store, record, Counter()):
            yield row.steps

    return every if which == "all" else of_rows


class Asking:
    """One run over a store: questions() and ask() for omegaprm.engine.scheduler.run_all, then the cost and a report."""

    def __init__(self, store: Store, rule: StepRule, model: str, solutions: Solutions) -> None:
        self.counts: Counter[str] = Counter()
        self._store = store
        self._rule = rule
        self._model = model
        self._solutions = solutions
        self._before = stored_judge(store, model)
        self._started = time.monotonic()
        self._pictures: dict[str, tuple[str, ...]] = {}
        self._none_left = False
        self._num_taken = 0

    @property
    def num_settled(self) -> int:
        """Steps that this run is through with, whatever came of them."""
        return sum(self.counts[name] for name in ("right", "wrong", "unread", "refused"))

    @property
    def is_through(self) -> bool:
        return self._none_left and self.num_settled == self._num_taken

    def questions(self) -> Iterator[Question]:
        """The steps without an opinion, problem by problem; each once."""
        for record in journal.problem_records(self._store):
            if record.state == "quarantined":
                continue
            known = set(opinions_of(self._store, record.problem.id, self._model))
            self.counts["known"] += len(known)
            for steps in self._solutions(record):
                for at, state in enumerate(state_digests(ROOT_DIGEST, steps)):
                    if state not in known:
                        known.add(state)
                        self._num_taken += 1
                        yield Question(record.problem, steps[: at + 1], state)
        self._none_left = True

    async def ask(self, question: Question) -> None:
        """Put one question and keep the opinion; what gets none is counted and asked again by the next run."""
        problem = question.problem
        try:
            pictures = await self._pictures_of(problem)
            opinion = await self._rule.is_right(problem, question.steps[:-1], question.steps[-1], pictures)
        except (images.ImageError, Unanswered) as error:
            self._refused(problem, error)
            return
        if opinion is None:
            self.counts["unread"] += 1
            return
        await self._store.commit([write_opinion(problem.id, question.state, self._model, Opinion(opinion))])
        self.counts["right" if opinion else "wrong"] += 1

    async def _pictures_of(self, problem: Problem) -> tuple[str, ...]:
        """The problem's images as data URLs."""
        if problem.id not in self._pictures:
            pictures = await asyncio.to_thread(_data_urls, problem)
            if len(self._pictures) >= MAX_PICTURES:
                self._pictures.pop(next(iter(self._pictures)))
            self._pictures[problem.id] = pictures
        return self._pictures[problem.id]

    def _refused(self, problem: Problem, error: Exception) -> None:
        self.counts["refused"] += 1
        if self.counts["refused"] <= SHOWN_REFUSALS:
            print(f"no opinion on a step of {problem.id}: {error}", file=sys.stderr, flush=True)

    async def keep_cost(self, spent: Spent) -> None:
        """Add this run's cost to what the store says of the judge."""
        before = self._before
        judge = StepJudge(
            model=self._model,
            num_requests=before.num_requests + spent.num_requests,
            num_replies=before.num_replies + spent.num_replies,
            num_prompt_tokens=before.num_prompt_tokens + spent.num_prompt_tokens,
            num_completion_tokens=before.num_completion_tokens + spent.num_completion_tokens,
        )
        await self._store.commit([write_judge(judge)])

    def line(self) -> str:
        """The state of the run in one line."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        num = self.counts["right"] + self.counts["wrong"]
        without = self.counts["unread"] + self.counts["refused"]
        return (
            f"steps judged {num} ({num / seconds:.0f}/s), {self.counts['known']} known before, "
            f"{without} without an opinion, elapsed {clock_text(seconds)}"
        )

    def report(self, spent: Spent) -> str:
        """What the run did and what it and all runs before have cost."""
        counts, before = self.counts, self._before
        tokens = f"{spent.num_prompt_tokens} prompt and {spent.num_completion_tokens} completion tokens"
        all_tokens = before.num_prompt_tokens + spent.num_prompt_tokens
        all_tokens += before.num_completion_tokens + spent.num_completion_tokens
        return (
            f"steps: {counts['right']} right, {counts['wrong']} wrong, {counts['unread']} unread, "
            f"{counts['refused']} refused, {counts['known']} known before\n"
            f"cost: {spent.num_requests} requests, {spent.num_failures} failed, {tokens}\n"
            f"cost of all runs: {before.num_requests + spent.num_requests} requests, {all_tokens} tokens"
        )


def _data_urls(problem: Problem) -> tuple[str, ...]:
    """The images of a problem, each bounded and whole. ImageError."""
    urls = []
    for name in problem.image_paths:
        path = images.resolve(Path(problem.image_root), name)
        images.check(path)
        urls.append(images.data_url(path))
    return tuple(urls)
