"""What the run page shows: counts by outcome and MC, which rules judged, what it cost, and how that went over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from omegaprm.engine.history import Sample, history
from omegaprm.engine.problems import Rejected
from omegaprm.engine.records import Counts
from omegaprm.engine.status import REJECTED_KEY, mc_labels
from omegaprm.engine.store import StoreDamaged
from omegaprm.engine.view.shelf import Shelf, Shelved

MAX_POINTS = 300
"""Of the curves over time; more samples are thinned."""
MAX_LISTED = 200
"""Quarantined problems and rejected rows that are listed."""


class Named(msgspec.Struct):
    """A problem that is named with a reason."""

    store: int
    id: str
    reason: str


class Point(msgspec.Struct):
    """Counts up to a time; at in Unix seconds, the counts of earlier runs over the store included."""

    at: float
    rollouts: int
    tokens: int
    estimates: int
    ended: int
    run: int


class StorePage(msgspec.Struct):
    """One store: its name, folder, settings, and its curve over time."""

    name: str
    folder: str
    settings: dict[str, str]
    points: list[Point]
    num_damaged: int


class RunPage(msgspec.Struct, kw_only=True):
    """All stores taken together. is_whole says whether every estimate has been counted yet."""

    problems: dict[str, int]
    reasons: dict[str, int]
    outcomes: Counts
    num_estimates: int
    num_tokens: int
    num_errors: int
    states: list[tuple[str, int]]
    roots: list[tuple[str, int]]
    rules: dict[str, int]
    quarantined: list[Named]
    rejected: list[Rejected]
    stores: list[StorePage]
    is_whole: bool


def run_page(shelf: Shelf) -> RunPage:
    rows = [entry.row for entry in shelf.entries]
    folds = [fold for shelved in shelf.stores for fold in shelved.folding.folds.values()]
    totals = [shelved.folding.totals() for shelved in shelf.stores]
    quarantined = [Named(row.store, row.id, row.reason) for row in rows if row.state == "quarantined"]
    states = Counter(row.state for row in rows)
    return RunPage(
        problems={name: states[name] for name in ("open", "done", "quarantined")},
        reasons=dict(Counter(row.reason for row in rows if row.state == "done").most_common()),
        outcomes=sum((fold.outcomes for fold in folds), Counts()),
        num_estimates=sum(fold.num_estimates for fold in folds),
        num_tokens=sum(fold.num_tokens for fold in folds),
        num_errors=sum(row.errors or 0 for row in rows),
        states=_binned([each.states for each in totals]),
        roots=_binned([each.roots for each in totals]),
        rules=dict(sum((each.rules for each in totals), Counter()).most_common()),
        quarantined=quarantined[:MAX_LISTED],
        rejected=[row for shelved in shelf.stores for row in _rejected(shelved)][:MAX_LISTED],
        stores=[_store_page(shelved) for shelved in shelf.stores],
        is_whole=all(shelved.is_folded for shelved in shelf.stores),
    )


def _binned(counters: Sequence[Counter[str]]) -> list[tuple[str, int]]:
    whole: Counter[str] = sum(counters, Counter())
    return [(label, whole[label]) for label in mc_labels()]


def _rejected(shelved: Shelved) -> list[Rejected]:
    try:
        return msgspec.msgpack.decode(shelved.store.get("meta", REJECTED_KEY) or b"\x90", type=list[Rejected])
    except msgspec.MsgspecError:
        shelved.num_damaged += 1
        return []


def _store_page(shelved: Shelved) -> StorePage:
    damaged = shelved.num_damaged + shelved.folding.num_damaged
    try:
        settings, points = shelved.store.fingerprint(), curve(list(history(shelved.store)))
    except StoreDamaged:
        settings, points, damaged = {}, [], damaged + 1
    return StorePage(shelved.name, str(shelved.folder), settings, points, damaged)


def curve(samples: Sequence[Sample]) -> list[Point]:
    """Samples of several runs as one curve that never falls: a run goes on where the one before had its last sample."""
    points: list[Point] = []
    before, last, run = (0, 0, 0, 0), (0, 0, 0, 0), -1
    started: float | None = None
    for sample in samples:
        if sample.run != started:
            before, started, run = last, sample.run, run + 1
        own = sample.num_rollouts, sample.num_tokens, sample.num_estimates, sample.num_ended
        last = before[0] + own[0], before[1] + own[1], before[2] + own[2], before[3] + own[3]
        points.append(Point(sample.at, *last, run))
    return _thinned(points)


def _thinned(points: list[Point]) -> list[Point]:
    """At most about MAX_POINTS, the first and last of every run kept."""
    stride = -(-len(points) // MAX_POINTS) if points else 1
    return [
        point
        for at, point in enumerate(points)
        if at % stride == 0
        or at + 1 == len(points)
        or points[at + 1].run != point.run
        or (at > 0 and points[at - 1].run != point.run)
    ]
