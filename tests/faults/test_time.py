"""A clock that jumps, a loop that stalls and a policy that never answers are borne, told and bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.fakes.annotate import Script
from tests.faults.daemon import Job, exported

pytestmark = pytest.mark.family("time")


def test_a_clock_that_jumps_by_days_to_and_fro_changes_nothing(
    job: Job, undisturbed: tuple[bytes, bytes], shim: Callable[..., Mapping[str, str]], tmp_path: Path
) -> None:
    code, said = job.run(tmp_path / "store", script=Script(pause=0.01), environment=shim(jump=400_000))
    assert code == 0, said
    assert "stood still" not in said
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def test_a_loop_that_stalls_is_told_with_the_stack(job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path) -> None:
    code, said = job.run(tmp_path / "store", "--stall-seconds", "0.4", script=Script(stall=1.2))
    assert code == 0, said
    assert "watchdog: the event loop stood still for" in said
    assert "in hold_up_the_loop" in said
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def test_problems_that_are_never_answered_are_asked_three_times_and_quarantined_alone(
    job: Job, finished: Path, tmp_path: Path
) -> None:
    """Three, left alone at the end, are more silences in a row than a dead engine shows."""
    code, said = job.run(tmp_path / "store", "--request-seconds", "2", script=Script(silent=("p3", "p8", "p21")))
    assert code == 0, said
    for silent in ("p3", "p8", "p21"):
        assert f"quarantined {silent}: the policy did not answer within 2 s, asked 3 times" in said
    assert "3 quarantined" in said
    rows = exported(tmp_path / "store", tmp_path / "out")[0].splitlines()
    others = exported(finished, tmp_path / "whole")[0].splitlines()
    assert rows == [row for row in others if not any(b'"id":"%s#' % id in row for id in (b"p3", b"p8", b"p21"))]


def test_a_policy_that_answers_nothing_at_all_is_a_dead_engine_and_quarantines_nothing(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path
) -> None:
    code, said = job.run(tmp_path / "store", "--request-seconds", "1", script=Script(silent=("*",)))
    assert code == 70, said
    assert "answered nothing" in said
    assert job.run(tmp_path / "store")[0] == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed
