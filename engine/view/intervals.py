"""Wilson's score interval: what a handful of rollouts says of a state's true value."""

from __future__ import annotations

import math

Z_95 = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""


def wilson(correct: int, judged: int, z: float = Z_95) -> tuple[float, float] | None:
    """Lower and upper bound in [0, 1] of the chance behind correct of judged; None where nothing was judged."""
    if not judged:
        return None
    share, square = correct / judged, z * z / judged
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / judged + square / (4 * judged))
    return (0.0 if correct == 0 else middle - half), (1.0 if correct == judged else middle + half)
