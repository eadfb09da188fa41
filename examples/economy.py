"""What a label costs: the flags that save rollouts, measured on the bundled problems: python -m examples.economy

Every variant grows trees over the same new problems; the step checker then says how good its exported labels are. All
read one pool of the bundled policy's rollouts, so that they differ by rule and not by luck. Linear Monte Carlo (every
step of a solution estimated) runs on the wrong solutions that plain k = 16 found. What is done is kept in the folder:
a run that was cut goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import Any

from examples import linear
from examples.economy_figures import linear_counts, table, tree_counts
from examples.generate import FAMILIES, generate
from examples.pool import Pool, PooledPolicy
from examples.quickstart import POLICY, SAMPLING
from examples.slipping import SlippingPolicy
from omegaprm.engine import commands
from omegaprm.engine.annotate import grow_all, start_judge
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.errors import OmegaprmError
from omegaprm.engine.export import ExportConfig, export
from omegaprm.engine.fingerprint import fingerprint, later_defaults
from omegaprm.engine.lifecycle import drain_on_signal
from omegaprm.engine.meter import Meter
from omegaprm.engine.opening import read_seeds, start_policy
from omegaprm.engine.policy.base import Policy
from omegaprm.engine.store import Store

VARIANTS: dict[str, dict[str, Any]] = {
    "k 16": {},
    "k 16, below 1/4": {"error_below": 0.25},
    "k 16, below 1/2": {"error_below": 0.5},
    "k 8": {"num_rollouts": 8},
    "k 8, below 1/4": {"num_rollouts": 8, "error_below": 0.25},
    "k 8, below 3/8": {"num_rollouts": 8, "error_below": 0.375},
    "k 8, below 1/2": {"num_rollouts": 8, "error_below": 0.5},
    "k 16, parts of 4": {"first_part": 4},
    "k 16, parts of 4, settled by 2": {"first_part": 4, "settle_right": 2},
    "k 16, parts of 4, settled by 3": {"first_part": 4, "settle_right": 3},
    "k 16, parts of 4, values of 8": {"first_part": 4, "value_rollouts": 8},
    "k 16, confirm 16": {"confirm_zero": 16},
    "k 16, parts of 4, settled by 2, below 1/4": {"first_part": 4, "settle_right": 2, "error_below": 0.25},
    "k 16, reuse": {"reuse_rollouts": True},
    "k 16, parts of 4, settled by 3, reuse": {"first_part": 4, "settle_right": 3, "reuse_rollouts": True},
    "k 8, parts of 4": {"num_rollouts": 8, "first_part": 4},
    "k 8, parts of 4, settled by 2": {"num_rollouts": 8, "first_part": 4, "settle_right": 2},
    "k 8, confirm 8": {"num_rollouts": 8, "confirm_zero": 8},
    "k 8, reuse": {"num_rollouts": 8, "reuse_rollouts": True},
    "k 8, parts of 4, settled by 2, below 1/4": {
        "num_rollouts": 8, "first_part": 4, "settle_right": 2, "error_below": 0.25,
    },
    "k 8, parts of 4, settled by 2, reuse": {
        "num_rollouts": 8, "first_part": 4, "settle_right": 2, "reuse_rollouts": True,
    },
}  # fmt: skip
"""By name, what differs from the search that all share."""
BASE = "k 16"
LINEAR = {"linear, 16 a step": 16, "linear, 8 a step": 8}
"""Linear Monte Carlo by name, with its rollouts a step; the smaller takes the first of the larger's."""


