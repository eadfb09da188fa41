"""A PRM and candidates in; a table, evaluation.json and three pictures out. The same command goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from omegaprm.engine.errors import ConfigurationError, StoreFailed, UsageError
from omegaprm.engine.files import write_whole
from omegaprm.evaluator.benchmarks import Rows
from omegaprm.evaluator.candidates import Loaded, load
from omegaprm.evaluator.config import EvaluateConfig
from omegaprm.evaluator.models import OpenScorer, drain_asked, score_parts
from omegaprm.evaluator.scoring import Cost, Scored, Scores, items_of
from omegaprm.evaluator.step_benchmarks import READERS, Samples, read

if TYPE_CHECKING:
    from omegaprm.evaluator.scorer import Item

__all__ = ["EvaluateConfig", "evaluate"]

CANDIDATES = "candidates"
"""The part of the work that is no step benchmark."""

REJECTED_SHOWN = 5


class Work(msgspec.Struct, frozen=True):
    """All that the PRMs are asked about: candidates, where there are some, and step benchmarks by name."""

    loaded: Loaded | None
    samples: dict[str, Samples]
    answers_judged: dict[str, int]

    @property
    def rejected(self) -> list[str]:
        """What was skipped, in words."""
        sources = [*([self.loaded] if self.loaded else []), *self.samples.values()]
        return [str(rejected) for source in sources for rejected in source.rejected]

    def parts(self) -> dict[str, list[list[Item]]]:
        from omegaprm.evaluator.scorer import Item

        found = {CANDIDATES: items_of(self.loaded.candidates, self.loaded.images)} if self.loaded else {}
        for name, samples in self.samples.items():
            found[name] = [[Item(one.question, one.steps, one.images) for one in samples.solutions]]
        return found


def evaluate(config: EvaluateConfig, open_scorer: OpenScorer | None = None) -> None:
    """Score, compute, write and print; open_scorer is that of --scorer unless given.

    Errors: BadInput without a usable entry, ConfigurationError for what is no PRM, Drained on a signal with
    all scores so far on disk, StoreFailed where the output cannot be written.
    """
    models = {"prm": config.prm, "baseline": config.baseline, "compare": config.compare}
    _require_files(config)
    if open_scorer is None:
        _require_checkpoints(models)
    work = _read(config)
    out = Path(config.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with drain_asked() as stopped:
            parts = work.parts()
            scored = {
                name: score_parts(config, model, parts, open_scorer, stopped) for name, model in models.items() if model
            }
        result = evaluation(config, work, scored)
        write_whole(out / "evaluation.json", msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
        if work.loaded:
            for name, content in pictures(config.title, result, work.loaded, scored["prm"][CANDIDATES].scores).items():
                write_whole(out / name, content)
    except OSError as error:
        raise StoreFailed(f"--out {out}: {error.strerror or error}") from error
    _print(config, result)


def _require_files(config: EvaluateConfig) -> None:
    if not config.candidates and not any(getattr(config, name) for name in READERS):
        raise UsageError("--candidates: must name files, unless there are some of a step benchmark (--processbench)")


def _require_checkpoints(models: dict[str, str | None]) -> None:
    """ConfigurationError, before anything heavy is imported, where a flag names no model."""
    for name, model in models.items():
        if model and not (Path(model) / "config.json").is_file():
            raise ConfigurationError(
                f"--{name} {model}: must be the folder of a Hugging Face checkpoint, with config.json"
            )


def _read(config: EvaluateConfig) -> Work:
    rows = Rows(config.benchmark, config.relabel) if config.benchmark else None
    loaded = load(config.candidates, config.image_root, rows or list) if config.candidates else None
    samples = {name: read(name, given, config.image_root) for name in READERS if (given := getattr(config, name))}
    return Work(loaded, samples, dict(rows.counts) if rows else {})


def evaluation(config: EvaluateConfig, work: Work, scored: dict[str, dict[str, Scored]]) -> dict[str, Any]:
    """What evaluation.json holds: the figures of every PRM, their comparison, and what was skipped."""
    on_candidates = {name: of_model[CANDIDATES] for name, of_model in scored.items() if CANDIDATES in of_model}
    result: dict[str, Any] = {
        "title": config.title,
        "config": msgspec.to_builtins(config),
        "prm": None,
        "baseline": None,
        "comparison": None,
        "num_skipped": len(work.rejected),
        "skipped": work.rejected,
        "answers_judged": work.answers_judged,
        "step_benchmarks": {name: _step_benchmarks(config, work, of_model) for name, of_model in scored.items()},
    }
    return result | (_of_candidates(config, work.loaded, on_candidates) if work.loaded else {})


def _of_candidates(config: EvaluateConfig, loaded: Loaded, scored: dict[str, Scored]) -> dict[str, Any]:
    from omegaprm.evaluator.texts import variety

    found = {name: _figures_of(config, loaded, of_model) for name, of_model in scored.items()}
    return {
        "prm": found["prm"],
        "baseline": found.get("baseline"),
        "comparison": _comparison(config, loaded, scored) | {"figures": found["compare"]} if config.compare else None,
        "problems": [msgspec.to_builtins(variety(problem)) for problem in loaded.candidates],
        "num_zero_everywhere": _num_zero_everywhere(scored["prm"].scores),
    }


def _num_zero_everywhere(scores: Scores) -> int:
    """Solutions whose every step scores exactly 0, as those do that the PRM's context cannot hold."""
    return sum(bool(steps) and not any(steps) for of_problem in scores for steps in of_problem)


