"""The model that writes solutions. See base.Policy for what one must do."""

from omegaprm.engine.policy.base import Completion, Policy, Prompt

__all__ = ["Completion", "Policy", "Prompt"]
