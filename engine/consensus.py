"""Labels of a solution by the rollouts, by a step judge, or by both: kept where they agree, masked otherwise; pure.

The filter is that of Qwen's lessons on PRMs (arXiv 2501.07301): a label that rollouts and a judge do not
share is left out. A judge speaks of single steps; its word on a solution is that everything behind the first
step it calls wrong is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from omegaprm.engine.opinions import Opinion
from omegaprm.engine.records import TrainingRow
from omegaprm.engine.selection import Labels
from omegaprm.engine.tree import ROOT_DIGEST, state_digests

LabelSource = Literal["mc", "judge", "consensus"]

AGREE = "steps kept: rollouts and judge agree"
MC_ALONE = "steps masked: judged wrong, though rollouts reached the answer"
JUDGE_ALONE = "steps masked: judged right, though no rollout reached the answer"
NO_OPINION = "steps masked: no opinion"
NO_VALUE = "steps masked: no value of their own"
JUDGED_RIGHT = "steps labelled by the judge: right"
JUDGED_WRONG = "steps labelled by the judge: wrong"
ALL_MASKED = "rows dropped: every step masked"
SHOWN_CONTRADICTIONS = 20
"""Examples in counts.json."""


class Contradiction(msgspec.Struct, frozen=True):
    """A step on which rollouts and judge contradict each other."""

    row: str
    index: int
    step: str
    mc: float
    judge: str


def judged(steps: Sequence[str], opinions: Mapping[bytes, Opinion]) -> list[bool | None]:
    """The judge's word on each step of a solution: False from its first wrong step on, None where it has none."""
    found: list[bool | None] = []
    known = True
    for digest in state_digests(ROOT_DIGEST, steps):
        opinion = opinions.get(digest)
        known = known and opinion is not None
        if (found and found[-1] is False) or (opinion is not None and not opinion.is_right):
            found.append(False)
        else:
            found.append(True if known else None)
    return found


def relabelled(
    source: LabelSource,
    rows: Sequence[TrainingRow],
    opinions: Mapping[bytes, Opinion],
    counts: Counter[str],
    found: list[Contradiction],
) -> list[TrainingRow]:
    """The rows with labels by another source, without those that have none left.

    counts says what became of every step; found takes examples of contradictions, SHOWN_CONTRADICTIONS at the most.
    """
    kept = []
    for row in rows:
        words = judged(row.steps, opinions)
        labels = by_judge(words, counts) if source == "judge" else by_both(row.labels, words, counts)
        if source == "consensus":
            found += contradictions(row, words)[: max(SHOWN_CONTRADICTIONS - len(found), 0)]
        if any(label is not None for label in labels):
            kept.append(msgspec.structs.replace(row, labels=labels))
        else:
            counts[ALL_MASKED] += 1
    return kept


def by_judge(words: Sequence[bool | None], counts: Counter[str]) -> Labels:
    """1 for right, 0 for wrong, None where the judge has no opinion."""
    for word in words:
        counts[NO_OPINION if word is None else JUDGED_RIGHT if word else JUDGED_WRONG] += 1
    return tuple(None if word is None else float(word) for word in words)


def by_both(values: Labels, words: Sequence[bool | None], counts: Counter[str]) -> Labels:
    """The rollouts' value where the judge agrees with it, None elsewhere."""
    verdicts = [_compared(value, word) for value, word in zip(values, words, strict=True)]
    counts.update(verdicts)
    return tuple(value if verdict == AGREE else None for value, verdict in zip(values, verdicts, strict=True))


def contradictions(row: TrainingRow, words: Sequence[bool | None]) -> list[Contradiction]:
    """The steps of a row that by_both masks because the two contradict each other."""
    return [
        Contradiction(row.id, at, row.steps[at], value, "right" if word else "wrong")
        for at, (value, word) in enumerate(zip(row.labels, words, strict=True))
        if value is not None and _compared(value, word) in (MC_ALONE, JUDGE_ALONE)
    ]


def _compared(value: float | None, word: bool | None) -> str:
    if value is None:
        return NO_VALUE
    if word is None:
        return NO_OPINION
    if (value > 0) == word:
        return AGREE
    return MC_ALONE if value > 0 else JUDGE_ALONE
