"""The flags of bin/bench: which figures, where to, and every flag of bin/annotate with a size that fits a bench."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from omegaprm.engine.bench.figures import FIGURES
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.errors import UsageError

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class BenchConfig(AnnotateConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Measure the figures named, or all, and print them as one JSON object. Progress goes to stderr.

    All flags of bin/annotate are there too, so that what a flag buys can be measured.
    """

    names: Positional[tuple[str, ...]] = ()
    """Figures to measure; none: all of them, which takes less than ten minutes on two cores."""
    against: str | None = None
    """An earlier output to compare with: each figure also gets its ratio to the value there."""
    out: str | None = None
    """A file to write the JSON to as well."""
    repeats: int = 3
    """Times that each figure is measured; its value is the median."""
    num_problems: int = 128
    """Problems of the figures on the real engine; the seeds are repeated under other ids where they are fewer."""
    num_serial_problems: int = 4
    """Problems of the serial side of speedup_over_serial."""
    serial_rollouts: int = 16
    """Rollouts an estimate on both sides of speedup_over_serial: the peers' batch."""
    serial_budget: int = 48
    """Rollouts a problem on both sides of speedup_over_serial."""
    serial_judge_seconds: float = 0.0
    """Time that the serial side's judge takes for an answer, as a large model would. Above 0, speedup_over_serial is
    also measured with this engine asking that judge, instead of deciding by rules in process."""
    seeds: tuple[str, ...] = (str(_EXAMPLES / "sums" / "seeds.json"),)
    """Seed files of the figures on the real engine."""
    model: str = str(_EXAMPLES / "policy")
    """Local folder of the policy, a Hugging Face model."""
    store: str = ""
    """Folder on the disk to measure, for stores that are deleted afterwards; default: a temporary folder."""
    concurrency: int = 512
    """Problems worked on at once."""
    max_new_tokens: int = 160
    """Tokens a rollout at the most."""
    num_rollouts: int = 8
    """Rollouts an estimate (k), on the real engine."""
    rollout_budget: int = 24
    """Rollouts a problem at the most, on the real engine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("repeats", "num_problems", "num_serial_problems", "serial_rollouts"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 1")
        if self.serial_judge_seconds < 0:
            raise UsageError(f"--serial-judge-seconds {self.serial_judge_seconds:g}: must be at least 0")
        if self.serial_budget < self.serial_rollouts:
            raise UsageError(
                f"--serial-budget {self.serial_budget}: must hold one estimate of --serial-rollouts "
                f"{self.serial_rollouts}"
            )
        known = [figure.name for figure in FIGURES]
        for name in self.names:
            if name not in known:
                raise UsageError(f"NAMES {name}: there is no such figure; there are {', '.join(known)}")
