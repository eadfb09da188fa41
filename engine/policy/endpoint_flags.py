"""The flags of a policy that is a model behind an endpoint instead of an engine in this process."""

from __future__ import annotations

from typing import Literal

from omegaprm.engine.errors import UsageError
from omegaprm.engine.judge.flags import check_url
from omegaprm.engine.reporting_flags import ReportingFlags

POLICY_KEY_VARIABLE = "OMEGAPRM_POLICY_KEY"
"""Environment variable that holds the endpoint's key; no flag and no file ever does."""


class PolicyEndpointFlags(ReportingFlags, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a policy behind an endpoint is asked."""

    policy_url: str | None = None
    """Base of an OpenAI-compatible endpoint that is the policy, as http://host:8000/v1 of `vllm serve`; its key comes
    from the environment variable OMEGAPRM_POLICY_KEY."""
    policy_model: str | None = None
    """Model that the policy's endpoint is asked for."""
    policy_api: Literal["completions", "chat"] = "completions"
    """"completions": prompts are text, by the chat template of --model or plain without one; "chat": the endpoint's own
    template, and images."""
    policy_dialect: Literal["vllm", "openai"] = "vllm"
    """"vllm": the fields that vLLM adds to OpenAI's are used; "openai": none of them, which needs --top-k 0 and
    --repetition-penalty 1."""
    policy_patience_seconds: float = 600.0
    """Time an answer is waited for while the policy's endpoint answers nothing at all; past it the command ends with
    69."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_url(self.policy_url, "--policy-url", POLICY_KEY_VARIABLE)
        if self.policy_patience_seconds <= 0:
            raise UsageError(f"--policy-patience-seconds {self.policy_patience_seconds}: must be above 0")
