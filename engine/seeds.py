"""The sampling seed of every estimate: the same run, problem and number give the same seed for ever."""

from __future__ import annotations

from hashlib import blake2b

SEED_BITS = 62
"""Room is left below 63 bits, since vLLM adds the index of a completion to the seed of its request."""


def derive_seed(run_seed: int, problem_id: str, number: int) -> int:
    """Seed in [0, 2^62) of estimate `number` of a problem, independent of its neighbours' seeds."""
    material = f"{run_seed}\0{number}\0{problem_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(material, digest_size=8).digest()) >> (64 - SEED_BITS)
