"""A run on a terminal: a bar and a few rows of numbers that are drawn anew in place. Pure but for the console."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from omegaprm.engine.shares import share_lines, warnings
from omegaprm.engine.snapshot import Snapshot, clock_text, eta_text

NAME_WIDTH = 10


def screen(snapshot: Snapshot) -> RenderableType:
    """A snapshot as a terminal shows it."""
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        Text("problems".ljust(NAME_WIDTH)),
        ProgressBar(total=max(snapshot.num_problems, 1), completed=snapshot.num_ended, width=40),
        Text(f"{snapshot.num_ended}/{snapshot.num_problems}"),
    )
    rows = Table.grid(padding=(0, 1))
    for name, text in _rows(snapshot):
        if text:
            rows.add_row(Text(name.ljust(NAME_WIDTH)), Text(text))
    return Group(bar, rows)


def _rows(snapshot: Snapshot) -> list[tuple[str, str]]:
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in snapshot.outcomes.items())
    return [
        ("", f"{snapshot.num_done} done, {snapshot.num_open} open, {snapshot.num_quarantined} quarantined"),
        ("rollouts", f"{snapshot.num_rollouts} ({snapshot.rollouts_per_second:.1f}/s)"),
        ("", outcomes),
        *(("", each) for each in share_lines(snapshot.shares)),
        *(("warning", each) for each in warnings(snapshot.shares)),
        ("tokens", f"{snapshot.num_tokens} ({snapshot.tokens_per_second:.0f}/s)"),
        ("engine", _engine(snapshot)),
        ("judge", _judge(snapshot)),
        ("cost", "" if snapshot.cost is None else f"{snapshot.cost:.2f}"),
        ("time", f"{clock_text(snapshot.elapsed_seconds)} elapsed, {eta_text(snapshot)} left; {snapshot.state}"),
    ]


def _engine(snapshot: Snapshot) -> str:
    if snapshot.kv_cache_use is None:
        return ""
    running, waiting = snapshot.num_requests_running, snapshot.num_requests_waiting
    return f"KV cache {snapshot.kv_cache_use:.0%}, {running} running, {waiting} waiting"


def _judge(snapshot: Snapshot) -> str:
    if snapshot.judge_queue is None:
        return ""
    asked = f", {snapshot.num_judge_requests} requests, {snapshot.num_judge_tokens} tokens"
    return f"{snapshot.judge_queue} waiting" + (asked if snapshot.num_judge_requests else "")


def live(console: Console) -> Live:
    """What draws on the console; lines printed meanwhile go above it."""
    return Live(console=console, auto_refresh=False, transient=True)
