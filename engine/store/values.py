"""Keys and values as they lie in the store: what is damaged is named, never returned as if it were whole."""

from __future__ import annotations

import zlib
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from omegaprm.engine.errors import StoreFailed

T = TypeVar("T")

CHECKSUM_BYTES = 4
PROBLEM_KEY_BYTES = 16
NUMBER_BYTES = 4

_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[object, msgspec.msgpack.Decoder[Any]] = {}


class StoreDamaged(StoreFailed):
    """A stored value is not what was written."""


def problem_key(problem_id: str) -> bytes:
    """16 bytes that stand for a problem's id."""
    return blake2b(problem_id.encode(), digest_size=PROBLEM_KEY_BYTES).digest()


def estimate_key(problem: bytes, number: int) -> bytes:
    """A problem's key and the number of one of its estimates, so that they lie together and in order."""
    return problem + number.to_bytes(NUMBER_BYTES, "big")


def pack(struct: msgspec.Struct) -> bytes:
    """CRC-32 (4 bytes, big-endian) and the struct as msgpack."""
    body = _encode(struct)
    return zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") + body


def unpack(value: bytes, kind: type[T]) -> T:
    """The struct that pack was given; StoreDamaged where the checksum or the struct's shape is wrong."""
    body = value[CHECKSUM_BYTES:]
    if len(value) < CHECKSUM_BYTES or zlib.crc32(body) != int.from_bytes(value[:CHECKSUM_BYTES], "big"):
        raise StoreDamaged(f"a stored {kind.__name__} of {len(value)} bytes is damaged: wrong checksum")
    try:
        decoder = _decoders.get(kind) or _decoders.setdefault(kind, msgspec.msgpack.Decoder(kind))
        decoded: T = decoder.decode(body)
        return decoded
    except msgspec.MsgspecError as error:
        raise StoreDamaged(f"a stored {kind.__name__} cannot be decoded: {error}") from error
