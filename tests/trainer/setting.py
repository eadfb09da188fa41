"""A folder with rows, commands that train on them in child processes, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import torch
from safetensors.torch import load_file

from omegaprm.trainer.record import COMPLETE
from tests.trainer.samples import candidates, sixteen

ROOT = Path(__file__).resolve().parents[2]
NUM_STEPS = 8
BATCH_SIZE = 8
FLAGS = f"--max-steps {NUM_STEPS} --batch-size {BATCH_SIZE} --logging-steps 1 --learning-rate 1e-3".split()


class Setting:
    """A folder with rows, and commands that train on them."""

    def __init__(self, folder: Path, policy: Path) -> None:
        self.folder = folder
        self.policy = policy
        self.rows = sixteen(folder)
        self.candidates = candidates(folder)

    def command(self, out: str, *more: str, launcher: Sequence[str] = ()) -> list[str]:
        start = [sys.executable, *launcher, str(ROOT / "bin" / "train")]
        paths = ["--rows", str(self.rows), "--model", str(self.policy), "--out", str(self.folder / out)]
        return [*start, *paths, "--validation-candidates", str(self.candidates), *FLAGS, *more]

    def run(self, out: str, *more: str, launcher: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        command = self.command(out, *more, launcher=launcher)
        return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=560)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path, tolerance: float) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, atol=tolerance, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def losses(folder: Path) -> list[float]:
    return [entry["loss"] for entry in json.loads((folder / "train_log.json").read_text())]


def best_of_n(folder: Path) -> list[dict[str, float]]:
    """Figures of every look at the candidates."""
    looks: list[dict[str, float]] = json.loads((folder / "validation_log.json").read_text())
    return looks


def signalled(command: list[str], at: int, whom: Callable[[int], int]) -> tuple[int, str]:
    """Exit code and stderr of a training whose process whom(its own id) got SIGTERM at a step."""
    child = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    told = []
    for line in child.stderr:
        told.append(line)
        if line.startswith(f"step {at}/"):
            os.kill(whom(child.pid), signal.SIGTERM)
    return child.wait(timeout=60), "".join(told)


def itself(pid: int) -> int:
    return pid


def second_rank(launcher: int) -> int:
    return next(child.pid for child in psutil.Process(launcher).children() if child.environ().get("RANK") == "1")


def checkpoints(folder: Path) -> list[int]:
    found = [path.parent.name for path in folder.glob(f"checkpoints/*/{COMPLETE}")]
    return sorted(int(name.rpartition("-")[2]) for name in found)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
