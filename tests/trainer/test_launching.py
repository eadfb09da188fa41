"""A launcher ends with what its ranks ended with, and starts nothing that would undo a preemption."""

from __future__ import annotations

import signal

import pytest

from omegaprm.engine.errors import UsageError
from omegaprm.trainer import launching
from omegaprm.trainer.config import TrainConfig


@pytest.mark.parametrize(
    ("first", "codes", "were_signalled", "expected"),
    [
        (75, [75, 75], False, 75),
        (75, [75, -signal.SIGTERM], True, 75),
        (-signal.SIGTERM, [-signal.SIGTERM, -signal.SIGTERM], True, 75),
        (78, [78, -signal.SIGTERM], False, 78),
        (-signal.SIGKILL, [-signal.SIGKILL, -signal.SIGTERM], False, 1),
        (-signal.SIGKILL, [-signal.SIGKILL, 75], True, 1),
        (-signal.SIGTERM, [-signal.SIGTERM, 75], False, 1),
    ],
)
def test_the_code_is_75_where_all_drained_and_else_that_of_the_first(
    first: int, codes: list[int], were_signalled: bool, expected: int
) -> None:
    assert launching.exit_code(first, codes, were_signalled) == expected


@pytest.mark.parametrize("flags", ["--max-restarts 3", "--no-such-flag"])
def test_flags_that_would_start_drained_ranks_again_or_that_torchrun_does_not_know_are_refused(flags: str) -> None:
    with pytest.raises(UsageError, match=flags):
        launching.launch(2, flags)


def test_torchruns_flags_need_processes() -> None:
    with pytest.raises(UsageError, match="needs --processes"):
        TrainConfig(rows=("r",), model="m", out="o", torchrun="--nnodes 2")


def test_a_rank_starts_no_more_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert not launching.is_rank()
    monkeypatch.setenv("RANK", "0")
    assert launching.is_rank()
