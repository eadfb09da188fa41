"""Sums: expressions of three to six one-digit terms, none of them 0.

A wrong step in a product with 0 leads to the right answer all the same; such problems tell nothing of where it stands.
"""

from __future__ import annotations

import random
import zlib

from examples.arithmetic import small_expressions, tokens, value

FEWEST_TERMS, MOST_TERMS = 3, 6
HELD_OUT = {"seeds": (0, 1), "test": (2,)}
"""One expression in four, told by its checksum, is never in pretraining: residues for seeds and test."""
NUM_RESIDUES = 12


def residue(expression: str) -> int:
    return zlib.crc32(expression.encode()) % NUM_RESIDUES


def is_held_out(expression: str) -> bool:
    return residue(expression) in (*HELD_OUT["seeds"], *HELD_OUT["test"])


def question(expression: str) -> str:
    return f"What is {expression}?"


def make(count: int, part: str, run_seed: int) -> list[dict[str, object]]:
    """Distinct seed problems of one part, "seeds" or "test", in MM-PRM's format."""
    rng = random.Random(f"sums {part} {run_seed}")
    chosen: dict[str, None] = {}
    for expression in small_expressions(rng, FEWEST_TERMS, MOST_TERMS):
        if residue(expression) in HELD_OUT[part] and 0 not in tokens(expression):
            chosen[expression] = None
        if len(chosen) == count:
            break
    return [
        {"id": f"sums-{part}-{run_seed}-{at}", "question": question(text), "correct_answer": str(value(text))}
        for at, text in enumerate(chosen)
    ]
