"""bin/train under torchrun in this process: signals reach every rank, and the ranks' exit code is this command's.

torchrun alone ends with 1 whatever its ranks ended with, and on a signal gives them a grace of its own.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
from collections.abc import Collection
from types import FrameType
from typing import Any, NoReturn

import psutil  # type: ignore[import-untyped]

from omegaprm.engine.errors import Drained, UsageError
from omegaprm.trainer.stop import SIGNALS

LEFT_TO_TORCHRUN = "SIGHUP,SIGQUIT"


def is_rank() -> bool:
    """Whether a launcher has started this process; a rank is given the launcher's own flags and must start none."""
    return "RANK" in os.environ


def launch(num_processes: int, flags: str) -> NoReturn:
    """Run this process's own command line under torchrun and more of its flags; SystemExit at the end.

    Each of SIGNALS is handed on to the ranks: the first has them save and end, a later one ends them at once.
    UsageError where torchrun refuses the flags.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = _parsed(run, num_processes, flags)
    logging.disable(logging.ERROR)
    ranks = _Ranks()
    for number in SIGNALS:
        signal.signal(number, ranks.signal)
    try:
        run.run(arguments)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if set(codes.values()) != {Drained.exit_code}:
            told = ", ".join(f"{rank}: {codes[rank]}" for rank in sorted(codes))
            print(f"exit codes of the ranks (below 0: a signal ended it) {told}", file=sys.stderr, flush=True)
        first = error.get_first_failure()[1].exitcode
        raise SystemExit(exit_code(first, codes.values(), ranks.were_signalled)) from None
    raise SystemExit(0)


def exit_code(first: int, codes: Collection[int], were_signalled: bool) -> int:
    """What a launcher ends with whose ranks failed: 75 where they drained, else the code of the first, 1 for a kill.

    Ranks that were signalled and died of it, as of a second signal, count as drained: the same command goes on.
    """
    drained = {Drained.exit_code, *((-number for number in SIGNALS) if were_signalled else ())}
    if set(codes) <= drained:
        return Drained.exit_code
    return first if first > 0 else 1


class _Ranks:
    """The processes that torchrun starts from this one."""

    def __init__(self) -> None:
        self.were_signalled = False

    def signal(self, number: int, frame: FrameType | None) -> None:
        self.were_signalled = True
        children = psutil.Process().children()
        if not children:
            os._exit(Drained.exit_code)
        for child in children:
            child.send_signal(number)


def _parsed(run: Any, num_processes: int, flags: str) -> Any:
    """torchrun's own arguments; its message is on stderr where it refuses them."""
    ours = ["--nproc-per-node", str(num_processes), "--signals-to-handle", LEFT_TO_TORCHRUN]
    try:
        arguments = run.parse_args([*ours, *shlex.split(flags), *sys.argv])
    except SystemExit:
        raise UsageError(f"--torchrun {flags!r}: must be flags of torchrun") from None
    if arguments.max_restarts:
        raise UsageError(f"--torchrun {flags!r}: no --max-restarts, ranks that a signal stopped would be started again")
    return arguments
