"""A dry run shows what the daemon would do and what it would cost, and leaves nothing behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engine import journal
from engine.annotate import annotate
from engine.config import AnnotateConfig
from engine.dry_run import Cost, sample, varied
from engine.records import Problem, Rollout
from engine.store import Store
from tests.fakes.policy import ScriptedPolicy


def run(tmp_path: Path, count: int, **fields) -> AnnotateConfig:
    rows = [{"id": f"p{n}", "question": f"What is {n}?\x1b[2J", "correct_answer": n} for n in range(40)]
    (tmp_path / "seeds.json").write_text(json.dumps(rows))
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    fields = {"rollout_budget": 96, "dry_run": count, **fields}
    config = AnnotateConfig(
        seeds=(str(tmp_path / "seeds.json"),), model=str(tmp_path / "model"), store=str(tmp_path / "store"), **fields
    )

    async def policy_of(_: AnnotateConfig) -> ScriptedPolicy:
        return ScriptedPolicy()

    annotate(config, policy_of)
    return config


def test_problems_rollouts_verdicts_and_the_cost_of_all_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(tmp_path, 4, price_per_million_tokens=1000.0)
    said = capsys.readouterr().out
    assert len(re.findall(r"=== problem p\d+: done", said)) == 4
    for part in (
        "--- system",
        "<step></step>",
        "--- user",
        "--- reference: ",
        "(rule exact)",
        "step 1: 1 ",
        "answer: ",
    ):
        assert part in said
    few = re.search(r"=== 4 problems took (\d+) rollouts, (\d+) tokens", said)
    whole = re.search(r"=== all 40 problems at the same mean: (\d+) rollouts, (\d+) tokens, [\d.]+ hours", said)
    assert few
    assert whole
    assert [int(number) for number in whole.groups()] == [10 * int(number) for number in few.groups()]
    assert f"the prices given, without the judge's tokens: {int(whole[2]) / 1000:.2f}" in said
    assert "4 problems open at once; the job has 40 open" in said
    assert "\x1b" not in said


def test_no_store_is_made_and_one_that_is_there_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(tmp_path, 2)
    assert not (tmp_path / "store").exists()
    config = run(tmp_path, 0, max_searches=1)
    with Store.open_reader(Path(config.store)) as store:
        before = store.last_transaction()
        run(tmp_path, 2, max_searches=2)
        assert store.last_transaction() == before
    assert "=== all 40 problems" in capsys.readouterr().out


def test_the_trees_shown_are_those_that_the_job_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(tmp_path, 40)
    dry = int(re.search(r"=== 40 problems took (\d+) rollouts", capsys.readouterr().out)[1])
    config = run(tmp_path, 0)
    with Store.open_reader(Path(config.store)) as store:
        assert dry == sum(record.num_rollouts for record in journal.problem_records(store))


def test_the_sample_is_drawn_from_all_problems_by_the_run_seed():
    problems = [Problem(id=str(n), question="?", correct_answer="1") for n in range(100)]
    assert sample(problems, 5, 1) == sample(problems, 5, 1) != sample(problems, 5, 2)
    assert sample(problems, 500, 0) == problems


def test_one_rollout_of_each_outcome_comes_first():
    right, wrong, unread = Rollout(("1",), "correct"), Rollout(("2",), "incorrect"), Rollout((), "unparsed", text="x")
    shown = varied([right, right, right, right, wrong, unread])
    assert {rollout.outcome for rollout in shown} == {"correct", "incorrect", "unparsed"}
    assert varied([right] * 2) == [right] * 2


def test_costs_scale_by_the_number_of_problems():
    cost = Cost(num_problems=2, num_rollouts=30, num_tokens=900, num_judge_requests=1, seconds=4)
    assert cost.of(20).num_rollouts == 300
    assert cost.of(20).seconds == 40
