"""What must stand in the environment before torch.distributed and DeepSpeed are imported."""

from __future__ import annotations

import logging
import os
import socket
import warnings


def rank() -> int:
    """This process's number among all of the training."""
    return int(os.environ.get("RANK", "0"))


def num_processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def prepare() -> None:
    """Stand in for torchrun where it did not start us, and name the accelerator where there is no GPU."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "RANK" not in os.environ:
        os.environ |= {
            "RANK": "0",
            "LOCAL_RANK": "0",
            "WORLD_SIZE": "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
        }
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        _leave_shared_memory_op_out()
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _leave_shared_memory_op_out() -> None:
    """DeepSpeed would compile it for a minute at its first run on a CPU; gloo does the same work."""
    import deepspeed
    from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder

    deepspeed.ops.__compatible_ops__[ShareMemCommBuilder.NAME] = False
