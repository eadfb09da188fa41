"""What decides labels and candidates, by name: a store or file goes on only under the very same values."""

from __future__ import annotations

import msgspec

from engine.config import LATER_RULES, PART_RULE, AnnotateConfig, RolloutConfig, Sampling, SearchRule
from engine.few_shot import examples_digest, read_examples
from engine.judge.flags import judge_settings
from engine.policy.identity import policy_identity
from engine.problems import SeedSet


def fingerprint(config: AnnotateConfig, seeds: SeedSet) -> dict[str, str]:
    """What decides the labels, by name: a store goes on only under the very same values."""
    named = {**msgspec.structs.asdict(config.part(SearchRule)), **sampled_under(config, seeds)}
    if not config.first_part:
        del named[PART_RULE]
    return {name: str(value) for name, value in named.items()}


def sampled_under(config: AnnotateConfig | RolloutConfig, seeds: SeedSet) -> dict[str, object]:
    """What decides which solutions are drawn and how they are judged."""
    examples = read_examples(config.few_shot, config.step_format)
    return {
        **msgspec.structs.asdict(config.part(Sampling)),
        **({"few_shot": examples_digest(examples)} if examples else {}),
        "run_seed": config.run_seed,
        "prompt_template": config.prompt_template,
        "step_format": config.step_format,
        "model": policy_identity(config),
        "judge": judge_settings(config),
        "seeds": seeds.fingerprint(),
    }


def later_defaults() -> dict[str, str]:
    """What a store that does not name a later rule was made under; PART_RULE belongs to stores with parts alone."""
    return {name: str(getattr(SearchRule(), name)) for name in LATER_RULES if name != PART_RULE}
