"""95 % intervals by drawing problems with replacement, the same draws for every figure: differences pair."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PERCENTILES = (2.5, 97.5)

DRAWS_AT_ONCE = 256
"""Bounds memory to this many draws times the number of problems."""


def resampled_means(values: Floats, draws: int, seed: int) -> Floats:
    """Means over resampled problems: values (num_problems, num_figures) -> (draws, num_figures)."""
    generator = np.random.default_rng(seed)
    num = len(values)
    even = np.full(num, 1.0 / num)
    parts = [
        generator.multinomial(num, even, size=min(DRAWS_AT_ONCE, draws - start)) @ values / num
        for start in range(0, draws, DRAWS_AT_ONCE)
    ]
    return np.concatenate(parts)


def interval(samples: Floats) -> tuple[float, float]:
    """The middle 95 % of bootstrap samples; undefined ones (NaN) are left out, NaN where all are."""
    known = samples[~np.isnan(samples)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.percentile(known, PERCENTILES)
    return float(low), float(high)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Elementwise quotient, NaN where the denominator is not positive."""
    positive = denominator > 1e-12
    return np.where(positive, numerator / np.where(positive, denominator, 1.0), np.nan)
