"""Records what the real engine tells while a bound is led by it: python -m tests.engine.record_trace FILE [GIB] [SLOTS]

The trace is a JSON list of [running, waiting, kv_share, preemptions, in_flight], one sample each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path

from omegaprm.engine.annotate import grow_all, start_judge
from omegaprm.engine.concurrency import START, Signals
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.errors import Drained
from omegaprm.engine.meter import Meter
from omegaprm.engine.opening import read_seeds, start_policy
from omegaprm.engine.policy.bounded import BoundedPolicy, InFlight, Listener
from omegaprm.engine.store import Store

SECONDS = 75
"""Of the run that is recorded, without loading."""
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class RecordingListener(Listener):
    """A Listener that keeps each sample and the bound before the next one."""

    def __init__(self, places: InFlight, most: int) -> None:
        super().__init__(places, most)
        self.samples: list[list[float]] = []

    def signals(self) -> Signals:
        signals = super().signals()
        self.samples.append([*signals[:2], round(signals.kv_share, 4), *signals[3:]])
        return signals


async def record(config: AnnotateConfig) -> list[list[float]]:
    """The trace of one run of annotate on the bundled policy."""
    seeds = await asyncio.to_thread(read_seeds, config)
    policy = await start_policy(config)
    places = InFlight(START)
    listener = RecordingListener(places, config.concurrency)
    policy.tell(listener.hear)  # type: ignore[attr-defined]
    with Store.open(Path(config.store)) as store:
        judge = await start_judge(config, store)
        draining = asyncio.Event()
        asyncio.get_running_loop().call_later(SECONDS, draining.set)
        with contextlib.suppress(Drained):
            await grow_all(config, seeds, store, BoundedPolicy(policy, places), judge, Meter(draining))
        await judge.close()
    await policy.close()
    return listener.samples


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        gib, slots = (sys.argv[2:] + ["0.5", "256"][len(sys.argv) - 2 :])[:2]
        flags = AnnotateConfig(
            seeds=(str(EXAMPLES / "sums" / "seeds.json"),),
            model=str(EXAMPLES / "policy"),
            store=folder,
            in_flight="auto",
            concurrency=256,
            rollout_budget=48,
            drain_seconds=0,
            max_new_tokens=160,
            temperature=1.4,
            kv_cache_gib=float(gib),
            max_num_seqs=int(slots),
        )
        samples = asyncio.run(record(flags))
    Path(sys.argv[1]).write_text("[\n" + ",\n".join(map(json.dumps, samples)) + "\n]\n")
