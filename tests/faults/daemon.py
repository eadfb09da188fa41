"""The daemon as the fault tests run it: a child process that is watched, killed, starved and started again."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine.export import ExportConfig, export
from omegaprm.engine.store import Store
from tests.fakes.annotate import SCRIPT, Script
from tests.faults.nursery import ACKNOWLEDGING, Nursery

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240
"""A run that takes longer hangs."""


_nursery = functools.cache(Nursery)


class Daemon:
    """A run under way. acknowledged holds the estimates whose commit has returned: key to checksum, in hex."""

    def __init__(
        self, flags: Sequence[str], environment: Mapping[str, str], script: Script, max_file_bytes: int | None
    ) -> None:
        reading, writing = os.pipe()
        told = msgspec.structs.replace(script, acknowledged=f"/dev/fd/{ACKNOWLEDGING}")
        self.acknowledged: dict[str, str] = {}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        variables = {SCRIPT: msgspec.json.encode(told).decode(), **environment}
        self.process = _nursery(environment.get("LD_PRELOAD", "")).start(
            flags, variables, self._said.fileno(), writing, max_file_bytes
        )
        os.close(writing)
        self._lines = os.fdopen(reading, "rb")

    def wait_for(self, count: int) -> None:
        """Return when so many more estimates are acknowledged, or the daemon has ended."""
        for _ in range(count):
            if not self._take(self._lines.readline()):
                return

    def _take(self, line: bytes) -> bool:
        if line.endswith(b"\n"):
            key, checksum = line.decode().split()
            self.acknowledged[key] = checksum
        return bool(line)

    def said(self) -> str:
        """What it has written so far."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def kill(self) -> None:
        """SIGKILL it where it stands; AssertionError where it had ended before."""
        assert self.killed(), f"it had finished: {self.said()}"

    def killed(self) -> bool:
        """SIGKILL it; False where it had finished its job before, AssertionError where it had ended otherwise."""
        self.process.kill()
        code, said = self.end()
        assert code in (-9, 0), f"it had ended with {code}: {said}"
        return code == -9

    def end(self) -> tuple[int, str]:
        """Wait for its end: (exit code, what it said)."""
        while self._take(self._lines.readline()):
            pass
        self._lines.close()
        return self.process.wait(), self.said()


@dataclass(frozen=True)
class Job:
    """Seed problems, a folder that stands for a policy's files, and flags: what a test annotates."""

    folder: Path
    flags: tuple[str, ...] = ("--rollout-budget", "160", "--concurrency", "16")

    def start(
        self,
        store: Path,
        *flags: str,
        script: Script | None = None,
        environment: Mapping[str, str] | None = None,
        seeds: Path | None = None,
        max_file_bytes: int | None = None,
    ) -> Daemon:
        """Start it with more flags, trouble, variables, or a limit on what a file may hold."""
        words = ["--store", str(store), *self.flags, "--model", str(self.folder / "model")]
        words += ["--seeds", str(seeds or self.folder / "seeds.json"), *flags]
        return Daemon(words, environment or {}, script or Script(), max_file_bytes)

    def run(self, store: Path, *flags: str, **named: Any) -> tuple[int, str]:
        """Run it to its end: (exit code, what it said)."""
        return self.start(store, *flags, **named).end()


def exported(store: Path, out: Path) -> tuple[bytes, bytes]:
    export(ExportConfig(stores=(str(store),), out=str(out)))
    return (out / "train.jsonl").read_bytes(), (out / "counts.json").read_bytes()


def holds(store: Path, acknowledged: Mapping[str, str]) -> None:
    """Assert that the store holds every acknowledged estimate as it was written."""
    with Store.open_reader(store) as opened:
        found = {key.hex(): f"{zlib.crc32(value):08x}" for key, value in opened.scan("estimates")}
    lost = [key for key, checksum in acknowledged.items() if found.get(key) != checksum]
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged estimates are lost or changed"


def command(name: str, *arguments: object, **named: Any) -> tuple[int, str]:
    """Run a command of bin/: (exit code, what it said)."""
    words = [sys.executable, str(ROOT / "bin" / name), *map(str, arguments)]
    environment = {**os.environ, **named.pop("environment", {})}
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=SECONDS, **named)
    return ended.returncode, ended.stdout + ended.stderr
