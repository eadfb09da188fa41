"""A PRM that guides a beam search: what many problems ask at once is scored together, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaprm.engine.records import Problem

if TYPE_CHECKING:
    from omegaprm.evaluator.batching import Batcher

MAX_BATCH = 256
MAX_WAITING = 1 << 20
"""Every search waits for its own scores, so their number bounds what waits."""


class ScorerGuide:
    """The Guide of omegaprm.engine.beam around a scorer."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def score(self, problem: Problem, solutions: Sequence[tuple[str, ...]]) -> list[list[float]]:
        from omegaprm.evaluator.scorer import Item

        images = tuple(str(Path(problem.image_root) / path) for path in problem.image_paths)
        return await self._batcher.score([Item(problem.question, steps, images) for steps in solutions])

    async def close(self) -> None:
        await self._batcher.close()


async def open_guide(prm: str) -> ScorerGuide:
    """The PRM of a folder, on transformers. ConfigurationError."""
    from omegaprm.evaluator.batching import Batcher
    from omegaprm.evaluator.scorer import Scorer

    scorer = await asyncio.to_thread(Scorer, prm)
    return ScorerGuide(Batcher(scorer, MAX_BATCH, MAX_WAITING))
