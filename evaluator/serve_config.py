"""Every flag of bin/serve-prm."""

from __future__ import annotations

import msgspec

from omegaprm.engine.errors import UsageError
from omegaprm.evaluator.config import Backend


class ServeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Score steps over HTTP: POST /pooling, with /health, /metrics and /v1/models beside it."""

    prm: str
    """Folder of the PRM."""
    scorer: Backend = "transformers"
    """What runs the PRM: transformers, or vLLM as a pooling model."""
    host: str = "127.0.0.1"
    """Address to listen on; there is no authentication, so one that others reach needs a proxy before it."""
    port: int = 8765
    """Port to listen on; 0 takes a free one, which is printed."""
    model_name: str = "prm"
    """Name of the PRM in requests and answers."""
    batch_size: int = 32
    """Solutions scored at once."""
    max_waiting: int = 1024
    """Solutions that may wait to be scored; a request beyond them is answered with 503."""
    max_body_mib: float = 32.0
    """Size of a request at the most, in MiB; a larger one is answered with 413."""
    image_root: str | None = None
    """Folder that image paths in requests start from; absolute ones must lie inside. Without it only data: URIs are
    taken."""
    drain_seconds: float = 20.0
    """Time that requests under way are given to finish after a signal."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_waiting"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 1")
        if not 0 <= self.port < 65536:
            raise UsageError(f"--port {self.port}: must be from 0 to 65535")
        if self.max_body_mib <= 0 or self.drain_seconds < 0:
            raise UsageError("--max-body-mib must be above 0 and --drain-seconds at least 0")
