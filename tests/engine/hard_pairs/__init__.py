"""Pairs of a reference and an answer that are hard to judge, written by hand: half equivalent, half near misses.

One file a type, lines of {question?, reference, answer, expected, type, reason}. How the cascade's rules and
math-verify alone do on them: python -m tests.engine.hard_pairs
"""

from __future__ import annotations

from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent


class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pair, what a careful person says of it, and why it is in the set."""

    reference: str
    answer: str
    expected: str
    type: str
    reason: str
    question: str = ""


def load() -> list[Pair]:
    """Every pair, by type."""
    return [
        msgspec.json.decode(line, type=Pair)
        for path in sorted(FOLDER.glob("*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
