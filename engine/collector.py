"""Keeps Python's garbage collector from stopping the event loop for a tenth of a second at a time.

A full collection walks every container that is alive: what vLLM and torch have imported, and the trees of all
open searches. Neither is ever garbage while a run lasts, and the run itself makes hardly any cycles.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

YOUNG_OBJECTS = 50_000
"""New containers before a collection of the youngest; Python's own 700 are a few estimates."""


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Leave out all that is alive now, and collect the rest more rarely."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
