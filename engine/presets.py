"""What --preset stands for: settings that were published, and those that were measured to be better."""

from __future__ import annotations

from typing import Any

import msgspec

from omegaprm.engine.config import Sampling, SearchRule

PRESETS: dict[str, dict[str, Any]] = {
    "mmprm": {
        **msgspec.structs.asdict(SearchRule()),
        **msgspec.structs.asdict(Sampling()),
        "prompt_template": "mmprm",
        "step_format": "tags",
    },
    "paper": {
        "num_rollouts": 8,
        "max_searches": 100,
        "length_scale": 500.0,
        "alpha": 0.5,
        "beta": 0.9,
        "c_puct": 0.125,
    },
    "parts": {"first_part": 4, "settle_right": 2},
    "sharp": {"error_below": 0.25},
    "thrifty": {"first_part": 4, "settle_right": 2, "error_below": 0.25},
}
"""Settings by name: MM-PRM's shipped ones with its prompt, the OmegaPRM paper's search (section 4.1); and, measured in
docs/economy.md, estimates in parts, sharper first errors, and both."""
