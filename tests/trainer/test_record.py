"""A folder holds one training, flags are checked before anything is written, and only whole checkpoints count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import omegaprm.trainer.record
from omegaprm.engine.errors import BadInput, ConfigurationError, StoreHeld, UsageError
from omegaprm.trainer.arguments import deepspeed_config, micro_batch_size
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.record import LOCK_FILE, Record, identity

ROOT = Path(__file__).resolve().parents[2]


def config(**flags: object) -> TrainConfig:
    return TrainConfig(**{"rows": ("r",), "model": "m", "out": "o", **flags})


def test_no_usable_row_ends_before_the_model_loads(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    paths = ["--rows", str(rows), "--model", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, str(ROOT / "bin" / "train"), *paths], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == BadInput.exit_code
    assert f"{rows}:1: conversations: must be a list of two turns" in done.stderr


def test_the_newest_checkpoint_is_the_newest_whole_one(tmp_path: Path) -> None:
    record = Record(str(tmp_path))
    for step in (9, 10, 100):
        (record.checkpoints / f"checkpoint-{step}").mkdir(parents=True)
    assert record.newest_checkpoint() is None
    record.complete(9)
    record.complete(10)
    assert record.newest_checkpoint() == record.checkpoints / "checkpoint-10"


def test_flags_outside_their_range_are_named() -> None:
    with pytest.raises(UsageError, match=r"--batch-size 0: must be at least 1"):
        config(batch_size=0)
    with pytest.raises(UsageError, match=r"--held-out-fraction 1\.0: must be in"):
        config(held_out_fraction=1.0)


def claim(folder: Path, rows: str = "rows", **flags: object) -> Record:
    """What bin/train does to its folder at its start, as a process of its own would."""
    record = Record(str(folder))
    record.claim(identity(config(**flags), rows, 1), config(**flags))
    return record


def test_a_folder_with_a_checkpoint_goes_on_under_its_own_flags_alone(tmp_path: Path) -> None:
    record = claim(tmp_path)
    record.checkpoint(3).mkdir(parents=True)
    record.complete(3)
    del record
    claim(tmp_path, save_steps=7)
    with pytest.raises(ConfigurationError, match="rows sha256 'rows' there, 'other' here; name another --out"):
        claim(tmp_path, rows="other")
    with pytest.raises(ConfigurationError, match=r"--learning-rate 2e-06 there, 0\.1 here"):
        claim(tmp_path, learning_rate=0.1)


def test_flags_that_failed_before_a_checkpoint_may_be_corrected(tmp_path: Path) -> None:
    claim(tmp_path, deepspeed="zero5").checkpoint(3).mkdir(parents=True)
    claim(tmp_path, deepspeed="zero2").finish({}, keep_checkpoints=False)
    with pytest.raises(ConfigurationError, match="--deepspeed 'zero2' there, 'zero3' here"):
        claim(tmp_path, deepspeed="zero3")


def test_a_second_process_does_not_train_in_a_folder_where_one_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omegaprm.trainer.record, "LOCK_PAUSE_SECONDS", 0.001)
    first = claim(tmp_path)
    with pytest.raises(StoreHeld, match="another process is training there"):
        claim(tmp_path, loss="hard")
    first.finish({}, keep_checkpoints=False)
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_batch_is_cut_into_whole_passes() -> None:
    assert micro_batch_size(config(batch_size=48), 1, gpu=False) == 24
    assert micro_batch_size(config(batch_size=512), 8, gpu=True) == 4
    with pytest.raises(UsageError, match="--batch-size 10: must be a multiple"):
        micro_batch_size(config(batch_size=10), 4, gpu=False)
    with pytest.raises(UsageError, match="--batch-size 10: must be a multiple"):
        micro_batch_size(config(batch_size=10, micro_batch_size=4), 1, gpu=False)


@pytest.mark.parametrize(("name", "stage"), [("zero1", 1), ("zero2", 2), ("zero3", 3)])
def test_a_deepspeed_configuration_goes_by_name_or_file(name: str, stage: int) -> None:
    assert deepspeed_config(name)["zero_optimization"]["stage"] == stage
    file = ROOT / "trainer" / "configs" / f"{name}.json"
    assert deepspeed_config(str(file)) == deepspeed_config(name)


def test_a_deepspeed_file_that_is_not_there_is_a_configuration_error() -> None:
    with pytest.raises(
        ConfigurationError, match="--deepspeed nowhere: not a DeepSpeed JSON file, nor one of 1x24gb, 2nodes,"
    ):
        deepspeed_config("nowhere")
