"""The flags that say how a run is shown and what it costs; nothing here changes a label."""

from __future__ import annotations

from omegaprm.engine.errors import UsageError
from omegaprm.engine.judge.flags import JudgeFlags
from omegaprm.engine.log import LogFormat

_PRICES = ("price_per_hour", "price_per_million_tokens", "judge_price_per_million_tokens")


class ReportingFlags(JudgeFlags, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run is shown while it goes on."""

    metrics_port: int | None = None
    """Port on 127.0.0.1 that answers /metrics (Prometheus) and /health; 0 takes a free one and names it."""
    metrics_socket: str | None = None
    """Unix socket that answers them, instead of a port or beside it."""
    log_format: LogFormat = "text"
    """"json": everything on stderr is one JSON object a line, counters every 5 s among them."""
    price_per_hour: float = 0.0
    """What this machine costs an hour, in any currency; with it, or one of the next two, the cost so far is shown."""
    price_per_million_tokens: float = 0.0
    """What a million tokens of rollouts cost, where an endpoint charges for them; prompts are not counted."""
    judge_price_per_million_tokens: float = 0.0
    """What a million tokens of the judge's model cost, prompt and reply alike."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.metrics_port is not None and not 0 <= self.metrics_port <= 65535:
            raise UsageError(f"--metrics-port {self.metrics_port}: must be from 0 to 65535")
        for name in _PRICES:
            if getattr(self, name) < 0:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 0")
