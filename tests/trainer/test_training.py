"""Trainings of the bundled policy through DeepSpeed in child processes, one of them killed on its way."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from omegaprm.engine.errors import ConfigurationError, Drained
from omegaprm.evaluator import Scorer
from omegaprm.evaluator.evaluate import EvaluateConfig, evaluate
from omegaprm.trainer.batches import EncodedRows, LengthGrouped
from omegaprm.trainer.encoding import Encoder
from omegaprm.trainer.rows import read
from tests.trainer.samples import NUM_CANDIDATES_PROBLEMS, NUM_ROWS
from tests.trainer.setting import (
    BATCH_SIZE,
    NUM_STEPS,
    ROOT,
    Setting,
    assert_same_weights,
    best_of_n,
    checkpoints,
    environment,
    free_port,
    itself,
    losses,
    second_rank,
    signalled,
    weights,
)
from tests.trainer.test_encoding import ITEM

pytestmark = [pytest.mark.deepspeed, pytest.mark.timeout(600)]

KILLED_AT = 3

BY_TWO = ("--processes", "2", "--micro-batch-size", "4", "--deepspeed", "zero3")

ENDING_EARLY = (
    *("--held-out-fraction", "0.4", "--held-out-steps", "1", "--early-stopping", "2"),
    *("--learning-rate", "0.05", "--max-steps", "30", "--batch-size", "4", "--keep-checkpoints"),
)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory, policy_folder: Path) -> Setting:
    return Setting(tmp_path_factory.mktemp("training"), policy_folder)


@pytest.fixture(scope="module")
def undisturbed(setting: Setting) -> Path:
    """The PRM of a training that nothing happened to."""
    done = setting.run("undisturbed")
    assert done.returncode == 0, done.stderr
    return setting.folder / "undisturbed"


def test_the_loss_falls(undisturbed: Path) -> None:
    first, *_, last = losses(undisturbed)
    assert len(losses(undisturbed)) == NUM_STEPS
    assert last < 0.7 * first


def test_the_first_loss_is_the_mean_over_the_labelled_steps_of_its_rows(undisturbed: Path, setting: Setting) -> None:
    """Recomputed from the scores of the untrained policy, for the rows that the order puts first."""
    encoder = Encoder.load(setting.policy)
    rows = EncodedRows(read([str(setting.rows)]).rows, encoder, lambda: None)
    scorer = Scorer(setting.policy, device="cpu")
    terms = []
    for at in list(LengthGrouped(rows.lengths, BATCH_SIZE, seed=0))[:BATCH_SIZE]:
        row = rows.rows[at]
        for score, label in zip(scorer.score(row.question, row.steps, row.images), row.labels, strict=True):
            assert label is not None
            terms.append(-label * math.log(score) - (1 - label) * math.log(1 - score))
    assert losses(undisturbed)[0] == pytest.approx(sum(terms) / len(terms), abs=1e-4)


def test_the_folder_loads_with_plain_transformers(undisturbed: Path) -> None:
    processor = AutoProcessor.from_pretrained(undisturbed)
    model = AutoModelForImageTextToText.from_pretrained(undisturbed)
    tokenizer = processor.tokenizer
    assert [len(tokenizer.encode(text, add_special_tokens=False)) for text in ("<prm>", "Yes", "No")] == [1, 1, 1]
    assert processor.chat_template
    text = processor.apply_chat_template([{"role": "user", "content": "Question: 1"}], tokenize=False)
    logits = model(**processor(text=[text], return_tensors="pt")).logits
    assert bool(logits.isfinite().all())


def test_the_folder_says_what_was_trained(undisturbed: Path) -> None:
    page = (undisturbed / "README.md").read_text()
    assert f"| rows | {NUM_ROWS} (4 with images) |" in page
    assert f"| last loss | {losses(undisturbed)[-1]:.4f} |" in page
    assert (undisturbed / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not (undisturbed / "checkpoints").exists()


def test_the_vision_tower_stays_as_it_was_and_the_rest_is_trained(undisturbed: Path, setting: Setting) -> None:
    before, after = weights(setting.policy), weights(undisturbed)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in moved if "vision_tower" in name]
    assert [name for name in moved if "multi_modal_projector" in name]
    assert [name for name in moved if "language_model" in name]


def test_a_trained_prm_tells_the_rows_apart(undisturbed: Path) -> None:
    scores = Scorer(undisturbed, device="cpu").score(ITEM.question, ITEM.steps)
    assert len(scores) == 2
    assert min(scores) > 0.6, "seven of eight labels were 1"


def test_training_tokens_are_scoring_tokens(undisturbed: Path, setting: Setting) -> None:
    before, after = (Encoder.load(folder).encode(ITEM) for folder in (setting.policy, undisturbed))
    assert torch.equal(before["input_ids"], after["input_ids"])


def test_best_of_n_on_the_way_ends_with_the_figures_of_the_evaluation(undisturbed: Path, setting: Setting) -> None:
    evaluate(EvaluateConfig(candidates=(str(setting.candidates),), prm=str(undisturbed), out=str(setting.folder / "e")))
    evaluation = json.loads((setting.folder / "e" / "evaluation.json").read_text())["prm"]
    same = {name: evaluation[name] for name in ("random", "majority", "weighted_vote")}
    same |= {name: evaluation["best_of_n"][name]["accuracy"] for name in ("min", "product", "average")}
    looks = best_of_n(undisturbed)
    result = json.loads((undisturbed / "finished.json").read_text())
    assert [look["step"] for look in looks] == list(range(NUM_STEPS + 1))
    assert looks[-1] == pytest.approx({**same, "pass": evaluation["pass_all"], "step": NUM_STEPS})
    assert len({look["average"] for look in looks}) > 1, "these candidates tell no weights apart"
    assert result["validation"] == pytest.approx({**same, "pass": evaluation["pass_all"]})
    assert f"| Best-of-N, min | {same['min']:.3f} |" in (undisturbed / "README.md").read_text()
    assert (undisturbed / "validation.png").read_bytes().startswith(b"\x89PNG")


def test_a_training_shorter_than_the_logging_interval_says_its_loss_too(setting: Setting) -> None:
    done = setting.run("short", "--max-steps", "1", "--logging-steps", "10")
    assert done.returncode == 0, done.stderr
    assert len(losses(setting.folder / "short")) == 1


def test_a_training_of_one_step_is_not_all_warm_up(setting: Setting) -> None:
    done = setting.run("single", "--max-steps", "1")
    assert done.returncode == 0, done.stderr
    before, after = weights(setting.policy), weights(setting.folder / "single")
    assert any(not torch.equal(before[name], after[name]) for name in before.keys() & after.keys())
    assert "1 optimizer step" in done.stderr


def test_a_finished_training_is_not_run_again(undisturbed: Path, setting: Setting) -> None:
    stamp = (undisturbed / "model.safetensors").stat().st_mtime_ns
    done = setting.run("undisturbed")
    assert (done.returncode, "nothing to do" in done.stderr) == (0, True)
    assert (undisturbed / "model.safetensors").stat().st_mtime_ns == stamp


def test_another_training_in_the_same_folder_is_refused(undisturbed: Path, setting: Setting) -> None:
    done = setting.run("undisturbed", "--learning-rate", "5e-4")
    assert done.returncode == ConfigurationError.exit_code
    assert "--learning-rate 0.001 there, 0.0005 here" in done.stderr


def test_a_killed_training_goes_on_to_the_same_weights(undisturbed: Path, setting: Setting) -> None:
    folder = setting.folder / "killed"
    code, told = signalled(setting.command("killed"), KILLED_AT, itself)
    assert code == Drained.exit_code, told
    (found,) = checkpoints(folder)
    assert KILLED_AT <= found < NUM_STEPS
    (folder / "checkpoints" / f"checkpoint-{NUM_STEPS - 1}" / "half-written").mkdir(parents=True, exist_ok=True)

    done = setting.run("killed")
    assert done.returncode == 0, done.stderr
    assert f"going on from checkpoint-{found}" in done.stderr
    assert_same_weights(undisturbed, folder, tolerance=1e-6)
    assert losses(folder) == pytest.approx(losses(undisturbed), abs=1e-5)
    assert best_of_n(folder) == best_of_n(undisturbed)


def test_a_checkpoint_cut_in_writing_is_not_the_one_that_is_taken_up(undisturbed: Path, setting: Setting) -> None:
    command = setting.command("cut", "--save-steps", "2")
    driver = [sys.executable, "-m", "tests.trainer.killed_in_save", "4", *command[2:]]
    killed = subprocess.run(driver, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=560)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    checkpoints = setting.folder / "cut" / "checkpoints"
    assert (checkpoints / "checkpoint-4").exists()
    done = setting.run("cut", "--save-steps", "2")
    assert done.returncode == 0, done.stderr
    assert "going on from checkpoint-2" in done.stderr
    assert_same_weights(undisturbed, setting.folder / "cut", tolerance=1e-6)


def test_a_training_ends_when_the_held_out_loss_no_longer_falls(setting: Setting) -> None:
    """A rate far too high: the loss on unseen questions only rises behind its lowest look."""
    done = setting.run("early", *ENDING_EARLY)
    assert done.returncode == 0, done.stderr
    folder = setting.folder / "early"
    looks = json.loads((folder / "held_out_log.json").read_text())
    result = json.loads((folder / "finished.json").read_text())
    best = min(looks[1:], key=lambda look: look["held_out_loss"])
    assert [look["step"] for look in looks] == list(range(result["num_steps"] + 1))
    assert result["num_steps"] == best["step"] + 2 < 30
    assert (result["taken_step"], result["held_out_loss"]) == (best["step"], best["held_out_loss"])
    assert 0 <= result["held_out_ece"] <= 1
    assert list(folder.glob("tensorboard/events*"))
    kept = weights(folder)
    at_best = weights(folder / "checkpoints" / f"checkpoint-{best['step']}")
    assert all(torch.equal(kept[name], at_best[name]) for name in kept)

    (folder / "finished.json").unlink()
    (folder / "model.safetensors").unlink()
    again = setting.run("early", *ENDING_EARLY)
    assert again.returncode == 0, again.stderr
    assert json.loads((folder / "finished.json").read_text()) == result
    assert_same_weights(folder / "checkpoints" / f"checkpoint-{best['step']}", folder, tolerance=0)


def test_adapters_are_merged_into_a_whole_prm(setting: Setting) -> None:
    done = setting.run("lora", "--lora-rank", "4", "--max-steps", "2", "--deepspeed", "zero2")
    assert done.returncode == 0, done.stderr
    folder = setting.folder / "lora"
    before, after = weights(setting.policy), weights(folder)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert moved
    assert all("_proj" in name or "multi_modal_projector" in name for name in moved)
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    assert len(Scorer(folder, device="cpu").score(ITEM.question, ITEM.steps)) == 2


@pytest.fixture(scope="module")
def by_two(setting: Setting) -> Path:
    """The PRM of a training by two processes under ZeRO-3 that nothing happened to."""
    done = setting.run("two", *BY_TWO)
    assert done.returncode == 0, done.stderr
    return setting.folder / "two"


def test_two_processes_under_zero_3_train_to_the_weights_of_one_under_zero_1(undisturbed: Path, by_two: Path) -> None:
    """Text and images fall unevenly on the two; the loss is a mean over both."""
    assert losses(by_two) == pytest.approx(losses(undisturbed), abs=1e-3)
    assert_same_weights(undisturbed, by_two, tolerance=1e-4)


def test_two_processes_under_zero_3_score_candidates_as_one_does(undisturbed: Path, by_two: Path) -> None:
    """Exactly so before the first step; their weights differ by rounding later, and one problem may turn on it."""
    ours, others = best_of_n(by_two), best_of_n(undisturbed)
    assert ours[0] == others[0]
    for mine, other in zip(ours, others, strict=True):
        assert mine == pytest.approx(other, abs=1 / NUM_CANDIDATES_PROBLEMS + 1e-9)


def test_ranks_save_one_step_and_end_with_75_whoever_got_the_signal(by_two: Path, setting: Setting) -> None:
    """First one rank alone gets it, then the launcher; the same command ends as if nothing had happened."""
    command = setting.command("preempted", *BY_TWO)
    folder = setting.folder / "preempted"
    code, told = signalled(command, 2, second_rank)
    assert (code, "exit codes of the ranks" in told) == (Drained.exit_code, False), told
    (first,) = checkpoints(folder)
    assert told.count(f"at step {first} of {NUM_STEPS}, checkpoint saved") == 2, "each rank"

    code, told = signalled(command, first + 1, itself)
    assert (code, "exit codes of the ranks" in told) == (Drained.exit_code, False), told
    second = checkpoints(folder)[-1]
    assert 2 <= first < second < NUM_STEPS
    assert f"going on from checkpoint-{first}" in told

    done = setting.run("preempted", *BY_TWO)
    assert done.returncode == 0, done.stderr
    assert f"going on from checkpoint-{second}" in done.stderr
    assert losses(folder) == pytest.approx(losses(by_two), abs=1e-5)
    assert_same_weights(by_two, folder, tolerance=1e-6)


@pytest.mark.long
def test_deepspeeds_own_launcher_trains_to_the_same_weights(undisturbed: Path, setting: Setting) -> None:
    launcher = ("-m", "deepspeed.launcher.runner", "--no_local_rank", "--num_gpus", "2", "--master_port", free_port())
    done = setting.run("launched", "--deepspeed", "zero2", launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert_same_weights(undisturbed, setting.folder / "launched", tolerance=1e-4)
    assert len(Scorer(setting.folder / "launched", device="cpu").score(ITEM.question, ITEM.steps)) == 2
