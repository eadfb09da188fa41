"""SIGKILL at random moments: nothing acknowledged is lost and nothing is drawn twice."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.annotate import Script
from tests.faults.daemon import Job, exported, holds

KILLS_A_STORE = 8
"""Then the run is left to finish and its export compared."""
MAX_ACKNOWLEDGED = 25
"""Estimates of some 300 that a try may get done, so that a store is not finished before its last kill."""

pytestmark = pytest.mark.family("kill")


def kill_at_random(job: Job, store: Path, rng: random.Random) -> tuple[bool, dict[str, str]]:
    """Whether it came before the job was finished, and what was acknowledged; it may come while the daemon starts."""
    daemon = job.start(store, script=Script(pause=0.01))
    if rng.random() < 0.15:
        time.sleep(rng.random() * 0.3)
    else:
        daemon.wait_for(rng.randint(1, MAX_ACKNOWLEDGED))
        time.sleep(rng.random() * 0.01)
    return daemon.killed(), daemon.acknowledged


def test_kills_at_random_moments_leave_the_export_of_an_undisturbed_run(
    job: Job,
    undisturbed: tuple[bytes, bytes],
    tmp_path: Path,
    tries: int,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("tries", tries)
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    kills = 0
    for store in (tmp_path / f"store{number}" for number in itertools.count()):
        acknowledged: dict[str, str] = {}
        for _ in range(min(KILLS_A_STORE, tries - kills)):
            killed, told = kill_at_random(job, store, rng)
            kills += killed
            acknowledged |= told
            if acknowledged:
                holds(store, acknowledged)
            if not killed:
                break
        code, said = job.run(store)
        assert code == 0, said
        assert exported(store, tmp_path / "out") == undisturbed, f"seed {seed}"
        if kills == tries:
            break


def test_kills_while_sampling_ahead_lose_nothing(job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path) -> None:
    acknowledged: dict[str, str] = {}
    for _ in range(2):
        daemon = job.start(tmp_path / "store", "--speculate", "16", script=Script(pause=0.02))
        daemon.wait_for(20)
        daemon.kill()
        acknowledged |= daemon.acknowledged
    holds(tmp_path / "store", acknowledged)
    code, said = job.run(tmp_path / "store", "--speculate", "16", "--log-format", "json")
    assert code == 0, said
    (told,) = [json.loads(line) for line in said.splitlines() if '"speculated"' in line]
    assert told["wanted"] > 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed
