"""Whether rollouts from prefixes end as those from the root do: their shares side by side, and a warning. Pure.

The two kinds of rollouts have different prompts: one from a prefix has the steps so far in it. A prompt that the model
does not continue well therefore shows only there. The opposite difference is no fault and gives no warning: after a
prefix less is left to write, and only problems whose first rollouts could be read have prefixes at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from omegaprm.engine.certainty import wilson
from omegaprm.engine.records import Counts, Estimate, Rollout

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

    >>> Shares().adding(estimates).from_prefixes.unparsed
    """

    from_root: Counts = Counts()
    from_prefixes: Counts = Counts()

    @classmethod
    def of(cls, from_root: Mapping[str, int], from_prefixes: Mapping[str, int]) -> Shares:
        """From counts by outcome."""
        return cls(Counts(**from_root), Counts(**from_prefixes))

    @property
    def kinds(self) -> dict[str, Counts]:
        """The counts by where their rollouts start, in words."""
        return {"the root": self.from_root, "prefixes": self.from_prefixes}

    def adding(self, estimates: Iterable[Estimate]) -> Shares:
        """These counts and the rollouts of the estimates."""
        from_root, from_prefixes = self.from_root, self.from_prefixes
        for estimate in estimates:
            if estimate.origin is None:
                from_root += estimate.counts
            else:
                from_prefixes += estimate.counts
        return Shares(from_root, from_prefixes)


def tally(counts: Counter[str], shares: Shares) -> None:
    """Add the rollouts to counts by name, such as "rollouts from prefixes: unparsed"."""
    for kind, found in shares.kinds.items():
        for outcome, num in msgspec.structs.asdict(found).items():
            if num:
                counts[f"rollouts from {kind}: {outcome}"] += num


def tallied(counts: Mapping[str, int]) -> Shares:
    """What tally added to counts."""
    names = Counts.__struct_fields__
    return Shares.of(
        *({name: counts.get(f"rollouts from {kind}: {name}", 0) for name in names} for kind in Shares().kinds)
    )


def share(counts: Counts, outcome: Watched) -> float:
    """The share of rollouts that ended so, in [0, 1]; 0 if there are none."""
    return float(getattr(counts, outcome)) / counts.total if counts.total else 0.0


def exceeds(shares: Shares, outcome: Watched) -> bool:
    """Whether an outcome is more frequent from prefixes: by MIN_DIFFERENCE, and the Wilson intervals do not meet."""
    root, prefixes = shares.from_root, shares.from_prefixes
    if min(root.total, prefixes.total) < MIN_ROLLOUTS:
        return False
    if share(prefixes, outcome) - share(root, outcome) < MIN_DIFFERENCE:
        return False
    return wilson(getattr(prefixes, outcome), prefixes.total)[0] > wilson(getattr(root, outcome), root.total)[1]


def warning(shares: Shares, outcome: Watched, look: str = DRY_RUN) -> str | None:
    """What happened, why it matters and what to do; None if the difference is small or may be chance.

    look: how to see unparsed rollouts.
    """
    if not exceeds(shares, outcome):
        return None
    todo = f"{look}; {REMEDY[outcome]}" if outcome == "unparsed" else REMEDY[outcome]
    return (
        f"{_text(shares.from_prefixes, outcome)} rollouts from prefixes are {outcome}, but only "
        f"{_text(shares.from_root, outcome)} from the root. The labels of later steps then rest on fewer rollouts. "
        f"{todo[0].upper()}{todo[1:]}."
    )


def warnings(shares: Shares, look: str = DRY_RUN) -> list[str]:
    """The warnings of all watched outcomes."""
    return [found for outcome in WATCHED if (found := warning(shares, outcome, look)) is not None]


def share_lines(shares: Shares) -> Iterator[str]:
    """Both shares of each watched outcome, one line per outcome; none before there is a rollout."""
    if shares == Shares():
        return
    for outcome in WATCHED:
        root, prefixes = (_text(counts, outcome) for counts in shares.kinds.values())
        yield f"{outcome:<11} {root} rollouts from the root, {prefixes} from prefixes"


def marks(shares: Shares) -> list[str]:
    """What a progress line says of the outcomes that a warning is given for."""
    return [
        f"warning: {_text(shares.from_prefixes, outcome)} rollouts from prefixes {outcome}, "
        f"{_text(shares.from_root, outcome)} from the root"
        for outcome in WATCHED
        if exceeds(shares, outcome)
    ]


def cells(shares: Shares) -> list[tuple[str, str]]:
    """The four shares with their names, as a table has them."""
    return [
        (f"{outcome}, from {kind}", _text(counts, outcome))
        for outcome in WATCHED
        for kind, counts in shares.kinds.items()
    ]


def unparsed_from_prefix(estimates: Iterable[Estimate]) -> tuple[Estimate, Rollout] | None:
    """The first unparsed rollout from a prefix, with its estimate."""
    pairs = ((estimate, rollout) for estimate in estimates if estimate.origin for rollout in estimate.rollouts)
    return next((pair for pair in pairs if pair[1].outcome == "unparsed"), None)


def percent(value: float) -> str:
    """A share in whole percent; with one decimal below 10 %, so that a small one is not shown as 0."""
    return f"{100 * value:.1f} %" if 0 < value < 0.0995 else f"{100 * value:.0f} %"


def _text(counts: Counts, outcome: Watched) -> str:
    """Such as "41 % of 1,000"."""
    return f"{percent(share(counts, outcome))} of {counts.total:,}" if counts.total else "none of 0"
