"""Verdicts that cost something, kept in the store so that a resumed run does not pay for them again."""

from __future__ import annotations

from omegaprm.engine.records import Verdict
from omegaprm.engine.store import Store, StoreDamaged, Write, pack, unpack


class StoredVerdicts:
    """A durable verdict cache for judge.cascade.Cascade; a put has reached the disk when it returns."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: bytes) -> Verdict | None:
        """A damaged verdict counts as none: the answer is compared again, and the verdict written anew."""
        value = self._store.get("verdicts", key)
        try:
            return None if value is None else unpack(value, Verdict)
        except StoreDamaged:
            return None

    async def put(self, key: bytes, verdict: Verdict) -> None:
        await self._store.commit([Write("verdicts", key, pack(verdict))])
