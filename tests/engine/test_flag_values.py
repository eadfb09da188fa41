"""Values of flags that no search could run under are refused, by name, before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from omegaprm.engine import commands
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.errors import ConfigurationError, UsageError
from omegaprm.engine.presets import PRESETS

REQUIRED = {"seeds": ("seeds.json",), "model": "policy", "store": "store"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", 0.0),
        ("alpha", -1.0),
        ("beta", 0.0),
        ("length_scale", 0.0),
        ("c_puct", -0.1),
        ("c_puct", float("nan")),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("drain_seconds", float("nan")),
        ("max_num_seqs", 0),
        ("max_model_len", -4),
        ("tensor_parallel_size", 0),
    ],
)
def test_a_value_that_no_search_can_run_under_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} "):
        AnnotateConfig(**REQUIRED, **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_accepted(preset: str) -> None:
    config = AnnotateConfig(**REQUIRED, **PRESETS[preset])  # type: ignore[arg-type]
    assert {name: getattr(config, name) for name in PRESETS[preset]} == PRESETS[preset]


def test_a_config_file_may_give_one_text_for_a_list_and_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "flags.toml"
    file.write_bytes(b'\xef\xbb\xbfseeds = "a.json"\r\nmodel = "m"\r\nstore = "s"\r\n')
    config = commands.parse(AnnotateConfig, ["--config", str(file)], "annotate", PRESETS)
    assert config.seeds == ("a.json",)


def test_a_config_file_with_a_text_for_a_number_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "flags.toml"
    file.write_text('num_rollouts = "eight"\n')
    with pytest.raises(ConfigurationError, match="num_rollouts = 'eight'"):
        commands._toml(file, AnnotateConfig)
