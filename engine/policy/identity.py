"""Which policy a command has: a folder or an endpoint, never both or neither, and what tells it from another."""

from __future__ import annotations

from omegaprm.engine.config import AnnotateConfig, PolicyFlags
from omegaprm.engine.errors import UsageError
from omegaprm.engine.policy import checkpoint


def require_policy(config: PolicyFlags) -> None:
    """UsageError where the flags name no policy, or one that cannot be asked as they say."""
    if config.policy_url is None:
        if not config.model:
            raise UsageError("--model: name the policy's folder, or an endpoint by --policy-url")
        if config.policy_model is not None:
            raise UsageError("--policy-model: needs --policy-url")
        return
    if not config.policy_model:
        raise UsageError("--policy-url: needs --policy-model")
    if config.policy_dialect == "openai":
        _require_plain(config)


def _require_plain(config: PolicyFlags) -> None:
    """OpenAI's own fields know no top_k and no repetition penalty, and its chats are not gone on with."""
    if config.top_k or config.repetition_penalty != 1:
        raise UsageError(
            f"--policy-dialect openai: has no top_k {config.top_k} and no repetition_penalty "
            f"{config.repetition_penalty}; give --top-k 0 --repetition-penalty 1"
        )
    prefilled = isinstance(config, AnnotateConfig) and config.prompt_template != "mmprm"
    if config.policy_api == "chat" and prefilled:
        raise UsageError(
            "--policy-dialect openai with --policy-api chat: a begun reply cannot be gone on with there; give "
            "--prompt-template mmprm"
        )


def policy_identity(config: PolicyFlags) -> str:
    """The same for the same policy, wherever its folder or endpoint lies."""
    if config.policy_url is None:
        return checkpoint.model_digest(config.model)
    words = ["endpoint", str(config.policy_model), config.policy_api, config.policy_dialect]
    return " ".join([*words, *([checkpoint.text_digest(config.model)] if config.model else [])])
