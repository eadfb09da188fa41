"""Process reward models from seed problems: OmegaPRM trees, step labels, PRM training, Best-of-N.

    from omegaprm import Scorer

The packages are omegaprm.engine, omegaprm.trainer and omegaprm.evaluator. In a checkout their folders lie at the top
level, and the links here give them this name.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Scorer"]


def __getattr__(name: str) -> Any:
    """What a PRM is used through, loaded when it is asked for: importing omegaprm itself costs nothing."""
    if name == "Scorer":
        from omegaprm.evaluator import Scorer

        return Scorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
