"""Labels say how sure they are: counts and intervals beside them, and none from too few rollouts."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omegaprm.engine import journal
from omegaprm.engine.certainty import intervals, step_counts, wilson
from omegaprm.engine.config import SearchRule
from omegaprm.engine.errors import UsageError
from omegaprm.engine.export import ExportConfig, export
from omegaprm.engine.records import Estimate, Origin, Problem, ProblemRecord, Rollout
from omegaprm.engine.selection import RowRule, select
from omegaprm.engine.store import Store
from omegaprm.engine.tree import Tree, replay
from omegaprm.trainer import rows

RULE = SearchRule(num_rollouts=4, max_searches=1, rollout_budget=100)


def right(*steps: str) -> Rollout:
    return Rollout(steps, "correct", "exact")


def wrong(*steps: str) -> Rollout:
    return Rollout(steps, "incorrect", "exact")


ODD = Rollout((), "unparsed")
ESTIMATES = [
    Estimate(0, None, (), 0, (wrong("a", "b", "x", "8"), right("a", "7"), right("b", "7"), right("c", "7"))),
    Estimate(1, Origin(0, 0, 2), ("a", "b"), 0, (right("7"), wrong("9"), right("7"), right("7"))),
    Estimate(2, Origin(0, 0, 3), ("a", "b", "x"), 0, (wrong("8"), wrong("9"), ODD, ODD)),
]


def tree() -> Tree:
    grown = replay(RULE, ESTIMATES)
    assert grown.errors == [(0, 0, 2)]
    return grown


def test_counts_are_those_of_the_very_step_and_the_last_step_is_its_own_verdict():
    selection = select(ESTIMATES, tree(), random.Random(0))
    counts = {solution.steps: step_counts(tree(), solution) for solution in selection.rows}
    assert counts[("a", "b", "x", "8")] == (None, (3, 4), (0, 2), (0, 1))
    ((_, good),) = [(steps, found) for steps, found in counts.items() if steps[-1] == "7"]
    assert good[-1] == (1, 1)


def test_a_first_error_judged_by_fewer_than_min_judged_drops_its_solution():
    sure = select(ESTIMATES, tree(), random.Random(0), RowRule(min_judged=2))
    unsure = select(ESTIMATES, tree(), random.Random(0), RowRule(min_judged=3))
    assert (sure.num_wrong, sure.num_unsure) == (1, 0)
    assert (unsure.num_wrong, unsure.num_unsure, unsure.rows) == (0, 1, [])


def test_a_state_judged_by_fewer_than_min_judged_gives_no_label():
    estimates = [*ESTIMATES[:2], Estimate(2, Origin(0, 0, 3), ("a", "b", "x"), 0, (wrong("8"),) * 6)]
    selection = select(estimates, replay(RULE, estimates), random.Random(0), RowRule(min_judged=6))
    labels = {solution.steps: solution.labels for solution in selection.rows}
    assert labels[("a", "b", "x", "8")] == (None, None, 0.0, 0.0)


@pytest.mark.parametrize(
    ("correct", "judged", "low", "high"),
    [(0, 16, 0, 0.1936), (8, 16, 0.28, 0.72), (16, 16, 0.8064, 1), (1, 1, 0.2065, 1)],
)
def test_wilson_is_the_textbooks(correct: int, judged: int, low: float, high: float):
    assert wilson(correct, judged) == pytest.approx((low, high), abs=1e-4)


@given(judged=st.integers(1, 1000), data=st.data())
def test_wilson_holds_the_value_and_narrows_with_more_rollouts(judged: int, data: st.DataObject):
    correct = data.draw(st.integers(0, judged))
    low, high = wilson(correct, judged)
    assert 0 <= low <= correct / judged + 1e-4
    assert correct / judged - 1e-4 <= high <= 1
    wider = wilson(4 * correct, 4 * judged)
    assert wider[1] - wider[0] <= high - low


def test_a_step_without_rollouts_and_the_last_have_no_interval():
    assert intervals([None, (3, 4), (0, 1)]) == [None, wilson(3, 4), None]


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    problem = Problem(id="p", question="?", correct_answer="7")
    record = ProblemRecord(
        problem=problem,
        state="done",
        reason="max searches",
        num_estimates=len(ESTIMATES),
        num_rollouts=sum(estimate.counts.total for estimate in ESTIMATES),
        root=ESTIMATES[0].counts,
    )
    rule = {name: str(getattr(RULE, name)) for name in RULE.__struct_fields__}
    with Store.open(tmp_path / "store") as opened:
        opened.bind(rule)
        await opened.commit([journal.write_problem(record), *(journal.write_estimate("p", e) for e in ESTIMATES)])
    return tmp_path / "store"


def exported(store: Path, **flags: object) -> bytes:
    out = store.parent / "rows"
    export(ExportConfig(stores=(str(store),), out=str(out), **flags))
    return (out / "train.jsonl").read_bytes()


def test_rows_have_mm_prms_keys_alone_unless_asked_and_the_trainer_reads_the_others(store: Path):
    plain = [json.loads(line) for line in exported(store).splitlines()]
    assert {key for row in plain for key in row} == {"id", "conversations"}
    with_counts = [json.loads(line) for line in exported(store, counts=True).splitlines()]
    assert [{**row, "counts": 0, "intervals": 0} for row in plain] == [
        {**row, "counts": 0, "intervals": 0} for row in with_counts
    ]
    assert with_counts[0]["counts"] == [None, [3, 4], [0, 2], [0, 1]]
    assert with_counts[0]["intervals"] == [None, list(wilson(3, 4)), list(wilson(0, 2)), None]
    (first, *_) = rows.read([str(store.parent / "rows" / "meta.json")]).rows
    assert first.counts == (None, (3, 4), (0, 2), (0, 1))


def test_other_formats_carry_the_same_counts(store: Path):
    import pyarrow.parquet

    out = store.parent / "rows"
    (row, *_) = map(json.loads, exported(store, counts=True, format="trl").splitlines())
    assert row["counts"] == [None, [3, 4], [0, 2], [0, 1]]
    export(ExportConfig(stores=(str(store),), out=str(out), counts=True, format="parquet"))
    (column, *_) = pyarrow.parquet.read_table(out / "train.parquet").to_pylist()
    assert (column["counts"], column["intervals"]) == (row["counts"], row["intervals"])


def test_min_judged_counts_what_it_drops(store: Path):
    exported(store, min_judged=1)
    counts = json.loads((store.parent / "rows" / "counts.json").read_text())
    assert "solutions dropped: first error judged too rarely" not in counts
    with pytest.raises(Exception, match="first error judged too rarely: 1"):
        exported(store, min_judged=3)
    with pytest.raises(UsageError, match="--min-judged -1"):
        ExportConfig(stores=("s",), out="o", min_judged=-1)
