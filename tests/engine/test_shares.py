"""Rollouts from the root and from prefixes are told apart, and only a real difference gives a warning."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omegaprm.engine.records import Counts, Estimate, Origin, Outcome, Rollout
from omegaprm.engine.shares import (
    MIN_DIFFERENCE,
    MIN_ROLLOUTS,
    Shares,
    percent,
    share_lines,
    tallied,
    tally,
    warning,
    warnings,
)

COUNTS = st.builds(Counts, *[st.integers(0, 9999)] * 5)


def estimate(number: int, origin: Origin | None, *outcomes: Outcome) -> Estimate:
    return Estimate(number, origin, ("a",) if origin else (), 0, tuple(Rollout((), outcome) for outcome in outcomes))


def unparsed(root: tuple[int, int], prefixes: tuple[int, int]) -> Shares:
    """Of each kind (unparsed, all) rollouts, the others wrong."""
    return Shares(*(Counts(incorrect=total - count, unparsed=count) for count, total in (root, prefixes)))


def test_further_estimates_of_the_root_count_as_its_rollouts() -> None:
    found = Shares().adding(
        [
            estimate(0, None, "correct", "unparsed"),
            estimate(1, Origin(0, 0, 1), "truncated", "incorrect"),
            estimate(2, None, "truncated"),
        ]
    )
    assert found == Shares(Counts(correct=1, truncated=1, unparsed=1), Counts(incorrect=1, truncated=1))


def test_a_warning_says_what_happened_why_it_matters_and_what_to_do() -> None:
    assert warning(unparsed((6, 576), (410, 1000)), "unparsed") == (
        "41 % of 1,000 rollouts from prefixes are unparsed, but only 1.0 % of 576 from the root. "
        "The labels of later steps then rest on fewer rollouts. "
        "Run bin/annotate --dry-run 8 with the same flags and read the unparsed rollouts that it prints; "
        "then try another --step-format or --few-shot, with a new --store."
    )


def test_truncated_rollouts_are_warned_of_with_their_own_flag() -> None:
    (said,) = warnings(Shares(Counts(correct=100), Counts(correct=70, truncated=30)))
    assert said.startswith("30 % of 100 rollouts from prefixes are truncated, but only 0 % of 100 from the root.")
    assert said.endswith("Raise --max-new-tokens, with a new --store.")


@pytest.mark.parametrize(
    ("root", "prefixes"),
    [
        ((0, 0), (0, 0)),
        ((0, 1000), (0, 0)),
        ((100, 1000), (100, 1000)),
        ((0, 10_000), (int(MIN_DIFFERENCE * 10_000) - 1, 10_000)),
        ((0, MIN_ROLLOUTS - 1), (9000, 10_000)),
        ((0, 10_000), (MIN_ROLLOUTS - 2, MIN_ROLLOUTS - 1)),
        ((5, 60), (14, 60)),
        ((410, 1000), (10, 1000)),
    ],
    ids=[
        "nothing drawn", "no prefixes", "equal", "small difference", "few from the root", "few from prefixes",
        "perhaps chance", "fewer from prefixes",
    ],
)  # fmt: skip
def test_there_is_no_warning_where_prefixes_are_not_clearly_worse(
    root: tuple[int, int], prefixes: tuple[int, int]
) -> None:
    assert warnings(unparsed(root, prefixes)) == []


def test_draws_of_one_share_hardly_ever_warn() -> None:
    rng = random.Random(7)

    def drawn(num: int) -> tuple[int, int]:
        return sum(rng.random() < 0.3 for _ in range(num)), num

    assert sum(bool(warnings(unparsed(drawn(64), drawn(200)))) for _ in range(400)) <= 8


@given(COUNTS, COUNTS)
def test_shares_come_back_from_the_counts_that_they_were_added_to(root: Counts, prefixes: Counts) -> None:
    counts: Counter[str] = Counter({"rows": 3})
    tally(counts, Shares(root))
    tally(counts, Shares(root, prefixes))
    assert tallied(counts) == Shares(root + root, prefixes)
    assert counts["rows"] == 3


def test_the_lines_show_both_shares_and_wait_for_the_first_rollout() -> None:
    assert list(share_lines(Shares())) == []
    assert list(share_lines(unparsed((6, 576), (0, 0)))) == [
        "unparsed    1.0 % of 576 rollouts from the root, none of 0 from prefixes",
        "truncated   0 % of 576 rollouts from the root, none of 0 from prefixes",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0 %"), (0.004, "0.4 %"), (0.0994, "9.9 %"), (0.0996, "10 %"), (1.0, "100 %")]
)
def test_a_small_share_is_not_shown_as_none(value: float, text: str) -> None:
    assert percent(value) == text