def _figures_of(config: EvaluateConfig, loaded: Loaded, scored: Scored) -> dict[str, Any]:
    from omegaprm.evaluator.at_n import at_n
    from omegaprm.evaluator.best_of_n import figures
    from omegaprm.evaluator.step_level import step_level
    from omegaprm.evaluator.texts import over_texts

    scores, seeds = scored.scores, (config.draws, config.seed)
    labelled = [(s, y) for s, y in zip(scores, loaded.step_labels, strict=True) if y is not None]
    return {
        **figures(loaded.candidates, scores, *seeds),
        "step_level": step_level([s for s, _ in labelled], [y for _, y in labelled]) if labelled else None,
        "at_n": at_n(loaded.candidates, scores, config.at, *seeds) if config.at else {},
        "over_texts": over_texts(loaded.candidates, scores, *seeds),
        "cost": _cost(scored.cost),
    }


def _cost(cost: Cost) -> dict[str, Any]:
    """The cost of scoring for JSON, with scored steps a second."""
    speed = cost.num_steps / cost.seconds if cost.seconds else None
    return {**msgspec.to_builtins(cost), "steps_per_second": speed}


def _comparison(config: EvaluateConfig, loaded: Loaded, scored: dict[str, Scored]) -> dict[str, Any]:
    from omegaprm.evaluator.comparison import comparison

    first, second = scored["prm"].scores, scored["compare"].scores
    found = comparison(loaded.candidates, first, second, loaded.step_labels, config.at, config.draws, config.seed)
    return {"with": config.compare, **found}


def _step_benchmarks(config: EvaluateConfig, work: Work, scored: dict[str, Scored]) -> dict[str, Any]:
    """One model's figures by benchmark."""
    from omegaprm.evaluator.step_figures import macro_figures, process_figures

    found = {}
    for name, samples in work.samples.items():
        figures = process_figures if name == "processbench" else macro_figures
        choice = (config.threshold, config.threshold_on, config.draws, config.seed)
        found[name] = figures(samples.solutions, scored[name].scores[0], *choice) | {"cost": _cost(scored[name].cost)}
    return found


def pictures(title: str, result: dict[str, Any], loaded: Loaded, scores: Scores) -> dict[str, bytes]:
    """PNGs by file name; no case study where no problem has a right and a wrong solution."""
    from omegaprm.evaluator.case_picture import case_picture
    from omegaprm.evaluator.case_study import find_case
    from omegaprm.evaluator.plots import aggregations_plot, best_of_n_plot

    case = find_case(loaded.candidates, scores, loaded.images)
    return {
        "best_of_n.png": best_of_n_plot(result["prm"], title),
        "aggregations.png": aggregations_plot(result["prm"], title, result["baseline"]),
        **({"case_study.png": case_picture(case)} if case else {}),
    }


def _print(config: EvaluateConfig, result: dict[str, Any]) -> None:
    from rich.console import Console

    from omegaprm.evaluator.tables import print_candidates, print_step_benchmark

    console = Console()
    if result["prm"]:
        print_candidates(console, config.title, result)
    for model, benchmarks in result["step_benchmarks"].items():
        for name, figures in benchmarks.items():
            print_step_benchmark(console, name, model, figures)
    for rejected in result["skipped"][:REJECTED_SHOWN]:
        console.print(f"skipped {rejected}", markup=False, highlight=False)
    if result["num_skipped"] > REJECTED_SHOWN:
        console.print(f"{result['num_skipped']} entries were skipped, all named in evaluation.json")
    console.print(f"written to {config.out}", markup=False, highlight=False)
