"""Whether rollouts from prefixes end as those from the root do: their shares side by side, and a warning. Pure.

The two kinds of rollouts have different prompts: one from a prefix has the steps so far in it. A prompt that the model
does not continue well therefore shows only here. The opposite difference is no fault and gives no warning: after a
prefix less is left to write, and only problems whose first rollouts could be read have prefixes at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from engine.certainty import wilson
from engine.records import Counts, Estimate, Rollout

Watched = Literal["unparsed", "truncated"]
"""Outcomes that say nothing about a state, though its rollouts were paid for."""
WATCHED: tuple[Watched, ...] = ("unparsed", "truncated")

MIN_ROLLOUTS = 50
"""Rollouts that both kinds need: with fewer, two or three states decide the share."""
MIN_DIFFERENCE = 0.1
"""Least difference of the shares: prefixes come from wrong solutions, so a few points of difference are normal."""

DRY_RUN = "run bin/annotate --dry-run 8 with the same flags and read the unparsed rollouts that it prints"
REMEDY: dict[Watched, str] = {
    "unparsed": "then try another --step-format or --few-shot, with a new --store",
    "truncated": "raise --max-new-tokens, with a new --store",
}


class Shares(msgspec.Struct, frozen=True):
    """Rollouts by outcome: those drawn from the root, and those drawn from prefixes.

    >>> Shares().after(estimates).share("unparsed")
    """

    from_root: Counts = Counts()
    from_prefixes: Counts = Counts()

    @classmethod
    def of(cls, from_root: Mapping[str, int], from_prefixes: Mapping[str, int]) -> Shares:
        """The shares of counts by outcome."""
        return cls(Counts(**from_root), Counts(**from_prefixes))

    def after(self, estimates: Iterable[Estimate]) -> Shares:
        """The same with these estimates' rollouts added."""
        from_root, from_prefixes = self.from_root, self.from_prefixes
        for estimate in estimates:
            if estimate.origin is None:
                from_root += estimate.counts
            else:
                from_prefixes += estimate.counts
        return Shares(from_root, from_prefixes)


def tally(counts: Counter[str], shares: Shares) -> None:
    """Add the rollouts to counts by name, such as "rollouts from prefixes: unparsed"."""
    for kind, found in (("the root", shares.from_root), ("prefixes", shares.from_prefixes)):
        for outcome, num in msgspec.structs.asdict(found).items():
            if num:
                counts[f"rollouts from {kind}: {outcome}"] += num


def tallied(counts: Mapping[str, int]) -> Shares:
    """The shares that tally added to counts."""
    names = Counts.__struct_fields__
    root, prefixes = (
        {name: counts.get(f"rollouts from {kind}: {name}", 0) for name in names} for kind in ("the root", "prefixes")
    )
    return Shares.of(root, prefixes)


def shown(shares: Shares) -> Iterator[str]:
    """One line per watched outcome, both shares in it; none before there is a rollout."""
    if not shares.from_root.total + shares.from_prefixes.total:
        return
    for outcome in WATCHED:
        root, prefixes = _share(shares.from_root, outcome), _share(shares.from_prefixes, outcome)
        yield f"{outcome:<11} {root} from the root, {prefixes} from prefixes"


def marks(shares: Shares) -> list[str]:
    """What a progress line says of each outcome that is too frequent after prefixes."""
    return [
        f"{outcome} {_share(shares.from_root, outcome)} from the root but {_share(shares.from_prefixes, outcome)} from "
        "prefixes (bin/status says what to do)"
        for outcome in WATCHED
        if exceeds(shares, outcome)
    ]


def cells(shares: Shares) -> list[tuple[str, str]]:
    """The four shares with their names, for a table."""
    kinds = {"the root": shares.from_root, "prefixes": shares.from_prefixes}
    return [(f"{outcome}, from {kind}", _share(kinds[kind], outcome)) for outcome in WATCHED for kind in kinds]


def warnings(shares: Shares, look: str = DRY_RUN) -> list[str]:
    """A warning per outcome that is too frequent after prefixes."""
    return [found for outcome in WATCHED if (found := warning(shares, outcome, look)) is not None]


def warning(shares: Shares, outcome: Watched, look: str = DRY_RUN) -> str | None:
    """What happened, why it matters and what to do; None where the difference may be chance or is small.

    look: how to see unparsed rollouts.
    """
    if not exceeds(shares, outcome):
        return None
    do = f"{look}; {REMEDY[outcome]}" if outcome == "unparsed" else REMEDY[outcome]
    return (
        f"{_share(shares.from_prefixes, outcome)} from prefixes are {outcome}, but only "
        f"{_share(shares.from_root, outcome)} from the root. The labels of later steps then rest on fewer rollouts. "
        f"{do[0].upper()}{do[1:]}."
    )


def exceeds(shares: Shares, outcome: Watched) -> bool:
    """Whether an outcome is more frequent from prefixes by MIN_DIFFERENCE, and the two Wilson intervals are apart."""
    root, prefixes = shares.from_root, shares.from_prefixes
    if min(root.total, prefixes.total) < MIN_ROLLOUTS:
        return False
    few, many = getattr(root, outcome), getattr(prefixes, outcome)
    if many / prefixes.total - few / root.total < MIN_DIFFERENCE:
        return False
    return wilson(many, prefixes.total)[0] > wilson(few, root.total)[1]


def unparsed_after_prefix(estimates: Iterable[Estimate]) -> tuple[Estimate, Rollout] | None:
    """The first unparsed rollout from a prefix, with its estimate."""
    after = (estimate for estimate in estimates if estimate.origin is not None)
    found = ((estimate, rollout) for estimate in after for rollout in estimate.rollouts)
    return next(((estimate, rollout) for estimate, rollout in found if rollout.outcome == "unparsed"), None)


def _share(counts: Counts, outcome: Watched) -> str:
    """ "41 % of 1,000 rollouts"."""
    if not counts.total:
        return "no rollouts"
    return f"{percent(getattr(counts, outcome) / counts.total)} of {counts.total:,} rollouts"


def percent(share: float) -> str:
    """A share in whole percent; with one decimal below 10 %, so that a small one is not shown as 0."""
    return f"{100 * share:.1f} %" if 0 < share < 0.0995 else f"{100 * share:.0f} %"
