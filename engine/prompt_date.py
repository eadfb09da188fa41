"""The date in a policy's prompts: that of the flag, of the store or file that goes on, or today's, and then kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from omegaprm.engine import template_date
from omegaprm.engine.config import PolicyFlags
from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.template_date import DATE_STRING, FLAG, parse

KEY = "prompt_date"
"""The setting's name in stores and in the settings of candidates."""

Config = TypeVar("Config", bound=PolicyFlags)


def settled(config: Config, earlier: Mapping[str, str] | None = None) -> Config:
    """The flags with the date that prompts are to have; None in it where this policy's prompts have none.

    earlier: the settings of the store or file that the command goes on with. ConfigurationError for a flag that an
    endpoint's own template would not follow.
    """
    given = parse(config.prompt_date or (earlier or {}).get(KEY))
    names = _followed(config)
    if config.prompt_date is not None and not names and _is_rendered_elsewhere(config):
        raise ConfigurationError(
            f"{FLAG} {config.prompt_date}: the endpoint writes prompts by its own chat template, which is given a date "
            f"only in vLLM's dialect and where the template of --model takes {DATE_STRING}; give --policy-api "
            "completions and --model"
        )
    date = template_date.chosen(names, given)
    return msgspec.structs.replace(config, prompt_date=None if date is None else date.isoformat())


def stands_for(config: PolicyFlags, settings: Mapping[str, str]) -> dict[str, str]:
    """The date that work which records none counts as made under: this command's, unless a flag names that."""
    return {KEY: settings[KEY]} if config.prompt_date is None and KEY in settings else {}


def as_begun(config: PolicyFlags, settings: dict[str, str], earlier: Mapping[str, str]) -> dict[str, str]:
    """Settings without the date where the file that goes on records none and no flag names one."""
    left_out = {KEY} if earlier and KEY not in earlier and config.prompt_date is None else set()
    return {name: value for name, value in settings.items() if name not in left_out}


def _is_rendered_elsewhere(config: PolicyFlags) -> bool:
    return config.policy_url is not None and (config.policy_api == "chat" or not config.model)


def _followed(config: PolicyFlags) -> frozenset[str]:
    """The names of the template by which this command can say what date is written."""
    names = template_date.named(config.model) if config.model else frozenset()
    if not _is_rendered_elsewhere(config):
        return names
    return names if config.policy_dialect == "vllm" and DATE_STRING in names else frozenset()
