"""Progress counts what this run did and tells its pace and the time left; a snapshot says the same everywhere."""

from __future__ import annotations

import asyncio
import io

import msgspec
import pytest
from rich.console import Console

from omegaprm.engine.load import JudgeLoad, PolicyLoad
from omegaprm.engine.meter import Meter
from omegaprm.engine.progress import Progress, clock_text
from omegaprm.engine.records import Estimate, Origin, Problem, ProblemRecord, Rollout
from omegaprm.engine.screen import screen
from omegaprm.engine.snapshot import Prices, line

PROBLEM = Problem(id="p", question="?", correct_answer="1")


class LoadedParts:
    """A policy and a judge that tell their load."""

    def policy_load(self) -> PolicyLoad:
        return PolicyLoad(kv_cache_use=0.25, num_running=7, num_waiting=3)

    def judge_load(self) -> JudgeLoad:
        return JudgeLoad(queue=5, num_requests=40, num_tokens=1_000_000)


def run_after_20_seconds(**prices: float) -> Meter:
    """10 problems, 4 of them ended before, 2 now, one of these quarantined; 5 rollouts of 40 tokens."""
    now = [0.0]
    progress = Progress(num_problems=10, num_ended_before=4, clock=lambda: now[0])
    assert progress.eta_seconds is None
    now[0] = 20.0
    progress.on_end(ProblemRecord(problem=PROBLEM, state="done"))
    progress.on_end(ProblemRecord(problem=PROBLEM, state="quarantined"))
    progress.on_estimate(Estimate(0, None, (), 0, (Rollout(("7",), "correct", num_tokens=40),) * 5))
    meter = Meter(asyncio.Event(), Prices(**prices))
    meter.run(progress, LoadedParts(), LoadedParts())
    return meter


def test_the_eta_follows_this_runs_pace_not_earlier_ones():
    assert run_after_20_seconds().snapshot().eta_seconds == 4 * 10.0


def test_a_line_names_what_is_known():
    text = run_after_20_seconds(price_per_hour=360.0, judge_price_per_million_tokens=0.5).line()
    parts = (
        "problems 6/10",
        "quarantined 1",
        "rollouts 5 (0/s)",
        "tokens 10/s",
        "decoding 7",
        "KV 25%",
        "judge queue 5",
    )
    for part in (*parts, "cost 2.50", "elapsed 0:20", "ETA 0:40"):
        assert part in text
    assert "cost" not in run_after_20_seconds().line()


def test_the_screen_shows_the_same_numbers():
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    console.print(screen(run_after_20_seconds(price_per_million_tokens=1e6).snapshot()))
    text = console.file.getvalue()
    for part in ("6/10", "5 done, 0 open, 1 quarantined", "5 correct", "KV cache 25%, 7 running, 3 waiting"):
        assert part in text
    for part in ("5 waiting, 40 requests, 1000000 tokens", "200.00", "0:20 elapsed, 0:40 left; running"):
        assert part in text


def test_unparsed_rollouts_from_prefixes_are_warned_of_while_the_run_goes_on():
    progress = Progress(num_problems=2)
    meter = Meter(asyncio.Event(), progress=progress)
    good, unread = (Rollout(("7",), "correct"),), (Rollout((), "unparsed", text="x"),)
    progress.on_estimate(Estimate(0, None, (), 0, good * 64))
    progress.on_estimate(Estimate(1, Origin(0, 0, 1), ("7",), 0, good * 64))
    assert "warning" not in meter.line()
    progress.on_estimate(Estimate(2, Origin(0, 0, 1), ("7",), 0, unread * 64))
    assert "warning: 50 % of 128 rollouts from prefixes unparsed, 0 % of 64 from the root" in meter.line()
    console = Console(file=io.StringIO(), width=100)
    console.print(screen(meter.snapshot()))
    assert "unparsed    0 % of 64 rollouts from the root, 50 % of 128 from prefixes" in console.file.getvalue()
    assert "warning    50 % of 128 rollouts from prefixes are unparsed" in console.file.getvalue()


def test_rates_are_those_of_the_last_minute():
    now = [0.0]
    progress = Progress(1, clock=lambda: now[0])
    for second in range(1, 200):
        now[0] = float(second)
        progress.on_rollouts([("correct", 3)] * (10 if second <= 100 else 2))
        rates = progress.rates()
    assert rates == pytest.approx((2.0, 6.0))


def test_a_snapshot_is_kept_and_read_whole():
    snapshot = run_after_20_seconds().snapshot()
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot), type=type(snapshot))
    assert again == snapshot
    assert line(again) == line(snapshot)


def test_the_state_follows_the_run():
    meter = Meter(asyncio.Event())
    states = [meter.state]
    meter.run(Progress(1), None, None)
    states.append(meter.state)
    meter.draining.set()
    states.append(meter.state)
    with meter.until_end():
        pass
    states.append(meter.state)
    meter.progress.on_end(ProblemRecord(problem=PROBLEM, state="done"))
    with meter.until_end():
        pass
    assert [*states, meter.state] == ["loading", "running", "draining", "stopped", "done"]


def test_clock_text():
    assert [clock_text(seconds) for seconds in (0, 59.6, 3599, 3600, 86399)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:00:00",
        "23:59:59",
    ]
