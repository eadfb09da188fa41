"""What the first estimates of a few problems say about the flags, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.prompts import outside_tags
from omegaprm.engine.records import Counts, Estimate

MANY = 0.2
"""Share of the rollouts, or of the problems, from which on a trouble is named."""
SOME = 0.05
"""Share of the rollouts from which on text outside of the tags is a habit of the model and no slip."""
OUTSIDE_REMEDY = (
    ": show solved problems by --few-shot, try --step-format paragraphs, or make every such paragraph a step by "
    "--outside-tags steps"
)
FEW_STEPS = 2.5
"""Mean steps of a solution, its answer counted, below which a binary search has nothing to halve."""


def advice(config: AnnotateConfig, roots: Sequence[Estimate]) -> Iterator[str]:
    """How the rollouts at the roots came out, and what to change where many are of no use."""
    counts = msgspec.structs.asdict(sum((root.counts for root in roots), Counts()))
    total = sum(counts.values())
    if not total:
        return
    yield f"{total} rollouts from the questions alone: {', '.join(f'{count} {name}' for name, count in counts.items())}"
    share = {name: count / total for name, count in counts.items()}
    if share["unparsed"] >= MANY:
        yield (
            f"many do not end with an answer in the form of --step-format {config.step_format}: try another form, or "
            "show solved problems by --few-shot"
        )
    if share["truncated"] >= MANY:
        yield f"many run into --max-new-tokens {config.max_new_tokens}: raise it, or lower --temperature"
    if share["unknown"] >= MANY:
        yield "many answers are beyond the rules: give a model by --judge-url or --judge-model-path"
    yield from _about_roots(roots)
    yield from _about_steps(roots)


def about_text_outside(config: AnnotateConfig, estimates: Iterable[Estimate]) -> Iterator[str]:
    """How much of the unparsed rollouts is outside of the tags, and what to do about it."""
    if config.step_format != "tags":
        return
    rollouts = [one for each in estimates for one in each.rollouts]
    unparsed = [one.text for one in rollouts if one.outcome == "unparsed"]
    outside = [(outside_tags(text), len("".join(text.split()))) for text in unparsed]
    found = [pair for pair in outside if pair[0]]
    if found:
        remedy = OUTSIDE_REMEDY if len(found) >= SOME * len(rollouts) else ""
        share = sum(part for part, _ in found) / sum(whole for _, whole in found)
        yield (
            f"{len(found)} of {len(unparsed)} unparsed rollouts have text outside of the <step> and <answer> tags, "
            f"{share:.0%} of what they say{remedy}"
        )


def _about_roots(roots: Sequence[Estimate]) -> Iterator[str]:
    values = [root.counts.value for root in roots if root.counts.value is not None]
    for extreme, name in ((0.0, "too hard"), (1.0, "too easy")):
        if values and values.count(extreme) > len(values) / 2:
            count = values.count(extreme)
            yield f"{count} of {len(values)} problems have MC = {extreme:.0f}: {name} to search, they give no rows"


def _about_steps(roots: Sequence[Estimate]) -> Iterator[str]:
    lengths = [len(one.steps) for root in roots for one in root.rollouts if one.outcome in ("correct", "incorrect")]
    mean = sum(lengths) / len(lengths) if lengths else FEW_STEPS
    if mean < FEW_STEPS:
        yield f"solutions have {mean:.1f} steps on average, the answer counted: a search has little to halve"
