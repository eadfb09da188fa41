"""Verdicts on final answers. See base.Judge for what a judge must do."""

from omegaprm.engine.judge.base import Judge

__all__ = ["Judge"]
