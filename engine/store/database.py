"""The LMDB environment under a store: always fully synced, checked before it is used, growing by itself."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import lmdb.verify

from omegaprm.engine.errors import ConfigurationError, StoreFailed
from omegaprm.engine.records import SCHEMA_VERSION
from omegaprm.engine.store.lock import is_written

TABLES = ("meta", "problems", "estimates", "verdicts")
SCHEMA_KEY = b"schema"
DATA_FILE = "data.mdb"
MAX_READERS = 126
LOCK_TABLE_BYTES = 8192
"""Size of lock.mdb for MAX_READERS."""
HEAD_BYTES = 8192
"""Both of LMDB's meta pages."""
MAX_GROWTH_BYTES = 64 << 30
"""The map doubles up to steps of this size; it is address space, not disk."""


class Write(NamedTuple):
    """A value to put under a key of a table."""

    table: str
    key: bytes
    value: bytes


class Database:
    """An open environment and its tables."""

    def __init__(self, folder: Path, *, readonly: bool, map_bytes: int) -> None:
        """StoreFailed where it is not a whole store, ConfigurationError for another schema version."""
        self.folder = folder
        self._resizing = threading.Lock()
        self._locks = not readonly or _may_lock(folder)
        with sentences(folder, "cannot be opened"):
            if not (folder / DATA_FILE).stat().st_size:
                raise StoreFailed(f"the store {folder} is truncated: {DATA_FILE} is empty")
            check_pages(folder)
            _reserve_lock_table(folder)
            self._refuse_a_writer()
            self.env = _environment(folder, readonly=readonly, create=False, map_bytes=map_bytes, lock=self._locks)
        try:
            self._check_length()
            with sentences(folder, "is not a store of this program"):
                self.tables = {name: self.env.open_db(name.encode(), create=False) for name in TABLES}
            self._check_schema()
        except BaseException:
            self.env.close()
            raise

    def _check_length(self) -> None:
        """Reading a page behind the end of the file would kill the process."""
        needed = (self.env.info()["last_pgno"] + 1) * self.env.stat()["psize"]
        found = (self.folder / DATA_FILE).stat().st_size
        if found < needed:
            raise StoreFailed(f"the store {self.folder} is truncated: {DATA_FILE} has {found} bytes and needs {needed}")

    def _check_schema(self) -> None:
        version = self.get("meta", SCHEMA_KEY)
        if version is None:
            raise StoreFailed(f"the store {self.folder} is not a store of this program: no schema version")
        if version != _schema():
            raise ConfigurationError(
                f"the store {self.folder} has schema version {version.decode('ascii', 'replace')}, "
                f"this program has {SCHEMA_VERSION}"
            )

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A read transaction, to be left soon: the map cannot grow meanwhile."""
        with self._resizing, sentences(self.folder, "cannot be read"):
            self._refuse_a_writer()
            with self._begin() as transaction:
                yield transaction

    def _refuse_a_writer(self) -> None:
        """A reader that no lock table names would see its pages overwritten."""
        if not self._locks and is_written(self.folder):
            raise StoreFailed(f"the store {self.folder} is being written, and this user may not write its lock.mdb")

    def _begin(self) -> Any:
        while True:
            try:
                return self.env.begin()
            except lmdb.MapResizedError:
                self.env.set_mapsize(0)

    def get(self, table: str, key: bytes) -> bytes | None:
        with self.reading() as transaction:
            value: bytes | None = transaction.get(key, db=self.tables[table])
            return value

    def write(self, writes: Iterable[Write]) -> None:
        """Put all in one synced transaction; lmdb.Error or OSError where that failed, and none is put."""
        last = {(write.table, write.key): write.value for write in writes}
        while True:
            try:
                with self.env.begin(write=True) as transaction:
                    for (table, key), value in last.items():
                        transaction.put(key, value, db=self.tables[table])
                return
            except lmdb.MapFullError:
                self._grow()

    def _grow(self) -> None:
        with self._resizing:
            size = self.env.info()["map_size"]
            self.env.set_mapsize(size + min(size, MAX_GROWTH_BYTES))

    def close(self) -> None:
        with self._resizing:
            self.env.close()


def check_pages(folder: Path) -> None:
    """StoreFailed where the pages of the data file do not fit together: LMDB would read them as truth, or abort.

    It costs two seconds a gigabyte. Pages in use are not touched by a commit under way, but may be by the one
    after it, so that findings count only while the file has not moved on.
    """
    before = _newest_page(folder)
    try:
        found = lmdb.verify.verify(str(folder))
    except lmdb.verify.VerifyError as error:
        found = [str(error)]
    if found and _newest_page(folder) == before:
        more = f", and {len(found) - 1} findings more" if len(found) > 1 else ""
        raise StoreFailed(f"the store {folder} is damaged or truncated: {DATA_FILE}: {found[0]}{more}")


def _newest_page(folder: Path) -> bytes:
    """The head of the data file, which every commit changes."""
    with (folder / DATA_FILE).open("rb") as file:
        return file.read(HEAD_BYTES)


def create(folder: Path, map_bytes: int) -> None:
    """Make an empty store in the folder; it is there as a whole or not at all."""
    making = folder / ".making"
    with sentences(folder, "cannot be made"):
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        env = _environment(making, readonly=False, create=True, map_bytes=map_bytes)
        try:
            tables = {name: env.open_db(name.encode()) for name in TABLES}
            with env.begin(write=True) as transaction:
                transaction.put(SCHEMA_KEY, _schema(), db=tables["meta"])
        finally:
            env.close()
        os.replace(making / DATA_FILE, folder / DATA_FILE)
        shutil.rmtree(making)
        for parent in (folder, folder.absolute().parent):
            _sync_folder(parent)


@contextmanager
def sentences(folder: Path, what: str) -> Iterator[None]:
    """Turn what LMDB and the system raise into StoreFailed: "the store FOLDER WHAT: reason"."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreFailed(f"the store {folder} {what}: {reason}") from error


def _may_lock(folder: Path) -> bool:
    """Whether this user may write LMDB's table of readers; not on a disk or in a folder that is there to read."""
    path = folder / "lock.mdb"
    return os.access(path if path.exists() else folder, os.W_OK)


def _environment(folder: Path, *, readonly: bool, create: bool, map_bytes: int, lock: bool = True) -> Any:
    """Full sync: none of LMDB's flags that let a commit return before it is on disk."""
    return lmdb.open(
        str(folder),
        map_size=map_bytes,
        max_dbs=len(TABLES),
        max_readers=MAX_READERS,
        readonly=readonly,
        create=create,
        lock=lock,
    )


def _reserve_lock_table(folder: Path) -> None:
    """LMDB writes lock.mdb through a map, where a full disk would kill the process instead of raising."""
    path = folder / "lock.mdb"
    if path.exists() or not os.access(folder, os.W_OK):
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.posix_fallocate(file, 0, LOCK_TABLE_BYTES)
    finally:
        os.close(file)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _schema() -> bytes:
    return b"%d" % SCHEMA_VERSION
