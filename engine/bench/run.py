"""bin/bench: measure figures one after the other in one process and give them as one JSON object."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from omegaprm.engine.bench.config import BenchConfig
from omegaprm.engine.bench.figures import FIGURES, Entry, Figure
from omegaprm.engine.bench.recording import Recorder
from omegaprm.engine.errors import BadInput, StoreFailed

Entries = dict[str, Entry]


class Run:
    """What the figures of one run share: the flags, a folder for stores, and the policy once it is started."""

    def __init__(self, config: BenchConfig, folder: Path) -> None:
        self.config = config
        self.folder = folder
        self._recorder: Recorder | None = None
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._started:5.0f} s] {text}", file=sys.stderr, flush=True)

    async def recorder(self) -> Recorder:
        """The policy on the real engine, started by the first figure that asks."""
        if self._recorder is None:
            self.say(f"loading the policy from {self.config.model}")
            self._recorder = await Recorder.start(self.config)
        return self._recorder

    async def close(self) -> None:
        if self._recorder is not None:
            await self._recorder.policy.close()


def bench(config: BenchConfig) -> None:
    """Print the figures, write them where --out says, and compare them with --against on stderr."""
    earlier = _read(Path(config.against)) if config.against else {}
    entries = asyncio.run(_measure(config))
    entries = {name: _compared(entry, earlier.get(name)) for name, entry in entries.items()}
    text = msgspec.json.format(msgspec.json.encode(entries), indent=2).decode()
    print(text)
    if config.out:
        with _sentence(f"--out {config.out}"):
            Path(config.out).write_text(text + "\n")


@contextlib.contextmanager
def _sentence(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreFailed(f"{what}: {error.strerror}") from error


async def _measure(config: BenchConfig) -> Entries:
    chosen = [figure for figure in FIGURES if not config.names or figure.name in config.names]
    with _sentence(f"--store {config.store}"):
        made = tempfile.TemporaryDirectory(prefix="bench-", dir=config.store or None)
    with made as folder:
        run = Run(config, Path(folder))
        try:
            return {figure.name: await _one(run, figure) for figure in chosen}
        finally:
            await run.close()


async def _one(run: Run, figure: Figure) -> Entry:
    run.say(f"{figure.name} ...")
    entry = figure.entry(await figure.load()(run))
    goal = "" if entry.goal is None else f", goal {entry.goal:g}"
    run.say(f"{figure.name} = {entry.value:.4g} {figure.unit} [{entry.min:.4g}, {entry.max:.4g}]{goal}")
    return entry


def _read(path: Path) -> Entries:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Entries)
    except (OSError, msgspec.MsgspecError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"--against {path}: must be an output of bin/bench: {reason}") from error


def _compared(entry: Entry, earlier: Entry | None) -> Entry:
    if earlier is None or not earlier.value:
        return entry
    return msgspec.structs.replace(entry, against=earlier.value, ratio=entry.value / earlier.value)
