"""Daemons as forks of one process that has everything imported: a start costs milliseconds, all else is as real.

Nursery.start gives a Child, a process like any other to kill, starve and signal. Each is the fork of a keeper, which
waits for its end; the keeper is a fork of the nursery, which has no thread and no state of an earlier run.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
MAX_REQUEST_BYTES = 100_000
ACKNOWLEDGING = 200
"""A file number that nothing else has."""


class Child:
    """A running daemon. returncode is as subprocess.Popen's; max_resident_bytes is known once it has ended."""

    def __init__(self, keeper: socket.socket) -> None:
        self._keeper = keeper.makefile("rb")
        self.pid = int(self._keeper.readline())
        self.returncode: int | None = None
        self.max_resident_bytes = 0

    def wait(self) -> int:
        if self.returncode is None:
            status, kilobytes = self._keeper.readline().split()
            self.returncode = os.waitstatus_to_exitcode(int(status))
            self.max_resident_bytes = int(kilobytes) << 10
            self._keeper.close()
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, or None while it runs; a zombie has ended."""
        if self.returncode is None and not self._runs():
            self.wait()
        return self.returncode

    def _runs(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that daemons are forked from, under an LD_PRELOAD of its own where it is given one."""

    def __init__(self, preload: str = "") -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, **({"LD_PRELOAD": preload} if preload else {})}
        words = [sys.executable, "-m", "tests.faults.nursery", str(theirs.fileno())]
        self._process = subprocess.Popen(words, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()

    def start(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        output: int,
        acknowledging: int,
        max_file_bytes: int | None = None,
    ) -> Child:
        """A daemon with these flags and variables. What it says goes to the file output, open here; what the file
        acknowledging is here it has as ACKNOWLEDGING."""
        ours, keepers = socket.socketpair()
        request = json.dumps({"words": words, "environment": dict(environment), "max_file_bytes": max_file_bytes})
        socket.send_fds(self._socket, [request.encode()], [keepers.fileno(), output, acknowledging])
        keepers.close()
        child = Child(ours)
        ours.close()
        return child

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


def _serve(requests: socket.socket) -> None:
    """Fork a keeper for each request until the asking side is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, files, _, _ = socket.recv_fds(requests, MAX_REQUEST_BYTES, 3)
        if not request:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            _keep(json.loads(request), *files)
        for file in files:
            os.close(file)


def _keep(request: dict[str, Any], keeper: int, output: int, acknowledging: int) -> NoReturn:
    """Fork the daemon and tell its id, then its wait status and most resident kilobytes."""
    pid = os.fork()
    if pid == 0:
        os.close(keeper)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(acknowledging, ACKNOWLEDGING)
        _be_daemon(request)
    os.close(output)
    os.close(acknowledging)
    os.write(keeper, b"%d\n" % pid)
    _, status, usage = os.wait4(pid, 0)
    os.write(keeper, b"%d %d\n" % (status, usage.ru_maxrss))
    os._exit(0)


def _be_daemon(request: dict[str, Any]) -> NoReturn:
    from tests.fakes.annotate import main

    code: Any = 1
    try:
        os.environ.update(request["environment"])
        if limit := request["max_file_bytes"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        main(request["words"])
    except SystemExit as leaving:
        code = leaving.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    import omegaprm.engine.judge.opening  # noqa: F401
    import tests.fakes.annotate  # noqa: F401

    _serve(socket.socket(fileno=int(sys.argv[1])))
