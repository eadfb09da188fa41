"""bin/train that is killed while it writes a file of checkpoint-STEP: killed_in_save.py STEP FLAGS."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from omegaprm.engine import commands
from omegaprm.evaluator import validation
from omegaprm.trainer.config import TrainConfig
from omegaprm.trainer.train import train

whole_save = torch.save


def cut_save(content: Any, file: Any, *rest: Any, **options: Any) -> None:
    """Half of the file, and the end."""
    whole_save(content, file, *rest, **options)
    if f"checkpoint-{sys.argv[1]}{os.sep}" in str(file):
        os.truncate(file, Path(file).stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    torch.save = cut_save
    config = commands.parse(TrainConfig, sys.argv[2:], "train")
    commands.run(lambda config: train(config, validation.read), config)
