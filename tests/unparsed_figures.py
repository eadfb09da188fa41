"""How many rollouts of a store end without a readable answer, from the root and from prefixes, by family:
python -m tests.unparsed_figures STORE

A policy that is disturbed by how a prefix ends has a larger share from prefixes than from the root.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from examples.truth import family_of
from omegaprm.engine import journal
from omegaprm.engine.store import Store

Key = tuple[str, str]
"""A family, and "root" or "prefix"."""


def outcomes(store: Store) -> dict[Key, Counter[str]]:
    """Rollouts by outcome."""
    found: dict[Key, Counter[str]] = {}
    for record in journal.problem_records(store):
        name = record.problem.id
        for estimate in journal.estimates(store, name):
            key = family_of(name), "prefix" if estimate.prefix else "root"
            found.setdefault(key, Counter()).update(rollout.outcome for rollout in estimate.rollouts)
    return found


def shares(counts: Counter[str]) -> dict[str, float]:
    """The number of rollouts; the share of each bad outcome among them; correct rollouts among the judged ones."""
    judged = counts["correct"] + counts["incorrect"]
    return {
        "rollouts": counts.total(),
        "unparsed": round(counts["unparsed"] / counts.total(), 4),
        "truncated": round(counts["truncated"] / counts.total(), 4),
        "correct of judged": round(counts["correct"] / max(1, judged), 4),
    }


def main(store: str) -> None:
    with Store.open_reader(Path(store)) as reader:
        for (family, start), counts in sorted(outcomes(reader).items()):
            print(family, start, shares(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
