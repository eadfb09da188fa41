"""Each PRM of an evaluation scores every part of its work; a signal stops it with all scores so far on disk."""

from __future__ import annotations

import datetime
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omegaprm.engine import template_date
from omegaprm.evaluator.config import EvaluateConfig
from omegaprm.evaluator.scoring import Scored, StepScorer, score_all

if TYPE_CHECKING:
    from omegaprm.evaluator.scorer import Item

OpenScorer = Callable[[str, int], StepScorer]
"""(folder of the checkpoint, batch size) -> its scorer."""

Parts = Mapping[str, Sequence[Sequence["Item"]]]
"""What is to be scored, by the name of the part: [problem][candidate]."""

DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def score_parts(
    config: EvaluateConfig, model: str, parts: Parts, open_scorer: OpenScorer | None, stopped: Callable[[], bool]
) -> dict[str, Scored]:
    """Scores of one model by part; its scorer is opened once, and only where something is left to score."""
    from rich.progress import Progress

    opened: list[StepScorer] = []

    def scorer() -> StepScorer:
        if not opened:
            opened.append((open_scorer or scorer_of(config))(model, config.batch_size))
        return opened[0]

    found = {}
    with Progress(transient=True) as bar:
        for name, items in parts.items():
            task = bar.add_task(f"scoring {name} with {Path(model).name}")

            def progress(scored: int, num_all: int, task: int = task) -> None:
                bar.update(task, completed=scored, total=num_all)  # type: ignore[arg-type]

            variant = variant_of(config.scorer, model, _date_of(config, model))
            out = Path(config.out)
            found[name] = score_all(items, model, out, scorer, config.batch_size, stopped, progress, variant)
    return found


def scorer_of(config: EvaluateConfig) -> OpenScorer:
    """The scorer that --scorer names; a model that records no date of its inputs, as a baseline, has the PRM's."""
    if config.scorer == "vllm":
        from omegaprm.evaluator.vllm_scorer import VllmScorer

        return lambda model, _: VllmScorer(model, date=_date_of(config, model))
    from omegaprm.evaluator.scorer import Scorer

    return lambda model, batch_size: Scorer(model, batch_size, date=_date_of(config, model))


def _date_of(config: EvaluateConfig, model: str) -> datetime.date | None:
    return template_date.recorded(model) or template_date.recorded(config.prm)


def variant_of(scorer: str, model: str, date: datetime.date | None = None) -> str:
    """Tells apart scores that a model's files alone do not: those of another scorer, or of inputs of another date.

    date: that of the inputs, where it is not the default.
    """
    names = template_date.named(model) if template_date.recorded(model) is None else frozenset()
    written = bool(names) and (date is not None or template_date.NOW in names)
    dated = [f"prompt date {date or template_date.UNRECORDED}"] if written else []
    return " ".join([*([scorer] if scorer != "transformers" else []), *dated])


@contextmanager
def drain_asked() -> Iterator[Callable[[], bool]]:
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
