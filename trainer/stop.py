"""SIGTERM, SIGINT or SIGUSR1 asks a training to save and end; a second one ends it at once."""

from __future__ import annotations

import os
import signal
from types import FrameType

from engine.errors import Drained

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """Remembers the signal that was received, for the training to look at between steps."""

    def __init__(self) -> None:
        self.received: str | None = None

    def install(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def check(self) -> None:
        """Drained where a signal was received and there is nothing yet to save."""
        if self.received:
            raise Drained(f"stopped on {self.received} before the first step: run the same command again")

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = signal.Signals(number).name
