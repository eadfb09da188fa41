"""Every flag of bin/evaluate."""

from __future__ import annotations

from typing import Literal

import msgspec

from omegaprm.engine.errors import UsageError

Backend = Literal["transformers", "vllm"]
BenchmarkName = Literal["k12", "olympiadbench", "mathvista", "mathverse", "mathvision"]


class EvaluateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Best-of-N and step-level figures of a PRM on candidate solutions, beside random, votes and pass@N."""

    candidates: tuple[str, ...] = ()
    """Candidates files: JSON lists of {"id", "question", "correct_answer", "image_path", "solutions_splits",
    "labels", "answers"}, with "step_labels" too where step-level figures are wanted."""
    benchmark: BenchmarkName | None = None
    """The benchmark whose field names the candidates files have; its answer rule judges where labels are missing."""
    relabel: bool = False
    """Judge every answer by the benchmark's rule, also where the file has labels."""
    processbench: tuple[str, ...] = ()
    """ProcessBench files, such as gsm8k.json; each is a subset."""
    visualprocessbench: tuple[str, ...] = ()
    """VisualProcessBench files, such as test.jsonl; subsets by "data_source"."""
    prmbench: tuple[str, ...] = ()
    """PRMBench files; subsets by "classification"."""
    threshold: float | None = None
    """Score below which a step of these benchmarks is called wrong; default: 0.5, for ProcessBench chosen."""
    threshold_on: str | None = None
    """Subset on which the threshold is chosen; default for ProcessBench: its first file."""
    prm: str
    """Folder of the PRM."""
    baseline: str | None = None
    """Folder of a model to set beside it, such as the untrained policy."""
    compare: str | None = None
    """Folder of a second PRM: differences to it, paired by problem, with intervals."""
    out: str
    """Folder for evaluation.json, the pictures and the scores kept for the next run."""
    at: tuple[int, ...] = ()
    """Values of N at which every figure is given with its interval, beside the curves over all N."""
    scorer: Backend = "transformers"
    """What runs the PRM: transformers, or vLLM as a pooling model."""
    batch_size: int = 32
    """Solutions scored at once."""
    image_root: str | None = None
    """Folder that image paths start from; absolute ones must lie inside. Default: that of each candidates file."""
    title: str = "Best-of-N"
    """Heading of the table and the pictures."""
    draws: int = 2000
    """Bootstrap draws behind the intervals."""
    seed: int = 0
    """Seed of the bootstrap and of the vote curves."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "draws"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 1")
        if any(n < 1 for n in self.at):
            raise UsageError(f"--at {' '.join(map(str, self.at))}: each N must be at least 1")
        if self.threshold is not None and self.threshold_on is not None:
            raise UsageError("--threshold-on: goes with no --threshold, which is given already")
        if self.relabel and self.benchmark is None:
            raise UsageError("--relabel: needs --benchmark, whose answer rule it is to judge by")
