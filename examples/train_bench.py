"""The bench figure train_tokens_per_s: bin/train's way of training beside a bare loop, in a process of its own.

python -m examples.train_bench MODEL REPEATS prints the measurements as a JSON list.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from examples.sums.problems import make
from examples.working import reduction_steps
from omegaprm.engine.bench.clock import machine
from omegaprm.engine.bench.figures import Measured
from omegaprm.engine.errors import BadInput
from omegaprm.engine.records import process_text

if TYPE_CHECKING:
    from omegaprm.engine.bench.run import Run

BATCH_SIZE = 32
NUM_STEPS = 20
ROOT = Path(__file__).resolve().parent.parent


async def measure(run: Run) -> Measured:
    """The ratio of the two, so many times as figures are repeated; rows of sums, worked solutions."""
    words = (sys.executable, "-m", "examples.train_bench", run.config.model, str(run.config.repeats))
    child = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    if child.returncode:
        raise BadInput(f"train_tokens_per_s: the training on {run.config.model} ended with {child.returncode}")
    found = json.loads(output.splitlines()[-1])
    middle = sorted(found, key=lambda one: one["ratio"])[len(found) // 2]
    conditions = {name: middle[name] for name in ("train_tokens_per_s", "bare_tokens_per_s")}
    return Measured(
        tuple(one["ratio"] for one in found),
        {"batch_size": BATCH_SIZE, "steps": NUM_STEPS, **conditions, "machine": machine()},
    )


def write_rows(path: Path, num: int) -> Path:
    """Worked solutions of sums, each other one with a wrong end."""
    rng = random.Random(0)
    with path.open("w") as file:
        for at, problem in enumerate(make(num, "seeds", 0)):
            question = str(problem["question"])
            steps = reduction_steps(rng, question.removeprefix("What is ").rstrip("?"))
            turns = [
                {"from": "human", "value": process_text(question, steps)},
                {"from": "gpt", "value": [1.0] * (len(steps) - 1) + [float(at % 2)]},
            ]
            file.write(json.dumps({"id": str(at), "conversations": turns}) + "\n")
    return path


def measured(model: str, repeats: int) -> list[dict[str, Any]]:
    from omegaprm.trainer.config import TrainConfig
    from omegaprm.trainer.throughput import measure as race

    with TemporaryDirectory() as folder:
        rows = write_rows(Path(folder) / "rows.jsonl", BATCH_SIZE * NUM_STEPS)
        config = TrainConfig(
            rows=(str(rows),), model=model, out=folder, max_steps=NUM_STEPS, batch_size=BATCH_SIZE,
            micro_batch_size=BATCH_SIZE,
        )  # fmt: skip
        found = [race(config) for _ in range(repeats)]
    return [{**msgspec.to_builtins(one), "ratio": one.ratio} for one in found]


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]))))
