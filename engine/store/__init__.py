"""The store: tables of keys and bytes in LMDB, where an acknowledged write is on disk.

One process writes, any number read; tables, keys and values mean nothing here (see omegaprm.engine.journal for that).
"""

from omegaprm.engine.store.database import SCHEMA_KEY, TABLES, Write
from omegaprm.engine.store.store import FINGERPRINT_KEY, Fingerprint, Store
from omegaprm.engine.store.values import NUMBER_BYTES, StoreDamaged, estimate_key, pack, problem_key, unpack

__all__ = [
    "FINGERPRINT_KEY",
    "NUMBER_BYTES",
    "SCHEMA_KEY",
    "TABLES",
    "Fingerprint",
    "Store",
    "StoreDamaged",
    "Write",
    "estimate_key",
    "pack",
    "problem_key",
    "unpack",
]
