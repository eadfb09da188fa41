"""The flags of bin/view."""

from __future__ import annotations

from typing import Annotated

import msgspec
import tyro

from omegaprm.engine.commands import require_stores
from omegaprm.engine.errors import UsageError

MAX_PORT = 65535


class ViewConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Serve the trees of one or several stores to a browser, also while they grow. Ends on Ctrl-C."""

    stores: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Store folders."""
    host: str = "127.0.0.1"
    """Address to listen at. There is no password: another one than loopback shows the stores to all who reach it."""
    port: int = 8417
    """Port to listen at; 0 takes a free one."""
    image_root: str | None = None
    """Folder that image paths are relative to, where it is not the one that the store names."""
    prm_scores: tuple[str, ...] = ()
    """JSONL files of {"id", "steps", "scores"}: a PRM's score of every step, shown beside its MC."""

    def __post_init__(self) -> None:
        require_stores(self.stores)
        if not 0 <= self.port <= MAX_PORT:
            raise UsageError(f"--port {self.port}: must be from 0 to {MAX_PORT}")
