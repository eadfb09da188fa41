from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from omegaprm.engine.errors import JudgeUnreachable
from omegaprm.engine.judge import cascade, math_rule
from omegaprm.engine.judge.cascade import Cascade, verdict_key
from omegaprm.engine.judge.math_rule import MathVerify
from omegaprm.engine.records import Problem, Verdict

ROOT = Path(__file__).parents[2]
MAX_LOOP_LAG_SECONDS = 0.05

SLOW = "(x+y+z)^{300}"
"""A comparison that no deadline in these tests allows for."""

BOMBS = {
    "power tower": "9**9**9",
    "braced tower": "9^{9^{9}}",
    "factorial of a factorial": "(10000000!)!",
    "a million characters": "1+" * 500_000,
    "slow": SLOW,
    "nested fractions": "\\frac{1}{" * 90 + "x" + "}" * 90,
    "deep parentheses": "(" * 450 + "x" + ")" * 450,
    "open parentheses": "(" * 900,
}


def problem(reference: str, question: str = "") -> Problem:
    return Problem(id="p", question=question, correct_answer=reference)


CORRECT = Verdict("correct", "math-verify")


class CountingRule(MathVerify):
    """math-verify replaced by a script that counts and can be held."""

    def __init__(self, verdict: Verdict = CORRECT) -> None:
        super().__init__(1, 1.0)
        self.verdict = verdict
        self.asked: list[tuple[str, str]] = []
        self.gate = asyncio.Event()

    async def compare(self, reference: str, answer: str) -> Verdict:
        self.asked.append((reference, answer))
        await self.gate.wait()
        return self.verdict


class MemoryCache:
    def __init__(self) -> None:
        self.verdicts: dict[bytes, Verdict] = {}

    def get(self, key: bytes) -> Verdict | None:
        return self.verdicts.get(key)

    async def put(self, key: bytes, verdict: Verdict) -> None:
        self.verdicts[key] = verdict


@pytest.fixture
async def judge():
    judge = await Cascade.start(num_workers=1, deadline_seconds=60)
    yield judge
    await judge.close()


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_no_process_starts_before_a_comparison_needs_one(judge):
    await judge.grade(problem("5"), "6")
    assert judge._rule.pids == []
    await judge.grade(problem("x+1"), "1+x")
    assert len(judge._rule.pids) == 1


async def test_verdicts_are_counted_by_outcome_and_rule(judge):
    for answer in ("5", "5.0", "6", "7", ""):
        await judge.grade(problem("5"), answer)
    assert judge.counts == {
        ("correct", "exact"): 1,
        ("correct", "number"): 1,
        ("incorrect", "number"): 2,
        ("unknown", "empty"): 1,
    }


async def test_equal_answers_in_flight_are_asked_once_and_one_cancelled_leaves_the_other():
    rule = CountingRule()
    judge = Cascade(rule, None)
    first = asyncio.create_task(judge.grade(problem("x+1"), "1+x"))
    second = asyncio.create_task(judge.grade(problem("x+1"), "$1 + x$"))
    await until(lambda: rule.asked)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    rule.gate.set()
    assert (await second).outcome == "correct"
    assert (await judge.grade(problem("x+1"), "1+x.")).outcome == "correct"
    assert rule.asked == [("x+1", "1+x")]
    await judge.close()


async def test_the_durable_cache_holds_what_was_compared_and_nothing_that_is_unknown():
    cache, rule = MemoryCache(), CountingRule()
    rule.gate.set()
    judge = Cascade(rule, cache)
    await judge.grade(problem("5"), "6")
    assert not cache.verdicts
    await judge.grade(problem("x+1", "q"), "1+x")
    assert cache.verdicts == {verdict_key("q", "x+1", "1+x"): Verdict("correct", "math-verify")}
    rule.verdict = Verdict("unknown", "math-verify-timeout")
    await judge.grade(problem("x+1", "q"), "x+2")
    assert len(cache.verdicts) == 1
    await judge.close()


async def test_a_verdict_in_the_durable_cache_is_not_asked_again():
    cache, rule = MemoryCache(), CountingRule()
    cache.verdicts[verdict_key("q", "x+1", "1+x")] = Verdict("incorrect", "llm")
    judge = Cascade(rule, cache)
    assert await judge.grade(problem("x+1", "q"), "1+x") == Verdict("incorrect", "llm")
    assert not rule.asked
    await judge.close()


async def test_memory_holds_a_bounded_number_of_verdicts(monkeypatch):
    monkeypatch.setattr(cascade, "MAX_VERDICTS_IN_MEMORY", 2)
    rule = CountingRule()
    rule.gate.set()
    judge = Cascade(rule, None)
    for answer in ("x+2", "x+3", "x+4", "x+2"):
        await judge.grade(problem("x+1"), answer)
    assert len(judge._known) == 2
    assert [answer for _, answer in rule.asked] == ["x+2", "x+3", "x+4", "x+2"]
    await judge.close()


def test_keys_tell_the_parts_apart():
    keys = {verdict_key("ab", "c", "d"), verdict_key("a", "bc", "d"), verdict_key("a", "b", "cd")}
    assert len(keys) == 3
    assert all(len(key) == 16 for key in keys)


