"""The first signal is remembered, its echoes are not a second wish, and what comes later ends the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl

from omegaprm.engine.errors import Drained
from omegaprm.trainer import callbacks
from omegaprm.trainer.batches import LengthGrouped
from omegaprm.trainer.stop import ECHO_SECONDS, StopRequest, drained
from tests.trainer.setting import ROOT


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


def test_one_of_several_ranks_ends_at_once_with_75() -> None:
    with pytest.raises(Drained, match="saved"):
        drained("saved", num_processes=1)
    code = "from omegaprm.trainer.stop import drained\ntry: drained('saved', 2)\nfinally: print('still here')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (Drained.exit_code, "", "error: saved\n")


def test_no_rank_ends_before_the_checkpoint_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher kills the others once one has ended, and the mark is one rank's alone."""
    order: list[str] = []
    monkeypatch.setattr(callbacks.distributed, "barrier", lambda: order.append("all are here"))
    record: Any = SimpleNamespace(complete=lambda step: order.append(f"step {step} marked"))
    args: Any = SimpleNamespace(local_process_index=0, world_size=2)
    state: Any = SimpleNamespace(is_world_process_zero=True, global_step=7)
    pace = callbacks.Pace(LengthGrouped([], 1, 0), record, StopRequest())
    pace.on_save(args, state, TrainerControl())
    assert order == ["all are here", "step 7 marked", "all are here"]
