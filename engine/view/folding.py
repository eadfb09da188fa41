"""Totals over every estimate of a store, folded once each: a store that grows costs only what is new.

Estimates never change and only come behind those of their problem, so what was folded stays right.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache

import msgspec

from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Counts, Estimate, ProblemRecord
from omegaprm.engine.status import mc_label
from omegaprm.engine.stopping import may_turn
from omegaprm.engine.store import Store, StoreDamaged, estimate_key, unpack
from omegaprm.engine.tree import ROOT_DIGEST, Tree, apply, state_digests

_label = lru_cache(4096)(mc_label)


class Fold(msgspec.Struct):
    """What is known of one problem; tree and states are kept while it grows. num_errors is None where unknown."""

    num_estimates: int = 0
    num_tokens: int = 0
    outcomes: Counts = Counts()
    num_errors: int | None = 0
    ended: bool = False
    tree: Tree | None = None
    states: dict[bytes, Counts] = {}


class Totals(msgspec.Struct):
    """Over all folded estimates: verdicts by rule, what could not be read, and the states of ended problems by MC."""

    states: Counter[str] = msgspec.field(default_factory=Counter)
    roots: Counter[str] = msgspec.field(default_factory=Counter)
    rules: Counter[str] = msgspec.field(default_factory=Counter)
    num_damaged: int = 0

    def add_states(self, states: Mapping[bytes, Counts]) -> None:
        """Count states by the MC of their own rollouts."""
        for digest, counts in states.items():
            label = _label(counts.value)
            self.states[label] += 1
            if digest == ROOT_DIGEST:
                self.roots[label] += 1


class Folding:
    """Folds a store's problems, some at a time."""

    def __init__(self, store: Store, rule: SearchRule | None) -> None:
        """rule: the search rule of the store; None where it names none that is known, errors are not counted then."""
        self._store = store
        self._rule = rule
        self.folds: dict[bytes, Fold] = {}
        self._totals = Totals()

    def totals(self) -> Totals:
        """The totals, with the states of open problems as they are now."""
        whole = msgspec.structs.replace(
            self._totals, states=self._totals.states.copy(), roots=self._totals.roots.copy()
        )
        for fold in list(self.folds.values()):
            whole.add_states(fold.states)
        return whole

    @property
    def num_damaged(self) -> int:
        return self._totals.num_damaged

    def advance(self, records: dict[bytes, ProblemRecord], seconds: float) -> bool:
        """Fold for about so long; whether nothing is left but what is still being written."""
        until = time.monotonic() + seconds
        for key, record in records.items():
            fold = self.folds.setdefault(key, Fold())
            if fold.ended:
                continue
            self._fold(key, record, fold)
            if time.monotonic() > until:
                return False
        return True

    def _fold(self, key: bytes, record: ProblemRecord, fold: Fold) -> None:
        try:
            for estimate in self._new(key, fold.num_estimates):
                self._add(fold, estimate, record.state)
        except StoreDamaged:
            self._totals.num_damaged += 1
            fold.ended, fold.num_errors = True, None
        if record.state != "open":
            self._end(key, record, fold)

    def _new(self, key: bytes, number: int) -> Iterator[Estimate]:
        while (value := self._store.get("estimates", estimate_key(key, number))) is not None:
            yield unpack(value, Estimate)
            number += 1

    def _add(self, fold: Fold, estimate: Estimate, state: str) -> None:
        fold.num_estimates += 1
        fold.outcomes += estimate.counts
        fold.num_tokens += sum(rollout.num_tokens for rollout in estimate.rollouts)
        self._totals.rules.update(rollout.rule for rollout in estimate.rollouts if rollout.rule)
        digest = (ROOT_DIGEST, *state_digests(ROOT_DIGEST, estimate.prefix))[-1]
        fold.states[digest] = fold.states.get(digest, Counts()) + estimate.counts
        if state == "open" and self._rule is not None:
            self._grow(fold, estimate)

    def _grow(self, fold: Fold, estimate: Estimate) -> None:
        """Errors of an open tree come from its replay; a finished one mostly has them in its record."""
        try:
            fold.tree = apply(fold.tree or Tree.new(self._rule or SearchRule()), estimate)
            fold.num_errors = len(fold.tree.errors)
        except ValueError:
            fold.num_errors, self._rule = None, None

    def _end(self, key: bytes, record: ProblemRecord, fold: Fold) -> None:
        """A finished search has found an error, unless it met a state where nothing was judged; it keeps the error,
        unless a state with MC = 0 may get further rollouts."""
        if fold.num_errors is not None:
            told = self._rule is not None and not may_turn(self._rule) and all(c.judged for c in fold.states.values())
            fold.num_errors = record.num_searches if told else self._replayed_errors(key)
        self._totals.add_states(fold.states)
        fold.ended, fold.tree, fold.states = True, None, {}

    def _replayed_errors(self, key: bytes) -> int | None:
        if self._rule is None:
            return None
        tree = Tree.new(self._rule)
        try:
            for estimate in self._new(key, 0):
                tree = apply(tree, estimate)
        except ValueError:
            return None
        return len(tree.errors)
