"""What each throughput flag buys on this machine: python -m omegaprm.engine.bench.knobs [KNOB ...] [--out FILE]

Each knob of the engine is measured in a turn of its own: the plain run, then the same problems under each of its
settings, all on the bundled policy with an empty prefix cache. A setting that the engine is started with gets an engine
of its own, which lives beside the plain one. Time that the engine's busiest thread stood in line for a core is left
out. The table also says whether a run stored the very estimates of the plain one. Knobs beside the engine
(omegaprm.engine.bench.beside) are measured on scripted parts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from omegaprm.engine.bench.beside import BESIDE, Row
from omegaprm.engine.bench.clock import machine
from omegaprm.engine.bench.config import BenchConfig
from omegaprm.engine.bench.growing import Grown, grow, seed_problems
from omegaprm.engine.bench.recording import Recorder
from omegaprm.engine.bench.run import Run
from omegaprm.engine.config import EngineOptions
from omegaprm.engine.policy.bounded import Bound

Flags = dict[str, Any]


class Knob(NamedTuple):
    """A plain run by what differs from the bench's defaults, and settings by what differs from the plain run."""

    plain: Flags
    settings: tuple[Flags, ...]


EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WARM_UP_PROBLEMS = 8
MANY: Flags = {"num_problems": 64}
FEW: Flags = {"num_problems": 8, "concurrency": 2, "rollout_budget": 64}
PICTURES: Flags = {"num_problems": 32, "seeds": (str(EXAMPLES / "digits" / "seeds.json"),)}
TIGHT: Flags = {**MANY, "kv_cache_gib": 0.02}
KNOBS: dict[str, Knob] = {
    "concurrency": Knob(MANY, ({"concurrency": 4}, {"concurrency": 32})),
    "in-flight": Knob(MANY, ({"in_flight": 4}, {"in_flight": 16}, {"in_flight": "auto"})),
    "in-flight, little KV cache": Knob(TIGHT, ({"in_flight": 4}, {"in_flight": "auto"})),
    "num-rollouts": Knob(MANY, ({"num_rollouts": 4, "rollout_budget": 12}, {"num_rollouts": 16, "rollout_budget": 48})),
    "max-num-seqs": Knob(MANY, ({"max_num_seqs": 16}, {"max_num_seqs": 64}, {"max_num_seqs": 256})),
    "max-num-batched-tokens": Knob(MANY, ({"max_num_batched_tokens": 4096},)),
    "kv-cache-gib": Knob(MANY, ({"kv_cache_gib": 0.02}, {"kv_cache_gib": 0.1})),
    "prefix-caching": Knob(MANY, ({"prefix_caching": False},)),
    "prefix-caching, pictures": Knob(PICTURES, ({"prefix_caching": False},)),
    "commit-window-ms": Knob(MANY, ({"commit_window_ms": 5.0}, {"commit_window_ms": 20.0})),
    "speculate, few open": Knob(FEW, ({"speculate": 2}, {"speculate": 8})),
    "speculate, many open": Knob(MANY, ({"speculate": 64},)),
}
"""By name. Labels follow from the seeds alone, so a run may be larger or smaller than another's to be long enough."""


class Bench:
    """The plain engine, and one more while a knob needs it."""

    def __init__(self, folder: Path, shared: Flags) -> None:
        self._folder = folder
        self._shared = shared
        self._engines: dict[str, Recorder] = {}

    async def turn(self, name: str, knob: Knob) -> AsyncIterator[Row]:
        plain = await self._grown(knob.plain)
        plain_rate = _labels_per_s(plain)
        yield Row(name, "plain", f"{plain_rate:.2f} labels/s", 1.0)
        for setting in knob.settings:
            grown = await self._grown({**knob.plain, **setting})
            said = ", ".join(f"{flag.replace('_', '-')} {value}" for flag, value in setting.items())
            same = "the same" if grown.digest == plain.digest else "others"
            yield Row(name, said, f"{_labels_per_s(grown):.2f} labels/s", _labels_per_s(grown) / plain_rate, same)

    async def _grown(self, flags: Flags) -> Grown:
        config = BenchConfig(**{**self._shared, **flags})
        recorder = await self._recorder(config)
        run = Run(config, self._folder)
        problems = seed_problems(run, config.num_problems)
        await recorder.forget()
        bound = Bound.of(config.in_flight, config.concurrency)
        bound.listen_to(recorder.policy)
        return await grow(run, bound.around(recorder.policy), problems, config.concurrency)

    async def _recorder(self, config: BenchConfig) -> Recorder:
        key = repr(config.part(EngineOptions))
        if key not in self._engines:
            plain = repr(BenchConfig(**self._shared).part(EngineOptions))
            for other in [other for other in self._engines if other != plain]:
                await self._engines.pop(other).policy.close()
            self._engines[key] = await Recorder.start(msgspec.structs.replace(config, in_flight=None))
            run = Run(config, self._folder)
            warm_up = seed_problems(run, WARM_UP_PROBLEMS)
            await grow(run, self._engines[key].policy, warm_up, WARM_UP_PROBLEMS)
        return self._engines[key]

    async def close(self) -> None:
        for recorder in self._engines.values():
            await recorder.policy.close()


def _labels_per_s(grown: Grown) -> float:
    """As if a core had always been free for the engine."""
    return grown.num_estimates / (grown.seconds - grown.engine_in_line_seconds)


async def measure(names: list[str], shared: Flags) -> AsyncIterator[Row]:
    with tempfile.TemporaryDirectory(prefix="knobs-") as folder:
        bench = Bench(Path(folder), shared)
        try:
            for name in names:
                rows = bench.turn(name, KNOBS[name]) if name in KNOBS else BESIDE[name](Path(folder))
                async for row in rows:
                    yield row
        finally:
            await bench.close()


async def main(options: argparse.Namespace) -> None:
    rows = []
    print(f"| knob | setting | rate | times plain | estimates stored |\n{'|---' * 5}|")
    async for row in measure(options.knobs or [*KNOBS, *BESIDE], {"num_rollouts": 8, "rollout_budget": 24}):
        rows.append(row._asdict())
        print(row.text(), flush=True)
    print(machine())
    if options.out:
        options.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("knobs", nargs="*", metavar="KNOB", help="; ".join([*KNOBS, *BESIDE]))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.knobs if name not in {**KNOBS, **BESIDE}]:
        parser.error(f"there is no knob {unknown[0]}")
    asyncio.run(main(chosen))
