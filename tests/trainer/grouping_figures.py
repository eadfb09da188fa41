"""What grouping rows by length buys: python -m tests.trainer.grouping_figures META MODEL [MICRO_BATCH_SIZE]

Tokens without padding a CPU second of the same Trainer, 24 steps of 64 rows, over the order that bin/train takes and
over shuffled rows, by turns, twice; and the share of padding in passes of either order.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.utils.data import Sampler

from omegaprm.trainer import environment, throughput
from omegaprm.trainer.config import TrainConfig

BATCH_SIZE, NUM_STEPS, NUM_ROWS = 64, 24, 2048


class Shuffled(Sampler[int]):
    def __init__(self, num: int) -> None:
        self._order = random.Random(0).sample(range(num), num)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def set_epoch(self, epoch: int) -> None:
        """Only one epoch is timed."""


def padding(lengths: Sequence[int], order: Sequence[int], size: int) -> float:
    passes = [[lengths[at] for at in order[start : start + size]] for start in range(0, len(order), size)]
    return 1 - sum(map(sum, passes)) / sum(max(one) * len(one) for one in passes)


def main(meta: str, model: str, micro_batch_size: str = "64") -> None:
    environment.prepare()
    size = int(micro_batch_size)
    with TemporaryDirectory() as folder:
        config = TrainConfig(
            rows=(meta,), model=model, out=folder, max_steps=NUM_STEPS, max_rows=NUM_ROWS, max_length=512,
            batch_size=BATCH_SIZE, micro_batch_size=size,
        )  # fmt: skip
        for name in ("by length", "random") * 2:
            race = throughput._Race(config, Path(folder))
            lengths = race._rows.lengths
            if name == "random":
                race._learner.order = Shuffled(len(lengths))  # type: ignore[assignment]
            order = list(race._learner.order)
            timed = order[throughput.NUM_WARM_STEPS * BATCH_SIZE : NUM_STEPS * BATCH_SIZE]
            rate = sum(lengths[at] for at in timed) / race.trainer_seconds()
            print(f"{name:<10} padding {padding(lengths, order, size):.3f}  {rate:,.0f} tokens/s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
