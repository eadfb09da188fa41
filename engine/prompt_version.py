"""Which form of prompt a store's rollouts were drawn from, and what an older form means for its labels. Pure.

Version 1 ended the prompt of a prefix where its last step ended, which may be inside a token of the policy, and read a
completion without the text outside its tags. Version 2 ends it at a token boundary and keeps what the policy wrote.
"""

from __future__ import annotations

from collections.abc import Mapping

PROMPT_VERSION = 2
SETTING = "prompt_version"

OLDER_PROMPTS = (
    "was made under older prompts: the prompt of a prefix could end inside a token of the policy, and text outside of "
    "the step tags was left out. With a byte-pair tokenizer many rollouts from prefixes are then unparsed, and labels "
    "after the first step can be wrong"
)


def has_older_prompts(settings: Mapping[str, str]) -> bool:
    """Whether bin/annotate made a store with these settings before version 2; imported trees were not sampled here."""
    return "step_format" in settings and SETTING not in settings


def unnamed_prompts() -> dict[str, str]:
    """What stores stand for that do not name it."""
    return {SETTING: "1", "outside_tags": "left out"}


def note(name: str, settings: Mapping[str, str]) -> str | None:
    """A sentence about a store for those who read it; None where there is nothing to say."""
    return f"{name} {OLDER_PROMPTS}." if has_older_prompts(settings) else None
