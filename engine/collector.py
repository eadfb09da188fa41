"""Keeps Python's garbage collector from stopping the event loop for a tenth of a second at a time.

A full collection walks every container that is alive: what vLLM and torch have imported, and the trees of all
open searches. Neither is ever garbage while a run lasts, and the run itself makes hardly any cycles.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
from collections.abc import Iterator

YOUNG_OBJECTS = 50_000
"""New containers before a collection of the youngest; Python's own 700 are a few estimates."""
OLDEST = 2
"""The generation of a full collection."""
WHOLE_EVERY = 64
"""Of so many full collections one looks at everything. The others look at what is new since the one before."""


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Leave out all that is alive now, collect the rest more rarely, and look at what stays alive once alone."""
    before = gc.get_threshold()
    rounds = itertools.count(1)

    def leave_out(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == OLDEST:
            if next(rounds) % WHOLE_EVERY == 0:
                gc.unfreeze()
            else:
                gc.freeze()

    gc.collect()
    gc.freeze()
    gc.callbacks.append(leave_out)
    gc.set_threshold(YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.callbacks.remove(leave_out)
        gc.set_threshold(*before)
        gc.unfreeze()
