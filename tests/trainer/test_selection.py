"""Which rows are taken is drawn by the seed alone; shared steps count once, with the rollouts of every copy."""

from __future__ import annotations

from collections import Counter

import pytest

from omegaprm.engine.records import TrainingRow
from omegaprm.trainer.rows import Part
from omegaprm.trainer.selection import SelectionRule, merged, selected


def row(question: str, *steps: tuple[str, float | None, tuple[int, int] | None]) -> TrainingRow:
    texts, labels, counts = zip(*steps, strict=True)
    return TrainingRow(id=question, question=question, steps=texts, labels=labels, counts=counts)


def tree(question: str, num_wrong: int, num_right: int) -> list[TrainingRow]:
    wrong = [row(question, ("a", 0.5, (4, 8)), (f"w{at}", 0.0, (0, 1))) for at in range(num_wrong)]
    return wrong + [row(question, ("a", 0.5, (4, 8)), (f"r{at}", 1.0, (1, 1))) for at in range(num_right)]


ROWS = [one for at in range(12) for one in tree(f"q{at}", 3, 1 + at % 4)]


def test_all_takes_every_row_as_it_stands() -> None:
    assert list(selected(ROWS, SelectionRule())) == ROWS


def test_balanced_takes_as_many_wrong_rows_of_a_problem_as_right_ones() -> None:
    taken = selected(ROWS, SelectionRule(select="balanced"))
    counts = Counter((one.question, 0 in one.labels) for one in taken)
    for at in range(12):
        assert counts[f"q{at}", True] == counts[f"q{at}", False] == min(3, 1 + at % 4)


@pytest.mark.parametrize("select", ["all", "balanced"])
def test_no_problem_has_more_rows_than_allowed(select: str) -> None:
    rule = SelectionRule(select=select, rows_a_problem=2)  # type: ignore[arg-type]
    assert set(Counter(one.question for one in selected(ROWS, rule)).values()) == {2}


def test_fewer_rows_are_whole_problems_and_among_those_of_more_rows() -> None:
    few, more = (selected(ROWS, SelectionRule(max_rows=num)) for num in (12, 30))
    assert (len(few), len(more)) == (12, 30)
    assert {id(one) for one in few} < {id(one) for one in more}
    sizes, of_all = Counter(one.question for one in few), Counter(one.question for one in ROWS)
    assert sum(sizes[question] != of_all[question] for question in sizes) <= 1


def test_the_draw_follows_from_the_seed() -> None:
    first, again, other = (
        list(selected(ROWS, SelectionRule(max_rows=12, rows_a_problem=2, seed=seed))) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_places_stay_on_disk_unless_rows_change() -> None:
    assert isinstance(selected(ROWS, SelectionRule(select="balanced", max_rows=4)), Part)


def test_a_shared_step_counts_once_and_each_row_keeps_what_it_adds() -> None:
    first, second, third = merged(tree("q", 2, 1))
    assert (first.labels, first.counts) == ((0.5, 0.0), ((4, 8), (0, 1)))
    assert (second.labels, second.counts) == ((None, 0.0), (None, (0, 1)))
    assert (third.labels, third.counts) == ((None, 1.0), (None, (1, 1)))


def test_counts_of_near_copies_are_pooled_and_give_the_label() -> None:
    rows = [row("q", ("so 1+2", 0.25, (2, 8))), row("q", ("So  1+2", 0.75, (6, 8)), ("3", 1.0, (1, 1)))]
    first, second = merged(rows)
    assert (first.labels, first.counts) == ((0.5,), ((8, 16),))
    assert second.labels == (None, 1.0)


def test_an_estimate_that_several_rows_show_is_pooled_once() -> None:
    shared = ("a", 0.25, (2, 8))
    first, _ = merged([row("q", shared, ("b", 1.0, None)), row("q", shared, ("c", 0.0, None))])
    assert first.counts[0] == (2, 8)


def test_labels_without_counts_are_averaged_and_a_row_that_adds_nothing_is_dropped() -> None:
    plain = [TrainingRow(id="1", question="q", steps=("a",), labels=(label,)) for label in (1.0, 0.5)]
    (only,) = merged(plain)
    assert (only.labels, only.counts) == ((0.75,), ())


def test_the_same_step_of_another_problem_or_behind_other_steps_is_another_step() -> None:
    rows = [row("q", ("a", 1.0, None)), row("r", ("a", 0.5, None)), row("q", ("b", 0.5, None), ("a", 0.0, None))]
    assert merged(rows) == rows


def test_a_masked_step_stays_masked_and_hides_no_other_copy() -> None:
    first, second = merged([row("q", ("a", None, None), ("b", 1.0, None)), row("q", ("a", 0.5, (4, 8)))])
    assert first.labels == (None, 1.0)
    assert second.labels == (0.5,)
