"""What decides labels and candidates, by name: a store or file goes on only under the very same values."""

from __future__ import annotations

import msgspec

from omegaprm.engine.config import LATER_RULES, PART_RULE, AnnotateConfig, RolloutConfig, Sampling, SearchRule
from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.few_shot import examples_digest, read_examples
from omegaprm.engine.judge.flags import judge_settings
from omegaprm.engine.policy.identity import policy_identity
from omegaprm.engine.problems import SeedSet
from omegaprm.engine.prompt_version import OLDER_PROMPTS, PROMPT_VERSION, SETTING, has_older_prompts, unnamed_prompts
from omegaprm.engine.store import Store


def fingerprint(config: AnnotateConfig, seeds: SeedSet) -> dict[str, str]:
    """What decides the labels, by name: a store goes on only under the very same values."""
    named = {**msgspec.structs.asdict(config.part(SearchRule)), **sampled_under(config, seeds), SETTING: PROMPT_VERSION}
    if not config.first_part:
        del named[PART_RULE]
    return {name: str(value) for name, value in named.items()}


def sampled_under(config: AnnotateConfig | RolloutConfig, seeds: SeedSet) -> dict[str, object]:
    """What decides which solutions are drawn and how they are judged."""
    examples = read_examples(config.few_shot, config.step_format)
    return {
        **msgspec.structs.asdict(config.part(Sampling)),
        **({"few_shot": examples_digest(examples)} if examples else {}),
        **({"prompt_date": config.prompt_date} if config.prompt_date else {}),
        "run_seed": config.run_seed,
        "prompt_template": config.prompt_template,
        "step_format": config.step_format,
        "outside_tags": config.outside_tags,
        "model": policy_identity(config),
        "judge": judge_settings(config),
        "seeds": seeds.fingerprint(),
    }


def later_defaults() -> dict[str, str]:
    """What a store was made under that does not name a later rule; only stores with parts name PART_RULE."""
    rules = {name: str(getattr(SearchRule(), name)) for name in LATER_RULES if name != PART_RULE}
    return rules | unnamed_prompts()


def refuse_older_prompts(store: Store, folder: str) -> None:
    """ConfigurationError where a store holds work of older prompts: rollouts of both must not mix in one tree."""
    if has_older_prompts(store.fingerprint()) and store.count("estimates"):
        raise ConfigurationError(
            f"--store {folder}: this store {OLDER_PROMPTS}. It cannot be continued. Start again with a new --store; "
            "bin/status, bin/view and bin/export still read this one"
        )
