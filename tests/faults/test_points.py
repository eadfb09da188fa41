"""SIGKILL at every named point of making a store, commit, group commit, map growth, drain and export."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.annotate import Script
from tests.faults.daemon import Job, command, exported, holds

Shim = Callable[..., Mapping[str, str]]
Some = Callable[[Sequence[Any]], list[Any]]

AROUND = ("before", "after")

SYSTEM_CALLS = {
    "making": [
        *(
            {"call": "write", "at": at, "path": ".making/data.mdb", "do": do}
            for at in (1, 2)
            for do in ("half", "after")
        ),
        *({"call": "sync", "at": 1, "path": ".making/data.mdb", "do": do} for do in AROUND),
        *({"call": "rename", "at": 1, "path": "/data.mdb", "do": do} for do in AROUND),
    ],
    "commit": [
        *({"call": "write", "at": at, "path": "/data.mdb", "do": do} for at in (5, 8, 9) for do in ("half", "after")),
        *({"call": "sync", "at": at, "path": "/data.mdb", "do": do} for at in (4, 6) for do in AROUND),
    ],
}
"""Points that only the system sees: within LMDB's transaction, between its pages, its sync and its meta page."""

WRITER = "omegaprm.engine.store.writer"
FUNCTIONS = {
    "group commit": [
        *(f"{WRITER}:GroupCommit._next_batch:after:{at}" for at in (3, 7)),
        *(f"omegaprm.engine.store.database:Database.write:{when}:5" for when in AROUND),
        *(f"{WRITER}:{name}:{when}:6" for name in ("_settle", "_wake") for when in AROUND),
    ],
    "map growth": [
        *(f"omegaprm.engine.store.database:Database._grow:{when}:1" for when in AROUND),
        "omegaprm.engine.store.database:Database.write:after:12",
    ],
    "drain": [
        "omegaprm.engine.policy.enduring:Restarting.close:before:1",
        *(f"{WRITER}:GroupCommit.close:{when}:1" for when in AROUND),
        *(f"omegaprm.engine.store.lock:WriterLock.release:{when}:1" for when in AROUND),
    ],
}
"""Points in this program: a function and its how-manieth call."""


def finish(job: Job, store: Path, out: Path, undisturbed: tuple[bytes, bytes]) -> None:
    code, said = job.run(store)
    assert code == 0, said
    assert exported(store, out) == undisturbed


@pytest.mark.family("points")
@pytest.mark.parametrize("group", SYSTEM_CALLS)
def test_a_kill_at_a_system_call_loses_nothing(
    job: Job, undisturbed: tuple[bytes, bytes], shim: Shim, tmp_path: Path, group: str, some: Some
) -> None:
    acknowledged: dict[str, str] = {}
    for point in some(SYSTEM_CALLS[group]):
        daemon = job.start(tmp_path / "store", environment=shim(**point))
        code, said = daemon.end()
        assert code == -signal.SIGKILL, (point, code, said)
        acknowledged |= daemon.acknowledged
        if acknowledged:
            holds(tmp_path / "store", acknowledged)
    finish(job, tmp_path / "store", tmp_path / "out", undisturbed)


@pytest.mark.family("points")
@pytest.mark.parametrize("group", FUNCTIONS)
def test_a_kill_around_a_function_loses_nothing(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path, group: str, some: Some
) -> None:
    acknowledged: dict[str, str] = {}
    for point in some(FUNCTIONS[group]):
        daemon = job.start(tmp_path / "store", script=Script(pause=0.02, kill_at=point, map_bytes=1 << 16))
        if group == "drain":
            daemon.wait_for(3)
            daemon.process.send_signal(signal.SIGTERM)
        code, said = daemon.end()
        assert code == -signal.SIGKILL, (point, code, said)
        acknowledged |= daemon.acknowledged
        holds(tmp_path / "store", acknowledged)
    finish(job, tmp_path / "store", tmp_path / "out", undisturbed)


EXPORT_POINTS = [
    ("write", "train.jsonl", "half"),
    *(("sync", "train.jsonl", when) for when in AROUND),
    *(("rename", name, when) for name, when in (("train.jsonl", "before"), ("train.jsonl", "after"))),
    ("rename", "meta.json", "before"),
    ("rename", "counts.json", "after"),
]


@pytest.mark.family("points")
def test_a_kill_in_an_export_leaves_only_whole_files_and_the_next_one_makes_them_all(
    finished: Path, undisturbed: tuple[bytes, bytes], shim: Shim, tmp_path: Path, some: Some
) -> None:
    for at, (call, name, do) in enumerate(some(EXPORT_POINTS)):
        out = tmp_path / f"out{at}"
        environment = shim(call=call, path=f"out{at}/{name}", at=1, do=do)
        code, said = command("export", finished, "--out", out, environment=environment)
        assert code == -signal.SIGKILL, (call, name, do, code, said)
        for file, whole in zip(("train.jsonl", "counts.json"), undisturbed, strict=True):
            assert not (out / file).exists() or (out / file).read_bytes() == whole
        assert exported(finished, out) == undisturbed
