"""A PRM and candidates in; a table, evaluation.json and three pictures out. The same command goes on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import StoreFailed, UsageError
from evaluator.candidates import Loaded, load
from evaluator.scoring import Scores, StepScorer, items_of, replace_file, score_all

OpenScorer = Callable[[str, int], StepScorer]
"""(folder of the checkpoint, batch size) -> its scorer."""

DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
REJECTED_SHOWN = 5


class EvaluateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Best-of-N and step-level figures of a PRM on candidate solutions, beside random, votes and pass@N."""

    candidates: tuple[str, ...]
    """Candidates files: JSON lists of {"id", "question", "correct_answer", "image_path", "solutions_splits",
    "labels", "answers"}, with "step_labels" too where step-level figures are wanted."""
    prm: str
    """Folder of the PRM."""
    baseline: str | None = None
    """Folder of a model to set beside it, such as the untrained policy."""
    out: str
    """Folder for evaluation.json, the pictures and the scores kept for the next run."""
    batch_size: int = 32
    """Solutions scored at once."""
    image_root: str | None = None
    """Folder that image paths are relative to and never leave; default: that of each candidates file."""
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


def evaluate(config: EvaluateConfig, open_scorer: OpenScorer | None = None) -> None:
    """Score, compute, write and print; open_scorer is evaluator.scorer.Scorer unless given.

    Errors: BadInput without a usable entry, ConfigurationError for what is no PRM, Drained on a signal with
    all scores so far on disk, StoreFailed where the output cannot be written.
    """
    loaded = load(config.candidates, config.image_root)
    out = Path(config.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _drain_asked() as stopped:
            scores = _scores(config, config.prm, loaded, open_scorer, stopped)
            other = _scores(config, config.baseline, loaded, open_scorer, stopped) if config.baseline else None
        result = evaluation(config, loaded, scores, other)
        replace_file(out / "evaluation.json", msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
        for name, content in pictures(config.title, result, loaded, scores).items():
            replace_file(out / name, content)
    except OSError as error:
        raise StoreFailed(f"--out {out}: {error}") from error
    _print(config, result, loaded)


def evaluation(config: EvaluateConfig, loaded: Loaded, scores: Scores, other: Scores | None) -> dict[str, Any]:
    """What evaluation.json holds: the figures of the PRM and of the baseline, and what was skipped."""
    return {
        "title": config.title,
        "config": msgspec.to_builtins(config),
        "prm": _figures_of(config, loaded, scores),
        "baseline": _figures_of(config, loaded, other) if other is not None else None,
        "num_skipped": len(loaded.rejected),
        "skipped": [str(rejected) for rejected in loaded.rejected],
        "num_zero_everywhere": _num_zero_everywhere(scores),
    }


def _num_zero_everywhere(scores: Scores) -> int:
    """Solutions whose every step scores exactly 0, as those do that the PRM's context cannot hold."""
    return sum(bool(steps) and not any(steps) for of_problem in scores for steps in of_problem)


def _figures_of(config: EvaluateConfig, loaded: Loaded, scores: Scores) -> dict[str, Any]:
    from evaluator.best_of_n import figures
    from evaluator.step_level import step_level

    labelled = [(s, y) for s, y in zip(scores, loaded.step_labels, strict=True) if y is not None]
    found = figures(loaded.candidates, scores, config.draws, config.seed)
    found["step_level"] = step_level([s for s, _ in labelled], [y for _, y in labelled]) if labelled else None
    return found


def pictures(title: str, result: dict[str, Any], loaded: Loaded, scores: Scores) -> dict[str, bytes]:
    """PNGs by file name; no case study where no problem has a right and a wrong solution."""
    from evaluator.case_picture import case_picture
    from evaluator.case_study import find_case
    from evaluator.plots import aggregations_plot, best_of_n_plot

    case = find_case(loaded.candidates, scores, loaded.images)
    return {
        "best_of_n.png": best_of_n_plot(result["prm"], title),
        "aggregations.png": aggregations_plot(result["prm"], title, result["baseline"]),
        **({"case_study.png": case_picture(case)} if case else {}),
    }


def _scores(
    config: EvaluateConfig,
    prm: str,
    loaded: Loaded,
    open_scorer: OpenScorer | None,
    stopped: Callable[[], bool],
) -> Scores:
    from rich.progress import Progress

    def opened() -> StepScorer:
        if open_scorer is not None:
            return open_scorer(prm, config.batch_size)
        from evaluator.scorer import Scorer

        return Scorer(prm, config.batch_size)

    with Progress(transient=True) as bar:
        task = bar.add_task(f"scoring with {Path(prm).name}")
        return score_all(
            items_of(loaded.candidates, loaded.images),
            prm,
            Path(config.out),
            opened,
            config.batch_size,
            stopped,
            lambda scored, num_all: bar.update(task, completed=scored, total=num_all),
        )


@contextmanager
def _drain_asked() -> Iterator[Callable[[], bool]]:
    """Whether a signal has asked to stop; a second one ends the process at once."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        for each in DRAIN_SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    earlier = {number: signal.signal(number, note) for number in DRAIN_SIGNALS}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _print(config: EvaluateConfig, result: dict[str, Any], loaded: Loaded) -> None:
    from rich.console import Console

    from evaluator.table import print_figures, print_step_level

    console = Console()
    print_figures(console, config.title, result["prm"], result["baseline"])
    for name in ("prm", "baseline"):
        if result[name] and result[name]["step_level"]:
            print_step_level(console, result[name]["step_level"], name)
    if result["num_zero_everywhere"]:
        num = result["num_zero_everywhere"]
        console.print(f"{num} solutions score 0 at every step, as those too long for the PRM's context do")
    for rejected in loaded.rejected[:REJECTED_SHOWN]:
        console.print(f"skipped {rejected}", markup=False, highlight=False)
    if len(loaded.rejected) > REJECTED_SHOWN:
        console.print(f"{len(loaded.rejected)} entries were skipped, all named in evaluation.json")
    console.print(f"written to {config.out}", markup=False, highlight=False)
