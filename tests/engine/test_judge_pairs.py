"""The hard pairs, and how fast the judge is: moderate bounds, for any machine (docs/judge.md has what was measured)."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.engine import judge_figures
from tests.engine.hard_pairs import load
from tests.engine.hard_pairs.__main__ import by_cascade

MIN_AGREEMENT = 0.98
MIN_OF_A_TYPE = 0.9

TYPES = {
    *("integer", "decimal", "fraction", "percent", "money", "unit", "thousands", "interval", "set", "tuple"),
    *("expression", "equation", "matrix", "choice", "yes-no", "time", "date", "words", "several", "sentence", "none"),
}


def test_there_are_enough_hard_pairs_half_equivalent_each_with_a_reason():
    pairs = load()
    assert len(pairs) >= 600
    assert len({(one.question, one.reference, one.answer) for one in pairs}) == len(pairs)
    assert 0.48 <= sum(one.expected == "correct" for one in pairs) / len(pairs) <= 0.52
    assert {one.type for one in pairs} >= TYPES
    assert all(one.reason and one.expected in ("correct", "incorrect") for one in pairs)


async def test_the_rules_alone_agree_with_the_hard_pairs():
    pairs = load()
    verdicts = await by_cascade(pairs)
    missed = [one for one, verdict in zip(pairs, verdicts, strict=True) if verdict.outcome != one.expected]
    assert len(missed) <= (1 - MIN_AGREEMENT) * len(pairs), missed
    total, wrong = Counter(one.type for one in pairs), Counter(one.type for one in missed)
    assert [kind for kind in total if wrong[kind] > (1 - MIN_OF_A_TYPE) * total[kind]] == []


async def test_known_verdicts_are_given_at_once():
    assert await judge_figures.cached_per_second(10_000) > 10_000


@pytest.mark.timeout(120)
async def test_two_workers_compare_many_answers_a_second():
    assert await judge_figures.compared_per_second(num=200) > 10
