"""A PRM and candidates in; a table, evaluation.json and three pictures out. The same command goes on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import StoreFailed
from evaluator.benchmarks import Rows
from evaluator.candidates import Loaded, load
from evaluator.config import EvaluateConfig
from evaluator.scoring import Cost, Scored, Scores, StepScorer, items_of, replace_file, score_all

__all__ = ["EvaluateConfig", "evaluate"]

OpenScorer = Callable[[str, int], StepScorer]
"""(folder of the checkpoint, batch size) -> its scorer."""

DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
REJECTED_SHOWN = 5


def evaluate(config: EvaluateConfig, open_scorer: OpenScorer | None = None) -> None:
    """Score, compute, write and print; open_scorer is that of --scorer unless given.

    Errors: BadInput without a usable entry, ConfigurationError for what is no PRM, Drained on a signal with
    all scores so far on disk, StoreFailed where the output cannot be written.
    """
    rows = Rows(config.benchmark, config.relabel) if config.benchmark else None
    loaded = load(config.candidates, config.image_root, rows or list)
    out = Path(config.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _drain_asked() as stopped:
            models = {"prm": config.prm, "baseline": config.baseline, "compare": config.compare}
            scored = {
                name: _scored(config, model, loaded, open_scorer, stopped) for name, model in models.items() if model
            }
        result = evaluation(config, loaded, scored)
        if rows:
            result["answers_judged"] = dict(rows.counts)
        replace_file(out / "evaluation.json", msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
        for name, content in pictures(config.title, result, loaded, scored["prm"].scores).items():
            replace_file(out / name, content)
    except OSError as error:
        raise StoreFailed(f"--out {out}: {error}") from error
    _print(config, result, loaded)


def evaluation(config: EvaluateConfig, loaded: Loaded, scored: dict[str, Scored]) -> dict[str, Any]:
    """What evaluation.json holds: the figures of the PRM and of the baseline, and what was skipped."""
    from evaluator.texts import variety

    return {
        "title": config.title,
        "config": msgspec.to_builtins(config),
        "prm": _figures_of(config, loaded, scored["prm"]),
        "baseline": _figures_of(config, loaded, scored["baseline"]) if "baseline" in scored else None,
        "comparison": _comparison(config, loaded, scored) if "compare" in scored else None,
        "problems": [msgspec.to_builtins(variety(problem)) for problem in loaded.candidates],
        "num_skipped": len(loaded.rejected),
        "skipped": [str(rejected) for rejected in loaded.rejected],
        "num_zero_everywhere": _num_zero_everywhere(scored["prm"].scores),
    }


def _num_zero_everywhere(scores: Scores) -> int:
    """Solutions whose every step scores exactly 0, as those do that the PRM's context cannot hold."""
    return sum(bool(steps) and not any(steps) for of_problem in scores for steps in of_problem)


def _figures_of(config: EvaluateConfig, loaded: Loaded, scored: Scored) -> dict[str, Any]:
    from evaluator.at_n import at_n
    from evaluator.best_of_n import figures
    from evaluator.step_level import step_level
    from evaluator.texts import over_texts

    scores, seeds = scored.scores, (config.draws, config.seed)
    labelled = [(s, y) for s, y in zip(scores, loaded.step_labels, strict=True) if y is not None]
    return {
        **figures(loaded.candidates, scores, *seeds),
        "step_level": step_level([s for s, _ in labelled], [y for _, y in labelled]) if labelled else None,
        "at_n": at_n(loaded.candidates, scores, config.at, *seeds) if config.at else {},
        "over_texts": over_texts(loaded.candidates, scores, *seeds),
        "cost": cost_figures(scored.cost),
    }


def cost_figures(cost: Cost) -> dict[str, Any]:
    """The cost of scoring for JSON, with scored steps a second."""
    return {
        **msgspec.to_builtins(cost),
        "steps_per_second": cost.num_steps / cost.seconds if cost.seconds else None,
    }


def _comparison(config: EvaluateConfig, loaded: Loaded, scored: dict[str, Scored]) -> dict[str, Any]:
    from evaluator.comparison import comparison

    first, second = scored["prm"].scores, scored["compare"].scores
    found = comparison(loaded.candidates, first, second, loaded.step_labels, config.at, config.draws, config.seed)
    return {"with": config.compare, **found, "figures": _figures_of(config, loaded, scored["compare"])}


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


def _scored(
    config: EvaluateConfig,
    prm: str,
    loaded: Loaded,
    open_scorer: OpenScorer | None,
    stopped: Callable[[], bool],
) -> Scored:
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
    from evaluator.tables import print_at_n, print_comparison, print_cost, print_over_texts

    console = Console()
    print_figures(console, config.title, result["prm"], result["baseline"])
    print_over_texts(console, result["prm"]["over_texts"])
    print_at_n(console, result["prm"]["at_n"])
    if result["comparison"]:
        print_comparison(console, result["comparison"])
    print_cost(console, result["prm"]["cost"])
    if result.get("answers_judged"):
        counts = ", ".join(f"{num} {outcome}" for outcome, num in sorted(result["answers_judged"].items()))
        console.print(f"answers judged by the benchmark's rule: {counts}")
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
