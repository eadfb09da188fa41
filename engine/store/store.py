"""Store: acknowledged means on disk, one process writes, and settings once bound to stay."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import msgspec

from omegaprm.engine.errors import ConfigurationError, StoreFailed
from omegaprm.engine.store import database
from omegaprm.engine.store.database import DATA_FILE, TABLES, Database, Write
from omegaprm.engine.store.lock import WriterLock
from omegaprm.engine.store.values import pack, unpack
from omegaprm.engine.store.writer import GroupCommit

MAP_BYTES = 64 << 20
"""Size of a new map; it grows as it fills."""
PAGE_ITEMS = 512
PAGE_BYTES = 1 << 20
"""A scan reads this much in one transaction."""
FINGERPRINT_KEY = b"fingerprint"
MADE = ("problems", "estimates", "verdicts")
"""Tables whose records were made under the settings that the store is bound to."""
MAX_KEY_BYTES = 511
SHOWN_CHARACTERS = 200
"""Longer settings are cut in messages."""

Item: TypeAlias = tuple[bytes, bytes]
"""A key and its value."""


class Fingerprint(msgspec.Struct, frozen=True):
    """The settings that a store is bound to, by name."""

    values: dict[str, str]


class Store:
    """Tables of keys and bytes. Made by Store.open, to write, or by Store.open_reader.

        store = Store.open(Path("runs/first"))
        await store.commit([Write("problems", key, value)])   # on disk now
        store.get("problems", key)
        store.close()

    Reads give what is committed and may run beside writes, in this process and in others.
    """

    def __init__(self, tables: Database, lock: WriterLock | None = None, window_seconds: float = 0.0) -> None:
        self._database = tables
        self._lock = lock
        self._writer = GroupCommit(tables, window_seconds) if lock else None
        self._closed = False

    @classmethod
    def open(
        cls, folder: Path, *, create: bool = True, map_bytes: int = MAP_BYTES, window_seconds: float = 0.0
    ) -> Store:
        """Open to write, making the store where there is none and create is set.

        window_seconds is how long a commit waits for others to share its sync.

        StoreHeld where another process writes to it, StoreFailed where it cannot be read or is damaged,
        ConfigurationError where there is none or one of another schema version.
        """
        if create:
            with database.sentences(folder, "cannot be made"):
                folder.mkdir(parents=True, exist_ok=True)
        _check_folder(folder)
        lock = WriterLock(folder)
        try:
            if not (folder / DATA_FILE).exists():
                if not create:
                    raise ConfigurationError(f"{folder}: there is no store there")
                database.create(folder, map_bytes)
            opened = Database(folder, readonly=False, map_bytes=map_bytes)
            opened.env.reader_check()
            return cls(opened, lock, window_seconds)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open_reader(cls, folder: Path) -> Store:
        """Open to read, also while another process writes. Errors as for open, but never StoreHeld."""
        _check_folder(folder)
        if not (folder / DATA_FILE).exists():
            raise ConfigurationError(f"{folder}: there is no store there")
        room = 2 * (folder / DATA_FILE).stat().st_size
        return cls(Database(folder, readonly=True, map_bytes=max(MAP_BYTES, room)))

    async def commit(self, writes: Sequence[Write]) -> None:
        """Write all or none; returns when they are on disk. StoreFailed where that failed, and ever after.

        A commit that is cancelled may still be written.
        """
        if not writes:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submit(writes, future)
        await future

    def _submit(self, writes: Sequence[Write], future: asyncio.Future[None] | concurrent.futures.Future[None]) -> None:
        if self._writer is None:
            raise StoreFailed(f"the store {self._database.folder} is open to read only")
        for table, key, _ in writes:
            if table not in TABLES or not 0 < len(key) <= MAX_KEY_BYTES:
                raise ValueError(f"cannot write to table {table!r} under a key of {len(key)} bytes")
        self._writer.submit(tuple(writes), future)

    def get(self, table: str, key: bytes) -> bytes | None:
        self._check_open()
        return self._database.get(table, key)

    def scan(self, table: str, prefix: bytes = b"") -> Iterator[Item]:
        """Keys that begin with prefix, and their values, in the order of the keys.

        What is committed while the scan goes on may be seen or not.
        """
        start: bytes | None = prefix
        while start is not None:
            page, start = self._page(table, prefix, start)
            yield from page

    def _page(self, table: str, prefix: bytes, start: bytes) -> tuple[list[Item], bytes | None]:
        """Items from start on, and where the next page starts; None behind the last."""
        self._check_open()
        page: list[Item] = []
        num_bytes = 0
        with self._database.reading() as transaction:
            cursor = transaction.cursor(db=self._database.tables[table])
            more = cursor.set_range(start)
            while more:
                key, value = cursor.item()
                if not key.startswith(prefix):
                    return page, None
                if len(page) >= PAGE_ITEMS or num_bytes >= PAGE_BYTES:
                    return page, key
                page.append((key, value))
                num_bytes += len(value)
                more = cursor.next()
        return page, None

    def count(self, table: str) -> int:
        """Number of keys in a table."""
        self._check_open()
        with self._database.reading() as transaction:
            return int(transaction.stat(self._database.tables[table])["entries"])

    def last_transaction(self) -> int:
        """Number of the last commit that is visible; equal numbers mean that nothing was written between."""
        self._check_open()
        return int(self._database.env.info()["last_txnid"])

    def fingerprint(self) -> dict[str, str]:
        """The settings that the store is bound to; empty where it is bound to none yet."""
        value = self.get("meta", FINGERPRINT_KEY)
        return {} if value is None else unpack(value, Fingerprint).values

    def bind(self, fingerprint: dict[str, str], unnamed: Mapping[str, str] | None = None) -> None:
        """Bind a store to settings; ConfigurationError where one that holds work is bound to others, naming each.

        A store that holds nothing yet is bound anew, so that a mistyped command binds nothing. unnamed are the values
        that a store stands for where it does not name that setting.
        """
        stored = self.fingerprint()
        if stored != fingerprint and not any(self.count(table) for table in MADE):
            future: concurrent.futures.Future[None] = concurrent.futures.Future()
            self._submit([Write("meta", FINGERPRINT_KEY, pack(Fingerprint(fingerprint)))], future)
            future.result()
            return
        stored = {**(unnamed or {}), **stored}
        names = sorted(stored.keys() | fingerprint.keys())
        differing = [name for name in names if stored.get(name) != fingerprint.get(name)]
        if differing:
            raise ConfigurationError(
                f"the store {self._database.folder} was made under other settings: "
                + "; ".join(_difference(name, stored.get(name), fingerprint.get(name)) for name in differing)
            )

    def close(self) -> None:
        """Write what is queued, then let the store go. A second call does nothing."""
        if self._closed:
            return
        if self._writer is not None:
            self._writer.close()
        self._closed = True
        self._database.close()
        if self._lock is not None:
            self._lock.release()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreFailed(f"the store {self._database.folder} is closed")

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise StoreFailed(f"the store {folder} is not a folder")
    if not folder.exists():
        raise ConfigurationError(f"{folder}: there is no store there")


def _difference(name: str, stored: str | None, given: str | None) -> str:
    """ "the store was made with num_rollouts = 16, this command has 8" """
    made = f"with {name} = {_shown(stored)}" if stored is not None else f"without {name}"
    has = _shown(given) if given is not None else "none"
    return f"the store was made {made}, this command has {has}"


def _shown(value: str) -> str:
    return value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "..."
