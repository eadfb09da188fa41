"""Writes, syncs and renames that fail, and full disks: 74, all acknowledged readable, finished once there is room."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.fakes.annotate import Script
from tests.faults.daemon import ROOT, Job, command, exported, holds

pytestmark = pytest.mark.family("disk")

Shim = Callable[..., Mapping[str, str]]
Record = Callable[[str, object], None]

FAILING = {
    "write": (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 20, 33),
    "sync": (1, 2, 3, 4, 5, 7, 11),
    "rename": (1, 2, 1),
}
"""How many calls succeed before the one that fails, one daemon after the other on a store."""


@pytest.mark.parametrize("call", FAILING)
def test_the_nth_failing_call_ends_with_74_and_the_same_command_goes_on(
    job: Job,
    undisturbed: tuple[bytes, bytes],
    shim: Shim,
    tmp_path: Path,
    call: str,
    some: Callable[[Sequence[int]], list[int]],
) -> None:
    acknowledged: dict[str, str] = {}
    for at in some(FAILING[call]):
        number = errno.EIO if at % 2 else errno.ENOSPC
        fault = shim(call=call, path="/store/", at=at, do=number)
        daemon = job.start(tmp_path / "store", environment=fault, script=Script(pause=0.005))
        code, said = daemon.end()
        assert code == 74, (call, at, code, said)
        assert "Traceback" not in said
        acknowledged |= daemon.acknowledged
        if acknowledged:
            holds(tmp_path / "store", acknowledged)
    code, said = job.run(tmp_path / "store")
    assert code == 0, said
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


@pytest.mark.parametrize(
    ("call", "at"), [("write", 1), ("write", 3), ("sync", 1), ("sync", 2), ("rename", 1), ("rename", 3)]
)
def test_a_failing_call_in_an_export_ends_with_74_and_leaves_no_half_file(
    finished: Path, undisturbed: tuple[bytes, bytes], shim: Shim, tmp_path: Path, call: str, at: int
) -> None:
    fault = shim(call=call, path="/out/", at=at, do=errno.ENOSPC)
    code, said = command("export", finished, "--out", tmp_path / "out", environment=fault)
    assert code == 74, said
    assert "Traceback" not in said
    for file, whole in zip(("train.jsonl", "counts.json"), undisturbed, strict=True):
        assert not (tmp_path / "out" / file).exists() or (tmp_path / "out" / file).read_bytes() == whole
    assert exported(finished, tmp_path / "out") == undisturbed


def test_a_disk_that_fills_up_again_and_again_costs_nothing_acknowledged(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path, record_property: Record
) -> None:
    limits = (80 << 10, 130 << 10, 220 << 10)
    record_property("tries", len(limits))
    acknowledged: dict[str, str] = {}
    for limit in limits:
        daemon = job.start(
            tmp_path / "store",
            script=Script(map_bytes=1 << 16),
            max_file_bytes=limit,
        )
        code, said = daemon.end()
        assert code == 74, said
        acknowledged |= daemon.acknowledged
        holds(tmp_path / "store", acknowledged)
    assert len(acknowledged) > 20
    assert job.run(tmp_path / "store")[0] == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=$1 none "$2" || exit 99
shift 2
"$@"; echo "full: $?"
mount -o remount,size=64m "$DISK"
"$PYTHON" bin/status --verify "$DISK/store"; echo "verify: $?"
"$@"; echo "room: $?"
"$PYTHON" bin/export "$DISK/store" --out "$OUT"; echo "export: $?"
"""


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0,
    reason="no user namespace to mount a small disk in",
)
def test_a_truly_full_disk_ends_with_74_and_the_same_command_finishes_once_there_is_room(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path
) -> None:
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    daemon = [sys.executable, "-m", "tests.fakes.annotate", "--store", f"{disk}/store", *job.flags]
    daemon += ["--seeds", str(job.folder / "seeds.json"), "--model", str(job.folder / "model")]
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, "sh", "200k", str(disk), *daemon],
        cwd=ROOT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHON": sys.executable, "DISK": str(disk), "OUT": str(out)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    said = ended.stdout + ended.stderr
    codes = dict(line.split(": ") for line in ended.stdout.splitlines() if line.split(":")[0] in CODES)
    assert codes == CODES, said
    assert ((out / "train.jsonl").read_bytes(), (out / "counts.json").read_bytes()) == undisturbed


CODES = {"full": "74", "verify": "0", "room": "0", "export": "0"}
