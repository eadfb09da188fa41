"""bin/annotate with a scripted policy, for tests that kill it: python -m tests.fakes.annotate FLAGS

SCRIPT in the environment says, as JSON of a Script, what goes wrong and when; SCRIPTED_PAUSE alone, how long each
request takes.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import itertools
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import msgspec

from omegaprm.engine import commands
from omegaprm.engine.annotate import annotate
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.presets import PRESETS
from omegaprm.engine.store import Store, Write
from tests.fakes.policy import ScriptedPolicy, Trouble, TroubledPolicy

SCRIPT = "SCRIPT"
PAUSE = "SCRIPTED_PAUSE"


class Script(Trouble, frozen=True, kw_only=True):
    """What happens in a run of the daemon."""

    loading: float = 0.0
    """Seconds that the policy takes to start."""
    acknowledged: str = ""
    """File that gets a line for each estimate whose commit has returned: its key and checksum in hex."""
    kill_at: str = ""
    """SIGKILL at "module:attribute:before|after:n", the n-th call of a function."""
    map_bytes: int = 0
    """Size of the store's map at its opening, so that it soon has to grow."""


def script() -> Script:
    pause = os.environ.get(PAUSE, "0")
    return msgspec.json.decode(os.environ.get(SCRIPT, f'{{"pause": {pause}}}'), type=Script)


async def scripted_policy(config: AnnotateConfig) -> ScriptedPolicy:
    await asyncio.sleep(script().loading)
    return TroubledPolicy(script())


def tell_acknowledged(path: str) -> None:
    """Have every returned commit of estimates told in a file or pipe."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    commit = Store.commit

    async def told(self: Store, writes: Sequence[Write]) -> None:
        await commit(self, writes)
        for write in writes:
            if write.table == "estimates":
                os.write(file, b"%s %08x\n" % (write.key.hex().encode(), zlib.crc32(write.value)))

    Store.commit = told  # type: ignore[method-assign]


def open_with_map(map_bytes: int) -> None:
    Store.open = functools.partial(Store.open, map_bytes=map_bytes)  # type: ignore[method-assign]


def arm(point: str) -> None:
    """Have this process killed around a call (see Script.kill_at)."""
    module, attribute, when, count = point.split(":")
    *owners, name = attribute.split(".")
    owner: Any = functools.reduce(getattr, owners, importlib.import_module(module))
    real: Callable[..., Any] = getattr(owner, name)
    calls = itertools.count(1)

    def around(*arguments: Any, **named: Any) -> Any:
        due = next(calls) == int(count)
        if due and when == "before":
            die()
        result = real(*arguments, **named)
        return ended(result) if due and inspect.isawaitable(result) else dead_if(due, result)

    setattr(owner, name, around)


async def ended(work: Any) -> Any:
    await work
    die()


def dead_if(due: bool, result: Any) -> Any:
    if due:
        die()
    return result


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def main(arguments: list[str]) -> NoReturn:
    config = commands.parse(AnnotateConfig, arguments, "annotate", PRESETS)
    if script().acknowledged:
        tell_acknowledged(script().acknowledged)
    if script().map_bytes:
        open_with_map(script().map_bytes)
    if script().kill_at:
        arm(script().kill_at)
    commands.run(lambda given: annotate(given, scripted_policy), config)


if __name__ == "__main__":
    main(sys.argv[1:])