async def test_bombs_end_as_unknown_within_the_deadline_and_never_hold_the_loop_up():
    judge = await Cascade.start(num_workers=1, deadline_seconds=2)
    await judge.grade(problem("x+1"), "1+x")
    lags: list[float] = []
    watch = asyncio.create_task(record_lag(lags))
    for name, bomb in BOMBS.items():
        verdict = await asyncio.wait_for(judge.grade(problem("12"), bomb), 60)
        assert verdict.outcome == "unknown", (name, verdict)
    watch.cancel()
    assert (await judge.grade(problem("x+2"), "2+x")).outcome == "correct"
    assert sorted(lags)[int(len(lags) * 0.99)] < MAX_LOOP_LAG_SECONDS
    await judge.close()


async def record_lag(lags: list[float]) -> None:
    """Note how much later than asked for the loop comes round."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append(time.perf_counter() - start - 0.01)


async def test_a_comparison_that_overruns_leaves_the_others_their_verdicts():
    judge = await Cascade.start(num_workers=2, deadline_seconds=3)
    verdicts = await asyncio.gather(
        judge.grade(problem("12"), SLOW),
        *(judge.grade(problem(f"x+{number}"), f"{number}+x") for number in range(1, 5)),
    )
    assert verdicts[0] == Verdict("unknown", "math-verify-timeout")
    assert {verdict.outcome for verdict in verdicts[1:]} == {"correct"}
    await judge.close()


async def test_a_killed_worker_costs_one_verdict_and_is_replaced(judge):
    await judge.grade(problem("x+1"), "1+x")
    (pid,) = judge._rule.pids
    asked = asyncio.create_task(judge.grade(problem("12"), SLOW))
    await until(lambda: judge._rule._idle.empty())
    os.kill(pid, signal.SIGKILL)
    assert await asked == Verdict("unknown", "math-verify-failed")
    assert (await judge.grade(problem("x+2"), "2+x")).outcome == "correct"
    assert judge._rule.pids != [pid]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limit from /proc")
async def test_the_memory_of_a_worker_is_bounded():
    rule = MathVerify(1, deadline_seconds=60, max_worker_bytes=1 << 30)
    assert (await rule.compare("x+1", "1+x")).outcome == "correct"
    limits = Path(f"/proc/{rule.pids[0]}/limits").read_text()  # noqa: ASYNC240
    assert re.search(rf"Max address space\s+{1 << 30}\s+{1 << 30}\s", limits)
    await rule.close()


@pytest.mark.parametrize("answer", ["2^{10^{10}}", "(10^9)!", "\\binom{10^9}{10^8}", "10^{10^{10^{10}}}"])
async def test_a_number_past_all_memory_is_unknown_and_costs_no_worker(judge, answer):
    await judge.grade(problem("x+1"), "1+x")
    pids = judge._rule.pids
    assert await judge.grade(problem("12"), answer) == Verdict("unknown", "math-verify-too-large")
    assert judge._rule.pids == pids


async def test_a_cancelled_comparison_does_not_answer_the_next_one():
    rule = MathVerify(1, deadline_seconds=60)
    await rule.compare("x+1", "1+x")
    asked = asyncio.create_task(rule.compare("12", SLOW))
    await until(lambda: rule._idle.empty())
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert (await rule.compare("x+1", "x-1")).outcome == "incorrect"
    assert (await rule.compare("x+1", "1+x")).outcome == "correct"
    await rule.close()


async def test_a_worker_that_never_starts_is_a_judge_out_of_reach():
    rule = MathVerify(1, deadline_seconds=5, max_worker_bytes=30 << 20)
    with pytest.raises(JudgeUnreachable, match="math-verify: its process did not start 3 times"):
        await rule.compare("x", "y")
    await rule.close()


async def test_workers_ignore_the_signals_that_drain_a_run(judge):
    await judge.grade(problem("x+1"), "1+x")
    (pid,) = judge._rule.pids
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        os.kill(pid, name)
    assert (await judge.grade(problem("x+2"), "2+x")).outcome == "correct"
    assert judge._rule.pids == [pid]


async def test_close_ends_the_processes_and_those_who_wait():
    judge = await Cascade.start(num_workers=1, deadline_seconds=60)
    await judge.grade(problem("x+1"), "1+x")
    (pid,) = judge._rule.pids
    waiting = asyncio.create_task(judge.grade(problem("12"), SLOW))
    await until(lambda: judge._rule._idle.empty())
    await judge.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not is_running(pid)


PARENT = """
import asyncio
from omegaprm.engine.judge.math_rule import MathVerify

async def main():
    rule = MathVerify(1, deadline_seconds=600)
    await rule.compare("x+1", "1+x")
    asyncio.get_running_loop().call_later(0.5, lambda: print(rule.pids[0], flush=True))
    await rule.compare("12", "(x+y+z)^{300}")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
async def test_a_busy_worker_dies_with_a_killed_parent():
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(PARENT), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    pid = int(await parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not is_running(pid))


def is_running(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_the_worker_imports_nothing_heavy():
    code = (
        "import omegaprm.engine.judge.cascade, math_verify, sys; print(sorted({'torch', 'vllm'} & sys.modules.keys()))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.decode().strip() == "[]"


def test_units_and_names_are_made_ready_for_math_verify():
    assert math_rule.formula("2pi cm").replace(" ", "") == "2\\pi"
    assert math_rule.last_value("3+4=7") == "7"
    assert math_rule.last_value("x=1,y=2") == "x=1,y=2"