class Economy:
    """One measurement in one folder, which holds the problems, a store and rows a variant, and its counts as JSON."""

    def __init__(self, out: Path, num_problems: int, seed: int, scripted: bool = False, **shared: Any) -> None:
        self.out = out
        self.scripted = scripted
        self.families = ("sums",) if scripted else FAMILIES
        self.num_problems = num_problems
        self.seed = seed
        self.shared = shared
        out.mkdir(parents=True, exist_ok=True)

    def problems(self) -> list[Path]:
        """Seed files, made once."""
        files = [self.out / "problems" / family / "seeds.json" for family in self.families]
        for family, file in zip(self.families, files, strict=True):
            if not file.exists():
                generate(family, "seeds", self.num_problems, self.seed, file.parent)
        return files

    def config(self, name: str) -> AnnotateConfig:
        sampling = {flag.replace("-", "_"): value for flag, value in SAMPLING.items()}
        return AnnotateConfig(
            seeds=tuple(map(str, self.problems())),
            model=str(POLICY),
            store=str(self.out / "stores" / slug(name)),
            **{**self.shared, **sampling, **VARIANTS[name]},
        )

    def counts(self, name: str) -> Any:
        """What was measured of a variant, by problem; None where it was not run yet."""
        file = self.out / f"{slug(name)}.json"
        return json.loads(file.read_text()) if file.exists() else None

    def keep(self, name: str, counts: object) -> None:
        (self.out / f"{slug(name)}.json").write_text(json.dumps(counts))

    async def measure(self, names: list[str]) -> None:
        """Run the variants that are not done, all on one engine, linear Monte Carlo last."""
        trees = [name for name in names if name in VARIANTS and self.counts(name) is None]
        linear_names = [name for name in names if name in LINEAR and self.counts(name) is None]
        if not trees and not linear_names:
            return
        draining = asyncio.Event()
        policy = SlippingPolicy() if self.scripted else await start_policy(self.config(BASE))
        pool = Pool(self.out / "pool.jsonl", policy, draining)
        try:
            with drain_on_signal(draining):
                for name in trees:
                    started = time.monotonic()
                    await self.grow(name, PooledPolicy(pool))
                    print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
                if linear_names:
                    await self.linear(pool)
        finally:
            await policy.close()

    async def grow(self, name: str, policy: Policy) -> None:
        """One variant from its beginning; what a cut run has sampled is in the pool."""
        config = self.config(name)
        shutil.rmtree(config.store, ignore_errors=True)
        seeds = await asyncio.to_thread(read_seeds, config)
        with Store.open(Path(config.store)) as store:
            store.bind(fingerprint(config, seeds), later_defaults())
            judge = await start_judge(config, store)
            try:
                await grow_all(config, seeds, store, policy, judge, Meter(asyncio.Event()))
            finally:
                await judge.close()
        rows = self.out / "rows" / slug(name)
        await asyncio.to_thread(export, ExportConfig(stores=(config.store,), out=str(rows)))
        self.keep(name, tree_counts(Path(config.store), rows / "train.jsonl", self.problems()))

    async def linear(self, pool: Pool) -> None:
        config = self.config(BASE)
        solutions = linear.wrong_solutions(Path(config.store))
        with Store.open(self.out / "stores" / "linear") as store:
            judge = await start_judge(config, store)
            try:
                verdicts = await linear.estimate(solutions, pool, judge, max(LINEAR.values()))
            finally:
                await judge.close()
        for name, num in LINEAR.items():
            self.keep(name, linear_counts(solutions, verdicts, num, self.problems()))


def slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-").replace("/", "_")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything it makes")
    parser.add_argument("--problems", type=int, default=40, help="problems a family")
    parser.add_argument("--problem-seed", type=int, default=7, help="another one gives other problems")
    parser.add_argument("--max-searches", type=int, default=4, help="searches a problem")
    parser.add_argument("--rollout-budget", type=int, default=96, help="rollouts a problem")
    parser.add_argument(
        "--scripted", action="store_true", help="sums by a scripted solver that slips, without an engine"
    )
    names = {slug(name): name for name in [*VARIANTS, *LINEAR]}
    parser.add_argument(
        "--only", nargs="+", choices=names, default=list(names), metavar="VARIANT", help=", ".join(names)
    )
    options = parser.parse_args()
    economy = Economy(
        options.out.resolve(),
        options.problems,
        options.problem_seed,
        options.scripted,
        max_searches=options.max_searches,
        rollout_budget=options.rollout_budget,
    )
    try:
        asyncio.run(economy.measure([names[slug] for slug in options.only]))
    except OmegaprmError as error:
        commands.fail(error)
    done = {name: economy.counts(name) for name in names.values()}
    print(table({name: counts for name, counts in done.items() if counts is not None}))


if __name__ == "__main__":
    main()
