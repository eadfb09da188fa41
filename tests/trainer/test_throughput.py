"""What the throughput is taken over is said before anything is timed."""

from __future__ import annotations

import pytest

from omegaprm.engine.errors import UsageError
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.throughput import Throughput, measure


@pytest.mark.parametrize("flags", [{"deepspeed": "zero3"}, {"deepspeed": "2nodes"}, {"lora_rank": 4}], ids=str)
def test_what_a_bare_loop_cannot_do_is_refused(flags: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="the bare loop holds the whole model"):
        measure(TrainConfig(**{"rows": ("r",), "model": "m", "out": "o", **flags}))


def test_the_figure_is_the_trainers_over_the_loops() -> None:
    found = Throughput(train_tokens_per_s=90.0, bare_tokens_per_s=100.0, num_tokens=1, num_steps=1)
    assert found.ratio == pytest.approx(0.9)
