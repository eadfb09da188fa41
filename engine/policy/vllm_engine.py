"""Starts and stops vLLM's AsyncLLM so that seeded requests are safe and no process is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from omegaprm.engine.config import EngineOptions
from omegaprm.engine.errors import ConfigurationError, EngineDied
from omegaprm.engine.lifecycle import in_thread
from omegaprm.engine.policy import checkpoint, gauge
from omegaprm.engine.policy.chat import Chat
from omegaprm.engine.policy.vllm_build import on_cpu as on_cpu

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TRANSFORMERS_VERBOSITY": "error",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore::FutureWarning",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
"""vLLM forks on a GPU where it is let: a forked core neither ends with this process nor carries the mark that
omegaprm.engine.orphans looks for, and is the copy of a process with threads."""
CPU_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "TORCH_COMPILE_DISABLE": "1",
}
"""On a CPU: no worker process beside the core, no binding to cores that others use, no compiling."""
ONE_THREAD_BYTES = 64 << 20
"""A model with less weights than this is faster on one thread: its products are too small to share out."""
CORE_DRAIN_SECONDS = 600
"""A core that is sent SIGTERM along with this process goes on with its requests; close() ends it anyway."""
STOP_SECONDS = 5.0
"""Time the engine's processes have to leave before they are killed."""
KILL_AGAIN_SECONDS = 0.2
"""How often a load that is given up is looked at, until its thread has noticed."""


def prepare(folder: Path) -> None:
    """Set the environment that vLLM reads; what is set already stays. Comes before vLLM is imported."""
    values = dict(ENVIRONMENT)
    if on_cpu():
        values |= CPU_ENVIRONMENT
        if sum(path.stat().st_size for path in checkpoint.weights(folder)) < ONE_THREAD_BYTES:
            values["OMP_NUM_THREADS"] = "1"
    for name, value in values.items():
        os.environ.setdefault(name, value)


def arguments(folder: Path, options: EngineOptions) -> dict[str, Any]:
    """What AsyncEngineArgs is given; on a GPU vLLM's defaults stand wherever options name nothing."""
    given: dict[str, Any] = {
        "model": str(folder),
        "dtype": options.dtype,
        "max_model_len": options.max_model_len,
        "max_num_seqs": options.max_num_seqs,
        "max_num_batched_tokens": options.max_num_batched_tokens,
        "tensor_parallel_size": options.tensor_parallel_size,
        "data_parallel_size": options.data_parallel_size,
        "gpu_memory_utilization": options.gpu_memory_utilization,
        "trust_remote_code": options.trust_remote_code,
        "enable_prefix_caching": options.prefix_caching,
        "enable_chunked_prefill": options.chunked_prefill,
        "generation_config": "vllm",
        "shutdown_timeout": CORE_DRAIN_SECONDS,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "seed": 0,
    }
    return given | _cpu_arguments(options) if on_cpu() else given


def _cpu_arguments(options: EngineOptions) -> dict[str, Any]:
    """A seeded request under chunked prefill ends the CPU engine, so a prompt is always read in one piece."""
    if options.chunked_prefill:
        raise ConfigurationError("--chunked-prefill: vLLM on a CPU cannot draw from a seed under it")
    return {
        "dtype": "float32" if options.dtype == "auto" else options.dtype,
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "kv_cache_memory_bytes": int(options.kv_cache_gib * 2**30),
    }


async def start(folder: Path, options: EngineOptions, flag: str = "--model") -> Any:
    """An AsyncLLM that is ready. ConfigurationError: vLLM refuses the options; EngineDied: no start.

    flag: what named the folder, for messages.
    """
    prepare(folder)
    config = await in_thread(lambda: _configure(folder, options, flag))
    try:
        return await _launched(config)
    except (RuntimeError, ValueError) as error:
        raise EngineDied(f"the inference engine did not start on {folder}: {error}") from error


async def _launched(config: Any) -> Any:
    """The engine, loaded off the event loop so that signals are heard; cancelled, it is ended where it stands.

    Another engine of this process goes on. The loop's own threads live as long as the loop: the kernel ends the core
    with the thread that started it.
    """
    others = set(multiprocessing.active_children())
    loading = asyncio.create_task(asyncio.to_thread(_launch, config))
    try:
        return await asyncio.shield(loading)
    except asyncio.CancelledError:
        while not loading.done():
            for child in set(multiprocessing.active_children()) - others:
                child.kill()
            await asyncio.wait({loading}, timeout=KILL_AGAIN_SECONDS)
        if not loading.exception():
            await stop(loading.result())
        raise


def _launch(config: Any) -> Any:
    from vllm.v1.engine.async_llm import AsyncLLM

    with _signals_kept_from_children():
        engine = AsyncLLM.from_vllm_config(config, disable_log_stats=False)
    gauge.take_over(engine)
    return engine


def _configure(folder: Path, options: EngineOptions, flag: str) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs

    try:
        return AsyncEngineArgs(**arguments(folder, options)).create_engine_config()
    except (ValueError, OSError, AssertionError, NotImplementedError) as error:
        raise ConfigurationError(f"{flag} {folder}: vLLM refuses this set-up: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What vLLM says, on one line; pydantic's errors carry it in a list, with much beside it."""
    import pydantic

    if isinstance(error, pydantic.ValidationError):
        return " ".join("; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors()).split())
    return " ".join(str(error).split())


@contextlib.contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Children started meanwhile never see Ctrl-C and SIGUSR1, which a terminal or Slurm sends to all."""
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def chat(engine: Any, date: datetime.date | None = None) -> Chat:
    """The chat template of the engine's model; date: see Chat."""
    from vllm.model_executor.model_loader import get_model_cls
    from vllm.transformers_utils.processor import cached_processor_from_config

    config, tokenizer = engine.model_config, engine.renderer.tokenizer
    if not config.is_multimodal_model:
        return Chat([tokenizer], date=date)
    placeholder = get_model_cls(config).get_placeholder_str("image", 1)
    return Chat([cached_processor_from_config(config), tokenizer], placeholder or "", date)


async def stop(engine: Any) -> None:
    """Shut the engine down and kill what has not left after STOP_SECONDS."""
    import psutil  # type: ignore[import-untyped]

    started = _processes(engine)
    if engine.output_handler is not None:
        engine.output_handler.cancel()
    await asyncio.to_thread(engine.shutdown, STOP_SECONDS)
    _, left = await asyncio.to_thread(psutil.wait_procs, started, 1.0)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _processes(engine: Any) -> list[Any]:
    """The engine's processes and theirs; none where Ray runs them."""
    import psutil

    found = []
    for one in getattr(engine.engine_core.resources.engine_manager, "processes", ()):
        with contextlib.suppress(psutil.NoSuchProcess):
            core = psutil.Process(one.pid)
            found += [core, *core.children(recursive=True)]
    return found
