"""A policy with a published model's tokenizer continues prefixes as well as it answers from the root, on the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from omegaprm.engine.certainty import wilson
from omegaprm.engine.records import Counts
from omegaprm.engine.shares import MIN_ROLLOUTS, Shares, exceeds
from tests.real import trial
from tests.real.tuned import policy_folder

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(900)]

FAMILY = "qwen2.5"
NUM_PROBLEMS = 12


async def test_prefixes_are_continued_as_well_as_the_root_is(real_folder: Callable[[str], Path]) -> None:
    real_folder(FAMILY)
    policy = await trial.started(policy_folder(FAMILY, "joined"))
    try:
        now = await trial.tried(policy, NUM_PROBLEMS)
        inside_a_token = await trial.tried(policy, NUM_PROBLEMS, end=trial.whole)
    finally:
        await policy.close()
    assert enough(now.shares)
    assert enough(inside_a_token.shares)
    assert not exceeds(now.shares, "unparsed")
    assert interval(now.shares.from_prefixes)[0] <= interval(now.shares.from_root)[1]
    assert exceeds(inside_a_token.shares, "unparsed"), "the policy must show what a prompt inside of a token does"


def enough(shares: Shares) -> bool:
    return min(shares.from_root.total, shares.from_prefixes.total) >= MIN_ROLLOUTS


def interval(counts: Counts) -> tuple[float, float]:
    return wilson(counts.unparsed, counts.total)
