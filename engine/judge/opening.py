"""Starts the judge that the flags describe: the rules, and behind them an endpoint where one is named."""

from __future__ import annotations

import os

from engine.judge.cascade import Cascade, VerdictCache
from engine.judge.flags import KEY_VARIABLE, JudgeFlags, judge_identity
from engine.judge.llm import Chatting, LlmRule
from engine.judge.math_rule import MathVerify


async def start_cascade(flags: JudgeFlags, cache: VerdictCache | None = None) -> Cascade:
    """The judge, ready. ConfigurationError where the endpoint refuses."""
    rule = MathVerify(flags.math_verify_workers, flags.math_verify_seconds)
    chatting = await _start_chatting(flags)
    if chatting is None:
        return Cascade(rule, cache)
    llm = LlmRule(chatting, flags.judge_template, flags.judge_max_asks, flags.judge_max_tokens)
    return Cascade(rule, cache, llm, judge_identity(flags))


async def _start_chatting(flags: JudgeFlags) -> Chatting | None:
    if flags.judge_url is not None and flags.judge_model is not None:
        from engine.judge.endpoint import Endpoint

        return await Endpoint.start(
            flags.judge_url,
            flags.judge_model,
            os.environ.get(KEY_VARIABLE),
            concurrency=flags.judge_concurrency,
            patience_seconds=flags.judge_patience_seconds,
            request_seconds=flags.judge_request_seconds,
        )
    return None
