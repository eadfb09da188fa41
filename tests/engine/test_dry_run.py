"""A dry run shows what the daemon would do and what it would cost, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from omegaprm.engine import journal
from omegaprm.engine.annotate import annotate
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.dry_run import SHOWN_CHARACTERS, Cost, sample, varied
from omegaprm.engine.records import Problem, Rollout
from omegaprm.engine.store import Store
from tests.conftest import ROOT
from tests.fakes.policy import ScriptedPolicy, StumblingPolicy


def run(tmp_path: Path, count: int, policy: ScriptedPolicy | None = None, **fields) -> AnnotateConfig:
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
        return policy or ScriptedPolicy()

    annotate(config, policy_of)
    return config


def test_problems_rollouts_verdicts_and_the_cost_of_all_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(tmp_path, 4, price_per_million_tokens=1000.0)
    said = capsys.readouterr().out
    assert len(re.findall(r"=== problem p\d+; the tree ended by: ", said)) == 4
    assert said.count("--- system") == 1
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


def test_the_first_errors_that_searches_found_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The scripted policy's wrong steps say that they slip."""
    run(tmp_path, 40, max_searches=1)
    found = re.findall(
        r"--- a first error, step (\d+) of (\d+): (.*)\n  (behind: .*|the first step)", capsys.readouterr().out
    )
    assert len(found) > 5
    assert all(int(at) <= int(count) for at, count, _, _ in found)
    assert all("slip" not in behind for _, _, _, behind in found)
    assert sum("slip" in step for _, _, step, _ in found) > len(found) / 2


def test_unparsed_rollouts_from_prefixes_are_shown_in_full_one_per_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    text = "I have solved it above. " * SHOWN_CHARACTERS
    run(tmp_path, 8, StumblingPolicy(0.7, text))
    said = capsys.readouterr().out
    found = re.findall(
        r"=== problem (p\d+): an unparsed rollout from a prefix of (\d+) steps?\n((?:  step .*\n)+)", said
    )
    assert len({name for name, _, _ in found}) == len(found) == 3
    assert all(steps.count("  step ") == int(count) for _, count, steps in found)
    assert said.count(f"--- what the model wrote next, 6 tokens\n{text}\n") == 3
    assert re.search(r"=== unparsed +[\d.]+ % of 128 rollouts from the root, \d+ % of \d+ from prefixes", said)
    assert re.search(r"=== warning: \d+ % of \d+ rollouts from prefixes are unparsed, .* Read the unparsed", said)


def test_a_policy_that_keeps_its_form_at_prefixes_gives_no_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(tmp_path, 8, ScriptedPolicy(odd_rate=0.0))
    said = capsys.readouterr().out
    assert "=== unparsed    0 % of 128 rollouts from the root, 0 % of " in said
    assert "an unparsed rollout" not in said
    assert "warning" not in said


@pytest.mark.engine
def test_a_dry_run_on_the_real_engine_reads_as_a_person_would_have_it(tmp_path: Path):
    """bin/annotate itself, on both bundled families: every rollout is split, judged and counted once."""
    seeds = [ROOT / "examples" / family / "seeds.json" for family in ("sums", "digits")]
    flags = ["--num-rollouts", "4", "--rollout-budget", "16", "--max-searches", "1", "--max-new-tokens", "160"]
    command = [ROOT / "bin" / "annotate", "--seeds", *seeds, "--model", ROOT / "examples" / "policy"]
    ended = subprocess.run(
        [*command, "--store", tmp_path / "store", "--dry-run", "6", *flags],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout
    assert len(re.findall(r"^=== problem (?:sums|digits)-seeds-", said, re.MULTILINE)) == 6
    assert "--- user [image images/" in said
    assert len(re.findall(r"^  answer: -?\d+$", said, re.MULTILINE)) >= 6
    counted = re.search(r"=== 24 rollouts from the questions alone: (.*)", said)
    assert counted
    outcomes = {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", counted[1])}
    assert sum(outcomes.values()) == 24
    assert outcomes["correct"] + outcomes["incorrect"] >= 12
    assert "=== all 800 problems at the same mean" in said
    assert not (tmp_path / "store").exists()


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
