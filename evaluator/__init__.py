"""A PRM and candidate solutions in, a report out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaprm.evaluator.scorer import Scorer

__all__ = ["Scorer"]


def __getattr__(name: str) -> Any:
    """Scorer brings torch with it, and is imported when it is asked for."""
    if name == "Scorer":
        from omegaprm.evaluator.scorer import Scorer

        return Scorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
