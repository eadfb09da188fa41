"""The judge of a run: rules of form, then what is known already, then math-verify, then a model; no pair asked twice.

What the exact rules decide is never stored, it costs less than looking it up. Verdicts that cost a comparison
are kept by (question, reference, normalised answer), in memory and, where a cache is given, on disk;
"unknown" is kept in memory alone, so that one run is consistent and the next may try again. A model is asked only
where the rules end in "unknown" and there is an answer to speak of.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict
from typing import Protocol

from omegaprm.engine.judge import exact
from omegaprm.engine.judge.flags import RULES_VERSION
from omegaprm.engine.judge.llm import LlmRule
from omegaprm.engine.judge.math_rule import MathVerify
from omegaprm.engine.judge.verbal import OTHER_WORD
from omegaprm.engine.load import JudgeLoad
from omegaprm.engine.records import Problem, Verdict

MAX_VERDICTS_IN_MEMORY = 100_000
"""Verdicts kept in memory, the least recently used leave first; about 250 bytes each."""


class VerdictCache(Protocol):
    """Verdicts that outlive the run, by a 16-byte key. An awaited put is kept."""

    def get(self, key: bytes) -> Verdict | None: ...

    async def put(self, key: bytes, verdict: Verdict) -> None: ...


NEVER_ASKED = frozenset({exact.EMPTY.rule, exact.TOO_LONG.rule})
"""Rules whose "unknown" no model is asked about."""


def verdict_key(question: str, reference: str, normalised_answer: str, identity: str = "") -> bytes:
    """16 bytes that stand for a comparison under the present rules and by the model of that identity."""
    digest = hashlib.blake2b(digest_size=16, key=b"%d" % RULES_VERSION)
    for part in (question, reference, normalised_answer, *([identity] if identity else [])):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


class Cascade:
    """A Judge; see the module. `counts` holds the verdicts given so far by (outcome, rule).

    >>> judge = await Cascade.start(num_workers=1, deadline_seconds=5.0)
    >>> await judge.grade(problem, "\\\\boxed{12}")
    >>> await judge.close()
    """

    def __init__(
        self, rule: MathVerify, cache: VerdictCache | None, llm: LlmRule | None = None, identity: str = ""
    ) -> None:
        """identity: what tells the model of llm and its template from others, part of every key."""
        self.counts: Counter[tuple[str, str]] = Counter()
        self._rule = rule
        self._cache = cache
        self._llm = llm
        self._identity = identity
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Verdict]] = {}

    @classmethod
    async def start(cls, num_workers: int, deadline_seconds: float, cache: VerdictCache | None = None) -> Cascade:
        """A judge of rules alone, whose math-verify processes start with the first comparison that needs them."""
        return cls(MathVerify(num_workers, deadline_seconds), cache)

    async def grade(self, problem: Problem, answer: str) -> Verdict:
        """The verdict on one final answer. Raises JudgeUnreachable, and what the cache raises.

        Cancelling a call leaves the comparison to the others that wait for it.
        """
        verdict = exact.decide(problem.question, problem.correct_answer, answer)
        if verdict is None or self._may_ask(verdict):
            verdict = await self._compared(problem, answer, verdict)
        self.counts[verdict.outcome, verdict.rule] += 1
        return verdict

    def judge_load(self) -> JudgeLoad:
        """Comparisons under way, and what the model was asked."""
        if self._llm is None:
            return JudgeLoad(queue=len(self._asking))
        spent = self._llm.chatting.spent
        return JudgeLoad(
            queue=len(self._asking),
            num_requests=spent.num_requests,
            num_failures=spent.num_failures,
            num_tokens=spent.num_prompt_tokens + spent.num_completion_tokens,
        )

    def _may_ask(self, verdict: Verdict) -> bool:
        if self._llm is None or verdict.rule in NEVER_ASKED:
            return False
        return verdict.outcome == "unknown" or verdict == OTHER_WORD

    async def _compared(self, problem: Problem, answer: str, by_form: Verdict | None) -> Verdict:
        """by_form: what the exact rules ended in, None where math-verify comes next."""
        key = verdict_key(problem.question, problem.correct_answer, exact.form(answer), self._identity)
        known = self._recall(key)
        if known is not None:
            return known
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key, problem, answer, by_form))
            task.add_done_callback(_retrieve)
            self._asking[key] = task
        return await asyncio.shield(task)

    def _recall(self, key: bytes) -> Verdict | None:
        verdict = self._known.get(key)
        if verdict is not None:
            self._known.move_to_end(key)
        elif self._cache is not None and (verdict := self._cache.get(key)) is not None:
            self._remember(key, verdict)
        return verdict

    def _remember(self, key: bytes, verdict: Verdict) -> None:
        self._known[key] = verdict
        if len(self._known) > MAX_VERDICTS_IN_MEMORY:
            self._known.popitem(last=False)

    async def _ask(self, key: bytes, problem: Problem, answer: str, by_form: Verdict | None) -> Verdict:
        try:
            forms = exact.compared(problem.question, problem.correct_answer, answer)
            verdict = by_form or await self._rule.compare(*forms)
            if self._llm is not None and self._may_ask(verdict):
                verdict = await self._llm.compare(problem, answer)
            self._remember(key, verdict)
            if self._cache is not None and verdict.outcome != "unknown":
                await self._cache.put(key, verdict)
            return verdict
        finally:
            del self._asking[key]

    async def close(self) -> None:
        """End the comparisons under way, which raises CancelledError in those who wait, the processes and the model."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._rule.close()
        if self._llm is not None:
            await self._llm.close()


def _retrieve(task: asyncio.Task[Verdict]) -> None:
    """Take note of a task's error even where every waiter is gone."""
    if not task.cancelled():
        task.exception()
