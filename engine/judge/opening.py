"""Starts the judge that the flags describe: the rules, and behind them a model where one is named."""

from __future__ import annotations

import os

from omegaprm.engine import log
from omegaprm.engine.config import EngineOptions, PolicyFlags
from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.judge import room
from omegaprm.engine.judge.cascade import Cascade, VerdictCache
from omegaprm.engine.judge.chatting import Chatting
from omegaprm.engine.judge.flags import KEY_VARIABLE, MODEL_PATH_FLAG, JudgeFlags, judge_identity
from omegaprm.engine.judge.llm import LlmRule
from omegaprm.engine.judge.math_rule import MathVerify


async def start_cascade(flags: JudgeFlags, cache: VerdictCache | None = None) -> Cascade:
    """The judge, ready. ConfigurationError: the endpoint refuses, a local model has no room or does not load."""
    rule = MathVerify(flags.math_verify_workers, flags.math_verify_seconds)
    chatting = await _start_chatting(flags)
    if chatting is None:
        return Cascade(rule, cache)
    llm = LlmRule(chatting, flags.judge_template, flags.judge_max_asks, flags.judge_max_tokens)
    return Cascade(rule, cache, llm, judge_identity(flags))


async def _start_chatting(flags: JudgeFlags) -> Chatting | None:
    if flags.judge_model_path is not None:
        return await _start_local(flags, flags.judge_model_path)
    if flags.judge_url is not None and flags.judge_model is not None:
        from omegaprm.engine.judge.endpoint import Endpoint

        return await Endpoint.start(
            flags.judge_url,
            flags.judge_model,
            os.environ.get(KEY_VARIABLE),
            concurrency=flags.judge_concurrency,
            patience_seconds=flags.judge_patience_seconds,
            request_seconds=flags.judge_request_seconds,
        )
    return None


async def _start_local(flags: JudgeFlags, path: str) -> Chatting:
    from omegaprm.engine.judge.local import LocalModel

    require_room(flags, path)
    log.tell("loading", f"loading the judge from {path}")
    options = EngineOptions(
        max_model_len=flags.judge_max_model_len,
        max_num_seqs=flags.judge_concurrency,
        kv_cache_gib=flags.judge_kv_cache_gib,
        gpu_memory_utilization=flags.judge_gpu_memory_utilization,
    )
    return await LocalModel.start(
        path, options, patience_seconds=flags.judge_patience_seconds, request_seconds=flags.judge_request_seconds
    )


def require_room(flags: JudgeFlags, path: str, machine: room.Machine | None = None) -> None:
    """ConfigurationError where an engine for the model does not fit on the machine, this one by default.

    Called with the policy's engine running, where it is one of this process, so that what is free is free of it.
    """
    from omegaprm.engine.policy import checkpoint, vllm_engine

    folder = checkpoint.require(path, MODEL_PATH_FLAG)
    beside = isinstance(flags, PolicyFlags) and flags.policy_url is None
    if vllm_engine.on_cpu():
        weights = room.weight_bytes(
            (folder / "config.json").read_bytes(), [file.stat().st_size for file in checkpoint.weights(folder)]
        )
        kv_bytes = int(flags.judge_kv_cache_gib * 2**30)
        reason = room.lacking_on_cpu(weights, kv_bytes, 1 + beside, machine or room.this_machine())
    else:
        policy_share = flags.gpu_memory_utilization if isinstance(flags, PolicyFlags) and beside else 0.0
        reason = room.lacking_on_gpu(flags.judge_gpu_memory_utilization, policy_share)
    if reason is not None:
        raise ConfigurationError(f"{MODEL_PATH_FLAG} {path}: {reason}; or serve it elsewhere: --judge-url")
