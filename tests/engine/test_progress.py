"""Progress counts what this run did and tells the time left at its pace."""

from __future__ import annotations

from engine.progress import Progress, clock_text
from engine.records import Estimate, Problem, ProblemRecord, Rollout


def test_the_eta_follows_this_runs_pace_not_earlier_ones():
    now = [0.0]
    progress = Progress(num_problems=10, num_ended_before=4, clock=lambda: now[0])
    assert progress.eta_seconds is None
    now[0] = 20.0
    problem = Problem(id="p", question="?", correct_answer="1")
    progress.on_end(ProblemRecord(problem=problem, state="done"))
    progress.on_end(ProblemRecord(problem=problem, state="quarantined"))
    assert progress.eta_seconds == 4 * 10.0
    progress.on_estimate(Estimate(0, None, (), 0, (Rollout(("7",), "correct", num_tokens=40),) * 5))
    line = progress.line()
    assert "problems 6/10" in line
    assert "quarantined 1" in line
    assert "rollouts 5 (0/s)" in line
    assert "tokens 10/s" in line
    assert "ETA 0:40" in line


def test_clock_text():
    assert [clock_text(seconds) for seconds in (0, 59.6, 3599, 3600, 86399)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:00:00",
        "23:59:59",
    ]
