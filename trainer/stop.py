"""SIGTERM, SIGINT or SIGUSR1 asks a training to save and end; a second one ends it at once.

A scheduler signals torchrun and its processes alike, and torchrun hands the signal on to them: what comes within
ECHO_SECONDS of the first is the same wish.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from omegaprm.engine.errors import Drained

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
ECHO_SECONDS = 2.0


class StopRequest:
    """Remembers the signal that was received, for the training to look at between steps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.received: str | None = None
        self._clock = clock
        self._at = 0.0

    def install(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def check(self) -> None:
        """Drained where a signal was received and there is nothing yet to save."""
        if self.received:
            raise Drained(f"stopped on {self.received} before the first step: run the same command again")

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._at = signal.Signals(number).name, self._clock()
        elif self._clock() - self._at >= ECHO_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def drained(message: str, num_processes: int) -> NoReturn:
    """Raise Drained; one of several ranks says so and ends here and now, with its exit code.

    The interpreter takes seconds to end by itself and no longer handles signals then, and a launcher sends one to
    the other ranks as soon as the first has ended.
    """
    error = Drained(message)
    if num_processes == 1:
        raise error
    print(f"error: {error}", file=sys.stderr, flush=True)
    os._exit(error.exit_code)
