"""Changed flags on resume: throughput is free, what decides the labels is refused with both values named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.fakes.annotate import Script
from tests.faults.daemon import ROOT, Job, command, exported

pytestmark = pytest.mark.family("flags")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--num-rollouts", "8"), ("num_rollouts", "16", "8")),
        (("--run-seed", "5"), ("run_seed", "0", "5")),
        (("--temperature", "0.5"), ("temperature", "1.0", "0.5")),
        (("--prompt-template", "mmprm"), ("prompt_template", "prefill", "mmprm")),
    ],
)
def test_another_rule_or_prompt_is_refused_naming_both_values(
    job: Job, finished: Path, tmp_path: Path, flags: tuple[str, ...], named: tuple[str, ...]
) -> None:
    store = shutil.copytree(finished, tmp_path / "store")
    code, said = job.run(Path(store), *flags)
    assert code == 78, said
    assert all(word in said for word in named), said
    assert "Traceback" not in said


def test_other_seeds_and_another_model_are_refused_naming_both(job: Job, finished: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(finished, tmp_path / "store"))
    other = tmp_path / "other.json"
    other.write_text(json.dumps([{"id": "q", "question": "What is 5?", "correct_answer": "5"}]))
    code, said = job.run(store, seeds=other)
    assert code == 78, said
    assert "made with seeds = " in said
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    code, said = job.run(store, "--model", str(tmp_path / "model"))
    assert code == 78, said
    assert "made with model = " in said
    assert "this command has" in said


def test_throughput_flags_change_freely(job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path) -> None:
    daemon = job.start(tmp_path / "store", script=Script(pause=0.02))
    daemon.wait_for(20)
    daemon.kill()
    code, said = job.run(
        tmp_path / "store",
        *("--concurrency", "7", "--drain-seconds", "3", "--request-seconds", "100", "--engine-restarts", "2"),
        *("--stall-seconds", "5", "--max-num-seqs", "64", "--kv-cache-gib", "2"),
    )
    assert code == 0, said
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def test_the_bundled_policy_is_told_from_another_before_it_is_loaded(job: Job, finished: Path, tmp_path: Path) -> None:
    store = shutil.copytree(finished, tmp_path / "store")
    words = ("--seeds", job.folder / "seeds.json", "--model", ROOT / "examples" / "policy", "--store", store)
    code, said = command("annotate", *words, *job.flags)
    assert code == 78, said
    assert "made with model = " in said
    assert "loading the policy" not in said


@pytest.mark.parametrize(
    "flags", [("--shard", "5/2"), ("--num-rollouts", "0"), ("--nonsense", "1"), ("--engine-restarts", "-1")]
)
def test_wrong_flags_end_with_64(job: Job, tmp_path: Path, flags: tuple[str, ...]) -> None:
    code, said = job.run(tmp_path / "store", *flags)
    assert code == 64, said
    assert "Traceback" not in said
    assert not (tmp_path / "store").exists()


def test_an_export_of_no_store_is_a_usage_error(tmp_path: Path) -> None:
    code, said = command("export", "--out", tmp_path / "out")
    assert code == 64, said
    assert "STORES" in said
