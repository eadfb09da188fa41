"""Every flag of the judge, shared by the commands that judge, and what identifies a judge by its verdicts."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from omegaprm.engine.errors import UsageError
from omegaprm.engine.policy.checkpoint import model_digest

JudgeTemplate = Literal["own", "mmprm"]

RULES_VERSION = 6
"""Raised when a judging rule changes: older stored verdicts are then not found, older stores do not go on."""

KEY_VARIABLE = "OMEGAPRM_JUDGE_KEY"
"""Environment variable that holds the endpoint's key; no flag and no file ever does."""


MODEL_PATH_FLAG = "--judge-model-path"


class EndpointFlags(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is asked, whatever it is asked about."""

    judge_concurrency: int = 32
    """Requests to the judge's model at once."""
    judge_patience_seconds: float = 600.0
    """Time an answer is waited for while the model answers nothing at all; past it the command ends with 69."""
    judge_request_seconds: float = 120.0
    """Deadline of one request."""
    judge_max_asks: int = 3
    """Times one answer or step is put to the judge while its reply holds nothing readable; then it is unknown."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name, None)
            if value is not None and value < least:
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be at least {least}")
        for name in _ABOVE_ZERO:
            if getattr(self, name, 1) <= 0:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be above 0")


class JudgeFlags(EndpointFlags, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The flags of every command that judges answers."""

    math_verify_workers: int = 1
    """Processes that compare answers by math-verify."""
    math_verify_seconds: float = 5.0
    """Deadline of one comparison; past it the verdict is unknown."""
    judge_url: str | None = None
    """Base of an OpenAI-compatible endpoint, as http://host:8000/v1, asked where no rule decides; its key comes
    from the environment variable OMEGAPRM_JUDGE_KEY."""
    judge_model: str | None = None
    """Model that the endpoint is asked for."""
    judge_model_path: str | None = None
    """Local folder of a Hugging Face model that judges instead of an endpoint, in an engine of its own in this process,
    beside the policy's; 78 where memory or CPUs do not suffice for both."""
    judge_max_model_len: int | None = None
    """Context length of --judge-model-path; default: the model's own."""
    judge_kv_cache_gib: float = 1.0
    """Memory of its KV cache on a CPU, in GiB."""
    judge_gpu_memory_utilization: float = 0.2
    """Share of GPU memory that its engine may take; with --gpu-memory-utilization at most 0.95."""
    judge_template: JudgeTemplate = "own"
    """How the judge is asked: "own" reasons and ends with a verdict line, "mmprm" says Yes or No as in MM-PRM."""
    judge_max_tokens: int = 1024
    """Tokens of a judge's reply at the most, with the template "own"."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_url(self.judge_url)
        if self.judge_url is not None and self.judge_model_path is not None:
            raise UsageError("--judge-url and --judge-model-path: give one of them, or neither")
        if (self.judge_url is None) != (self.judge_model is None):
            raise UsageError("--judge-url and --judge-model: give both or neither")


def judge_identity(flags: JudgeFlags) -> str:
    """What decides the verdicts beside the rules: the template and model asked, "" where none is.

    A local model is told by its files, wherever the folder is. ConfigurationError where there is no model.
    """
    if flags.judge_model_path is not None:
        return f"{flags.judge_template} {model_digest(flags.judge_model_path, MODEL_PATH_FLAG)}"
    return f"{flags.judge_template} {flags.judge_model}" if flags.judge_model else ""


def judge_settings(flags: JudgeFlags) -> str:
    """What decides the verdicts, in words: a store or file made under others does not go on."""
    identity = judge_identity(flags)
    return f"rules {RULES_VERSION}" + (f", then {identity}" if identity else "")


_LEAST = {
    "math_verify_workers": 1,
    "judge_concurrency": 1,
    "judge_max_asks": 1,
    "judge_max_tokens": 1,
    "judge_max_model_len": 1,
}

_ABOVE_ZERO = (
    "math_verify_seconds",
    "judge_patience_seconds",
    "judge_request_seconds",
    "judge_kv_cache_gib",
    "judge_gpu_memory_utilization",
)


def check_url(url: str | None, flag: str = "--judge-url", key_variable: str = KEY_VARIABLE) -> None:
    """UsageError where this cannot be the base of an endpoint."""
    if url is None:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{flag} {url}: must begin with http:// or https:// and name a host")
    if parts.username or parts.password:
        raise UsageError(f"{flag}: must hold no user or password; the key is read from {key_variable}")
    if parts.query or parts.fragment:
        raise UsageError(f"{flag} {url}: must end with its path, as http://host:8000/v1")
