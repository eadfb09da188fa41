"""Every DeepSpeed file we ship is taken by DeepSpeed itself for the number of devices it is made for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from deepspeed.runtime import config as deepspeed_runtime
from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

from omegaprm.trainer.arguments import CONFIGS, deepspeed_config, micro_batch_size
from omegaprm.trainer.config import TrainConfig

DEVICES = {"zero1": 8, "zero2": 8, "zero3": 8, "1x24gb": 1, "8x80gb": 8, "2nodes": 16}
STAGES = {"zero1": 1, "zero2": 2, "zero3": 3, "1x24gb": 2, "8x80gb": 2, "2nodes": 3}
CONFIG = TrainConfig(rows=("r",), model="m", out="o")


def filled(name: str, num_devices: int, bf16: bool = True) -> dict[str, Any]:
    """The file with "auto" replaced as Hugging Face's Trainer does at our defaults."""
    micro = micro_batch_size(CONFIG, num_devices, gpu=True)
    arguments = SimpleNamespace(
        world_size=num_devices,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=CONFIG.batch_size // (micro * num_devices),
        max_grad_norm=1.0,
        learning_rate=CONFIG.learning_rate,
        weight_decay=CONFIG.weight_decay,
        save_on_each_node=False,
        bf16=bf16,
        **dict.fromkeys(("adam_beta1", "adam_beta2", "adam_epsilon"), 0.9),
        **dict.fromkeys(("fp16", "fp16_full_eval", "bf16_full_eval"), False),
    )
    made = HfTrainerDeepSpeedConfig(deepspeed_config(name))
    made.trainer_config_process(arguments)
    assert not made.mismatches
    found: dict[str, Any] = made.config
    return found


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands in for the processes of a launch."""

    def of(num: int) -> None:
        monkeypatch.setattr(deepspeed_runtime.dist, "get_rank", lambda: 0)
        monkeypatch.setattr(deepspeed_runtime.dist, "get_world_size", lambda: num)

    return of


def test_every_shipped_file_is_tested() -> None:
    assert sorted(DEVICES) == sorted(path.stem for path in CONFIGS.glob("*.json"))


@pytest.mark.parametrize("name", DEVICES)
def test_deepspeed_takes_the_file(name: str, devices: Any) -> None:
    devices(DEVICES[name])
    made = deepspeed_runtime.DeepSpeedConfig(filled(name, DEVICES[name]))
    assert made.world_size == DEVICES[name]
    assert made.train_batch_size == CONFIG.batch_size
    assert made.zero_optimization_stage == STAGES[name]
    assert made.bfloat16_config.enabled
    assert made.gradient_clipping == 1.0
    assert (made.zero_allow_untested_optimizer, made.zero_force_ds_cpu_optimizer) == (True, False)
    assert DEVICES[name] % made.zero_config.zero_hpz_partition_size == 0


@pytest.mark.parametrize("name", DEVICES)
def test_every_name_under_zero_optimization_is_one_that_deepspeed_knows(name: str) -> None:
    fields = DeepSpeedZeroConfig.model_fields
    known = set(fields) | {field.alias for field in fields.values()}
    assert set(deepspeed_config(name)["zero_optimization"]) <= known


def test_a_batch_that_does_not_fit_the_devices_is_what_deepspeed_refuses(devices: Any) -> None:
    devices(16)
    with pytest.raises(AssertionError, match="train_batch_size"):
        deepspeed_runtime.DeepSpeedConfig(filled("8x80gb", 8))
