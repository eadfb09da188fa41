"""What a policy and a judge can tell of their load, asked of those that can tell and of none other."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec


class PolicyLoad(msgspec.Struct, frozen=True, kw_only=True):
    """kv_cache_use: share of the KV cache in use, in [0, 1]; the numbers are sequences in the engine."""

    kv_cache_use: float | None = None
    num_running: int | None = None
    num_waiting: int | None = None


class JudgeLoad(msgspec.Struct, frozen=True, kw_only=True):
    """queue: comparisons that are waited for; the rest is what the endpoint was asked so far."""

    queue: int | None = None
    num_requests: int = 0
    num_failures: int = 0
    num_tokens: int = 0


@runtime_checkable
class LoadedPolicy(Protocol):
    def policy_load(self) -> PolicyLoad: ...


@runtime_checkable
class LoadedJudge(Protocol):
    def judge_load(self) -> JudgeLoad: ...


def policy_load(policy: object) -> PolicyLoad:
    return policy.policy_load() if isinstance(policy, LoadedPolicy) else PolicyLoad()


def judge_load(judge: object) -> JudgeLoad:
    return judge.judge_load() if isinstance(judge, LoadedJudge) else JudgeLoad()
