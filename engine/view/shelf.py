"""The stores that a viewer shows: opened to read, looked through again when they change."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaprm.engine.config import SearchRule
from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.export import stored_rule
from omegaprm.engine.records import ProblemRecord
from omegaprm.engine.store import Store, StoreDamaged, problem_key, unpack
from omegaprm.engine.view.folding import Folding
from omegaprm.engine.view.listing import Entry, row_of, text_of

RESCAN_SECONDS = 2.0
RESCAN_SHARE = 10
"""A growing store is looked through at most so often, and at most one part in so many of the time."""
SLICE_SECONDS = 0.05


class Shelved:
    """One store and what is known of its problems."""

    def __init__(self, at: int, folder: Path) -> None:
        self.at = at
        self.store = Store.open_reader(folder)
        self.folder = folder
        self.name = folder.resolve().name
        self.rule = known_rule(self.store)
        self.folding = Folding(self.store, self.rule)
        self.records: dict[bytes, ProblemRecord] = {}
        self.entries: list[Entry] = []
        self.num_damaged = 0
        self.is_folded = False
        self._seen = -1
        self._due = 0.0

    def refresh(self) -> bool:
        """Read the problems again if the store has changed and it is time; whether it was."""
        transaction = self.store.last_transaction()
        if transaction == self._seen or time.monotonic() < self._due:
            return False
        began = time.monotonic()
        self.rule = self.rule or known_rule(self.store)
        self.records = dict(self._scan())
        self._seen, self.is_folded = transaction, False
        self._list()
        taken = time.monotonic() - began
        self._due = time.monotonic() + max(RESCAN_SECONDS, RESCAN_SHARE * taken)
        return True

    def fold(self) -> bool:
        """Fold a slice; whether anything was left to do."""
        if self.is_folded:
            return False
        self.is_folded = self.folding.advance(self.records, SLICE_SECONDS)
        if self.is_folded:
            self._list()
        return True

    @property
    def version(self) -> str:
        return f"{self._seen}{'' if self.is_folded else '+'}"

    def record(self, problem_id: str) -> ProblemRecord | None:
        """The record as it is now in the store. StoreDamaged."""
        value = self.store.get("problems", problem_key(problem_id))
        return None if value is None else unpack(value, ProblemRecord)

    def _scan(self) -> Iterator[tuple[bytes, ProblemRecord]]:
        self.num_damaged = 0
        for key, value in self.store.scan("problems"):
            try:
                yield key, unpack(value, ProblemRecord)
            except StoreDamaged:
                self.num_damaged += 1

    def _list(self) -> None:
        folds = self.folding.folds
        entries = []
        for key, record in self.records.items():
            fold = folds.get(key)
            errors = fold.num_errors if fold is not None else _early(record)
            row = row_of(self.at, record, errors, fold)
            entries.append(Entry(row, text_of(record)))
        self.entries = entries


def _early(record: ProblemRecord) -> int | None:
    """Errors before the estimates were looked at: a finished search has found one, nearly always."""
    return record.num_searches if record.state == "done" else None


def known_rule(store: Store) -> SearchRule | None:
    try:
        return stored_rule(store)
    except (ConfigurationError, StoreDamaged):
        return None


class Shelf:
    """Several stores; their names are those of their folders, numbered where two are alike."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Errors as for Store.open_reader."""
        self.stores: list[Shelved] = []
        self._lock = threading.Lock()
        try:
            for at, folder in enumerate(folders):
                self.stores.append(Shelved(at, folder))
        except BaseException:
            self.close()
            raise
        names = [shelved.name for shelved in self.stores]
        for shelved in self.stores:
            if names.count(shelved.name) > 1:
                shelved.name += f"-{shelved.at}"

    def refresh(self) -> None:
        with self._lock:
            for shelved in self.stores:
                shelved.refresh()

    def fold(self) -> bool:
        """Fold a slice of one store; whether anything was left to do."""
        with self._lock:
            return any(shelved.fold() for shelved in self.stores)

    @property
    def entries(self) -> list[Entry]:
        return [entry for shelved in self.stores for entry in shelved.entries]

    @property
    def version(self) -> str:
        """Changes whenever what is shown may have."""
        return ".".join(shelved.version for shelved in self.stores)

    def close(self) -> None:
        for shelved in self.stores:
            shelved.store.close()
