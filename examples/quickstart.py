"""The whole loop on the bundled problems: seeds -> trees -> labels -> PRM -> Best-of-N -> a report.

Each stage is a command of bin/ that any other project would run; each is printed before it runs. A quickstart
that was cut goes on where it was when it is started again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from examples.generate import FAMILIES, generate
from examples.truth import read_truth, split_by_family

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
POLICY = EXAMPLES / "policy-bpe"
SAMPLING = json.loads((EXAMPLES / "sampling.json").read_text())
"""Flags of the bundled policy's sampling, the same in trees and in candidates."""

ERROR_BELOW = 0.25
"""A state that the answer is reached from less than a quarter as often as before its last step counts as wrong."""


class Size(msgspec.Struct, frozen=True):
    """How much of everything a quickstart does."""

    seeds_a_family: int
    tests_a_family: int
    num_rollouts: int
    max_searches: int
    rollout_budget: int
    epochs: float
    batch_size: int
    learning_rate: float
    train_vision: bool = False
    """It pays with thousands of rows and costs with hundreds: docs/findings.md."""


DEFAULT = Size(110, 100, 8, 3, 80, 4, 32, 3e-4)
FULL = Size(1500, 250, 8, 3, 80, 4, 64, 6e-4, train_vision=True)


class Quickstart:
    """One run in one folder. stages.json there holds the seconds of every stage that is done."""

    def __init__(self, out: Path, size: Size) -> None:
        self.out = out
        self.size = size
        self.seconds: dict[str, float] = self._read_stages()

    def _read_stages(self) -> dict[str, float]:
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / "stages.json"
        wanted = msgspec.to_builtins(self.size)
        if not path.exists():
            path.write_text(json.dumps({"size": wanted, "seconds": {}}))
        kept = json.loads(path.read_text())
        if kept["size"] != wanted:
            sys.exit(f"error: {self.out} holds a quickstart of another size: choose another --out")
        return dict(kept["seconds"])

    def stage(self, name: str, body: Callable[[], None]) -> None:
        """Run a stage unless an earlier run finished it; time spent in cut attempts is not counted."""
        if name in self.seconds:
            print(f"== {name}: done before ({self.seconds[name]:.0f} s)", flush=True)
            return
        print(f"== {name}", flush=True)
        started = time.monotonic()
        body()
        self.seconds[name] = round(time.monotonic() - started, 1)
        record = {"size": msgspec.to_builtins(self.size), "seconds": self.seconds}
        (self.out / "stages.json").write_text(json.dumps(record))

    def run(self) -> None:
        for stage in (self.problems, self.annotate, self.export, self.train, self.rollout, self.evaluate):
            self.stage(stage.__name__, stage)
        self.stage("report", self.report)
        print(f"report: {self.out / 'report' / 'index.html'}")

    def problems(self) -> None:
        for family in FAMILIES:
            generate(family, "seeds", self.size.seeds_a_family, 0, self.out / "problems" / family)
            generate(family, "test", self.size.tests_a_family, 0, self.out / "problems" / family)

    def files(self, part: str) -> list[str]:
        return [str(self.out / "problems" / family / f"{part}.json") for family in FAMILIES]

    def annotate(self) -> None:
        command(
            "annotate", "--seeds", *self.files("seeds"), "--store", self.out / "store", "--model", POLICY,
            "--num-rollouts", self.size.num_rollouts, "--max-searches", self.size.max_searches,
            "--rollout-budget", self.size.rollout_budget, "--error-below", ERROR_BELOW,
            *sampling_flags(),
        )  # fmt: skip

    def export(self) -> None:
        command("export", self.out / "store", "--out", self.out / "rows", "--counts")

    def train(self) -> None:
        command(
            "train", "--rows", self.out / "rows" / "meta.json", "--model", POLICY, "--out", self.out / "prm",
            "--epochs", self.size.epochs, "--batch-size", self.size.batch_size,
            "--micro-batch-size", self.size.batch_size, "--learning-rate", self.size.learning_rate,
            "--max-length", 512, "--loss", "hard", "--select", "distinct",
            *(["--train-vision"] if self.size.train_vision else []),
        )  # fmt: skip

    def rollout(self) -> None:
        command(
            "rollout", "--seeds", *self.files("test"), "--model", POLICY, "--num-candidates", 16,
            "--out", self.out / "candidates.json", *sampling_flags(),
        )  # fmt: skip
        truth = read_truth(Path(path) for path in self.files("test"))
        split_by_family(self.out / "candidates.json", truth, self.out)

    def evaluate(self) -> None:
        for family in FAMILIES:
            command(
                "evaluate", "--candidates", self.out / f"{family}.json", "--prm", self.out / "prm",
                "--baseline", POLICY, "--out", self.out / "evaluation" / family, "--title", family,
                "--image-root", self.out / "problems",
            )  # fmt: skip

    def report(self) -> None:
        from examples.report import write

        write(self.out, read_truth(Path(path) for path in self.files("seeds")), self.seconds)


def sampling_flags() -> list[object]:
    return [part for name, value in SAMPLING.items() for part in (f"--{name}", value)]


def command(name: str, *arguments: object) -> None:
    """Run a command of bin/; where it fails, stop with its exit code."""
    words = [str(ROOT / "bin" / name), *map(str, arguments)]
    print("$ bin/" + " ".join([name, *words[1:]]), flush=True)
    code = subprocess.run(words, check=False).returncode
    if code != 0:
        print(f"error: bin/{name} ended with {code}; run the same quickstart again to go on", file=sys.stderr)
        sys.exit(code)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/quickstart", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for everything it makes (default: quickstart)")
    parser.add_argument("--full", action="store_true", help="the figures, in up to an hour instead of 10 minutes")
    options = parser.parse_args()
    out = options.out or Path("quickstart-full" if options.full else "quickstart")
    Quickstart(out.resolve(), FULL if options.full else DEFAULT).run()


if __name__ == "__main__":
    main()
