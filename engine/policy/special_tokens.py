"""A tokenizer's special tokens, as they stand in text."""

from __future__ import annotations

import re
from typing import Any

STEP_TAGS = ("<step>", "</step>", "<answer>", "</answer>")
"""Special tokens of some tokenizers that stay in a completion's text; all others are taken out."""


def hidden_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Matches the tokenizer's special tokens except the step tags."""
    special = set(tokenizer.all_special_tokens)
    special |= {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    names = sorted(special - set(STEP_TAGS), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names)) if names else r"(?!)")
