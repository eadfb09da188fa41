"""What a running daemon tells: metrics, health, JSON lines, systemd's messages, bin/status; by a real one."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from omegaprm.engine import metrics
from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.meter import Meter
from omegaprm.engine.notify import notified
from omegaprm.engine.progress import Progress
from omegaprm.engine.status import StatusConfig, status
from tests.fakes.annotate import PAUSE

ROOT = Path(__file__).resolve().parents[2]
NUM_PROBLEMS = 12


class ServiceManager:
    """Stands for systemd: every datagram that came, with the time it came at."""

    def __init__(self, path: Path) -> None:
        self.heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.path = path
        self._news = threading.Condition()
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        while data := self._socket.recv(4096):
            with self._news:
                self.heard.append((time.monotonic(), data.decode()))
                self._news.notify_all()

    def lines(self) -> list[str]:
        return [line for _, text in self.heard for line in text.splitlines()]

    def wait_for(self, line: str, seconds: float = 30.0) -> None:
        with self._news:
            assert self._news.wait_for(lambda: line in self.lines(), seconds), self.heard

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.sendto(b"", str(self.path))
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[ServiceManager]:
    manager = ServiceManager(tmp_path / "notify")
    yield manager
    manager.close()


def command(folder: Path, *flags: str) -> list[str]:
    rows = [{"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n} for n in range(NUM_PROBLEMS)]
    (folder / "seeds.json").write_text(json.dumps(rows))
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    words = [sys.executable, "-m", "tests.fakes.annotate", "--seeds", str(folder / "seeds.json")]
    return [*words, "--model", str(folder / "model"), "--store", str(folder / "store"), *flags]


@contextmanager
def running(words: list[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        words, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def event(process: subprocess.Popen[str], name: str, having: str = "message") -> dict:
    """The next event of a name; all before it are JSON objects too."""
    assert process.stderr is not None
    for line in process.stderr:
        row = json.loads(line)
        if row["event"] == name and having in row:
            return row
    raise AssertionError(f"no event {name}")


def scraped(port: int) -> dict[str, float]:
    """The values of the metrics without labels, by Prometheus' own reader."""
    families = text_string_to_metric_families(fetched(f"http://127.0.0.1:{port}/metrics"))
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def test_a_running_daemon_tells_of_itself_in_every_form(
    tmp_path: Path, systemd: ServiceManager, capsys: pytest.CaptureFixture[str]
):
    words = command(tmp_path, "--metrics-port", "0", "--log-format", "json", "--price-per-hour", "3600")
    told = {PAUSE: "0.2", "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "300000"}
    with running(words, **told) as process:
        port = event(process, "metrics")["port"]
        systemd.wait_for("READY=1")
        health = json.loads(fetched(f"http://127.0.0.1:{port}/health"))
        assert (health["state"], health["num_problems"]) == ("running", NUM_PROBLEMS)
        progress = event(process, "progress", "num_rollouts")
        assert (progress["num_problems"], progress["state"]) == (NUM_PROBLEMS, "running")
        while (found := scraped(port))["omegaprm_tokens_total"] == 0:
            time.sleep(0.02)
        assert found["omegaprm_cost"] >= progress["cost"] > 0
        status(StatusConfig(stores=(str(tmp_path / "store"),), json=True))
        assert json.loads(capsys.readouterr().out)["runs"][0]["state"] == "running"
        process.send_signal(signal.SIGTERM)
        systemd.wait_for("STOPPING=1")
        assert event(process, "error")["exit_code"] == 75
        assert process.wait(30) == 75
    lines = systemd.lines()
    assert lines.index("READY=1") < lines.index("STOPPING=1")
    assert lines.count("WATCHDOG=1") > 3
    assert any(line.startswith("STATUS=running: problems 0/12") for line in lines)


def test_a_screen_is_drawn_on_a_terminal_and_plain_lines_on_a_dumb_one(tmp_path: Path):
    drawn = on_terminal(command(tmp_path, "--max-searches", "2"), "xterm-256color")
    assert f"{NUM_PROBLEMS}/{NUM_PROBLEMS}" in drawn
    assert "\x1b[2K" in drawn
    again = on_terminal([*command_again(tmp_path), "--max-searches", "2"], "dumb")
    assert f"problems {NUM_PROBLEMS}/{NUM_PROBLEMS}" in again
    assert "\x1b" not in again


def command_again(folder: Path) -> list[str]:
    words = [sys.executable, "-m", "tests.fakes.annotate", "--seeds", str(folder / "seeds.json")]
    return [*words, "--model", str(folder / "model"), "--store", str(folder / "store")]


def on_terminal(words: list[str], kind: str) -> str:
    """What a command writes to stderr, where that is a terminal."""
    own, given = pty.openpty()
    environment = {**os.environ, PAUSE: "0.15", "TERM": kind}
    process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=given)
    os.close(given)
    said = b""
    try:
        while piece := os.read(own, 4096):
            said += piece
    except OSError:
        pass  # Linux says so where the other end is closed.
    os.close(own)
    assert process.wait(30) == 0, said
    return said.decode()


