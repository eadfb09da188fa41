"""The first signal is remembered, its echoes are not a second wish, and what comes later ends the process."""

from __future__ import annotations

import os
import signal

import pytest

from engine.errors import Drained
from trainer.stop import ECHO_SECONDS, StopRequest


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


def test_a_signal_that_several_send_at_once_is_one_wish(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number))
    monkeypatch.setattr(signal, "signal", lambda number, action: None)
    stop = StopRequest(lambda: clock[0])
    stop._receive(signal.SIGTERM, None)
    clock[0] += ECHO_SECONDS / 2
    stop._receive(signal.SIGINT, None)
    assert (stop.received, sent) == ("SIGTERM", [])
    clock[0] += ECHO_SECONDS
    stop._receive(signal.SIGTERM, None)
    assert sent == [signal.SIGTERM]


def test_before_the_first_step_there_is_nothing_to_save() -> None:
    stop = StopRequest()
    stop.check()
    stop._receive(signal.SIGUSR1, None)
    with pytest.raises(Drained, match="SIGUSR1"):
        stop.check()
