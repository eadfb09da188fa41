"""Whether a second engine fits: the rules, pure, and what this machine has left."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

ENGINE_BYTES = 1 << 30
"""Memory of an engine beside its weights and KV cache on a CPU: 0.6 GiB were measured, the rest is work space."""
MAX_GPU_SHARE = 0.95
"""Of a GPU's memory that two engines may claim together; CUDA itself takes some for each of them."""

_HALVES = frozenset({"bfloat16", "float16"})
_CGROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""Limit, use, and the line of the page cache that may go, in control groups of version 2 and 1."""


class Machine(msgspec.Struct, frozen=True):
    """What this process may still take, in bytes, and the CPUs that it may run on."""

    free_bytes: int
    num_cpus: int


def lacking_on_cpu(weight_bytes: int, kv_bytes: int, num_engines: int, machine: Machine) -> str | None:
    """Why one more engine does not fit, None where it does. num_engines: with the new one."""
    if machine.num_cpus < num_engines:
        return f"{num_engines} engines need a CPU each, {machine.num_cpus} may be used"
    needed = weight_bytes + kv_bytes + ENGINE_BYTES
    if machine.free_bytes >= needed:
        return None
    return (
        f"its engine needs {_gib(needed)} GiB of memory (weights {_gib(weight_bytes)}, --judge-kv-cache-gib "
        f"{_gib(kv_bytes)}, {_gib(ENGINE_BYTES)} to work in), {_gib(machine.free_bytes)} GiB are free"
    )


def lacking_on_gpu(share: float, policy_share: float) -> str | None:
    """The same for one GPU; policy_share is 0 where the judge is alone."""
    if share + policy_share <= MAX_GPU_SHARE:
        return None
    beside = f" and --gpu-memory-utilization {policy_share:g}" if policy_share else ""
    return f"--judge-gpu-memory-utilization {share:g}{beside} must add up to at most {MAX_GPU_SHARE:g}"


def weight_bytes(config: bytes, sizes: list[int]) -> int:
    """Memory of weights as the CPU engine holds them, in float32. config: config.json; sizes: of the weight files."""
    named = msgspec.json.decode(config, type=_Named)
    return sum(sizes) * (2 if (named.dtype or named.torch_dtype) in _HALVES else 1)


class _Named(msgspec.Struct):
    dtype: str | None = None
    torch_dtype: str | None = None


def this_machine(cgroups: Path = Path("/sys/fs/cgroup")) -> Machine:
    """What is left here, within the control group's limit where it has one."""
    import psutil  # type: ignore[import-untyped]

    frees = [psutil.virtual_memory().available, *(_free_in(cgroups, *names) for names in _CGROUPS)]
    return Machine(min(free for free in frees if free is not None), len(os.sched_getaffinity(0)))


def _free_in(cgroups: Path, limit: str, used: str, stat: str, cache: str) -> int | None:
    """Bytes left below a control group's limit; None where there is none."""
    try:
        most, taken = ((cgroups / name).read_text().strip() for name in (limit, used))
        lines = dict(line.split() for line in (cgroups / stat).read_text().splitlines())
    except (OSError, ValueError):
        return None
    return int(most) - int(taken) + int(lines.get(cache, 0)) if most.isdigit() else None


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f}"