async def test_a_loop_that_stands_still_misses_its_watchdog(systemd: ServiceManager, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(systemd.path))
    monkeypatch.setenv("WATCHDOG_USEC", "60000")
    async with notified(Meter(asyncio.Event())):
        await asyncio.sleep(0.2)
        stalled = time.monotonic()
        time.sleep(0.4)  # noqa: ASYNC251 the very thing
        woken = time.monotonic()
        await asyncio.sleep(0.1)
    beats = [at for at, text in systemd.heard if "WATCHDOG=1" in text]
    assert len([at for at in beats if at < stalled]) >= 3
    assert [at for at in beats if stalled + 0.1 < at < woken] == []
    assert [at for at in beats if at >= woken]


@pytest.mark.parametrize("other", ["4711", "0"])
async def test_no_beat_is_sent_that_is_not_asked_for(
    systemd: ServiceManager, monkeypatch: pytest.MonkeyPatch, other: str
):
    monkeypatch.setenv("NOTIFY_SOCKET", str(systemd.path))
    monkeypatch.setenv("WATCHDOG_USEC", "1000" if other != "0" else "0")
    monkeypatch.setenv("WATCHDOG_PID", other)
    async with notified(Meter(asyncio.Event())):
        await asyncio.sleep(0.05)
    systemd.wait_for("STOPPING=1")
    assert "WATCHDOG=1" not in systemd.lines()


async def test_a_service_manager_that_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nowhere"))
    went_on = False
    async with notified(Meter(asyncio.Event())):
        await asyncio.sleep(0)
        went_on = True
    assert went_on
    assert not (tmp_path / "nowhere").exists()


async def test_metrics_answer_on_a_unix_socket_and_leave_none_behind(tmp_path: Path):
    path = tmp_path / "metrics"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with metrics.served(Meter(asyncio.Event()).snapshot, None, str(path)):
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
            health = await (await session.get("http://run/health")).json()
        assert health["state"] == "loading"
        with pytest.raises(ConfigurationError, match="another process listens"):
            await metrics.served(Meter(asyncio.Event()).snapshot, None, str(path)).__aenter__()
        assert path.is_socket()
    assert not path.exists()


async def test_a_taken_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"--metrics-port {port}"):
            await metrics.served(Meter(asyncio.Event()).snapshot, port, None).__aenter__()


def test_a_watched_store_is_shown_until_its_run_is_done(tmp_path: Path):
    words = command(tmp_path, "--max-searches", "2")
    with running(words, **{PAUSE: "0.1"}) as daemon:
        while not (tmp_path / "store" / "data.mdb").exists():
            assert daemon.poll() is None, daemon.communicate()
            time.sleep(0.01)
        watching = [str(ROOT / "bin" / "status"), str(tmp_path / "store"), "--watch", "--json"]
        with running(watching) as watch:
            out, err = watch.communicate(timeout=60)
    assert watch.returncode == 0, err
    looks = [json.loads(line) for line in out.splitlines()]
    assert looks[-1]["runs"][0]["state"] == "done"
    assert looks[-1]["problems"]["done"] == NUM_PROBLEMS


def test_every_figure_has_its_own_name_and_follows_prometheus_rules():
    names = [figure.name for figure in metrics.FIGURES]
    assert len(set(names)) == len(names)
    for figure in metrics.FIGURES:
        assert figure.name.startswith("omegaprm_")
        assert figure.name.endswith("_total") == (figure.kind == "counter")
        assert figure.family(Meter(asyncio.Event(), progress=Progress(3)).snapshot()) is None or figure.text
