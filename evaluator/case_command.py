"""bin/case-study: a right and a wrong solution with the PRM's confidence at every step, as PNG, SVG or HTML."""

from __future__ import annotations

from pathlib import Path

import msgspec

from omegaprm.engine.errors import BadInput, StoreFailed, UsageError
from omegaprm.engine.files import write_whole
from omegaprm.evaluator.candidates import Loaded, load
from omegaprm.evaluator.case_study import Case, find_case
from omegaprm.evaluator.models import variant_of
from omegaprm.evaluator.scoring import StepScorer, items_of, score_all

ENDINGS = (".png", ".svg", ".html")


class CaseStudyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Draw a right and a wrong solution of one problem with the PRM's score of every step, as MM-PRM's Figure 1."""

    candidates: tuple[str, ...]
    """Candidates files, as bin/evaluate takes them."""
    prm: str
    """Folder of the PRM."""
    out: str
    """File to write; its ending says what: .png, .svg or .html."""
    id: str | None = None
    """The problem to show; default: the median one, neither the best nor the worst case."""
    scores: str | None = None
    """Folder of kept scores, such as --out of bin/evaluate: what is scored there is not scored again. Default: that
    of the file."""
    image_root: str | None = None
    """Folder that image paths start from; absolute ones must lie inside. Default: that of each candidates file."""
    batch_size: int = 32
    """Solutions scored at once."""

    def __post_init__(self) -> None:
        if isinstance(self.out, str) and Path(self.out).suffix not in ENDINGS:
            raise UsageError(f"--out {self.out}: must end with one of {', '.join(ENDINGS)}")
        if self.batch_size < 1:
            raise UsageError(f"--batch-size {self.batch_size}: must be at least 1")


def case_study(config: CaseStudyConfig, scorer: StepScorer | None = None) -> None:
    """Score, choose, draw, write. BadInput where no problem, or not the one asked for, has both kinds of solutions."""
    loaded = load(config.candidates, config.image_root)
    chosen = _only(loaded, config.id) if config.id is not None else loaded
    kept = Path(config.scores) if config.scores is not None else Path(config.out).parent
    whole = loaded if config.scores is not None else chosen
    try:
        kept.mkdir(parents=True, exist_ok=True)
        Path(config.out).parent.mkdir(parents=True, exist_ok=True)
        scored = score_all(
            items_of(whole.candidates, whole.images),
            config.prm,
            kept,
            lambda: scorer or _opened(config),
            config.batch_size,
            lambda: False,
            lambda scored, num_all: None,
            variant_of("transformers", config.prm),
        ).scores
        at = [whole.candidates.index(problem) for problem in chosen.candidates]
        case = find_case(chosen.candidates, [scored[index] for index in at], chosen.images)
        if case is None:
            raise BadInput(f"{config.id or 'candidates'}: no problem there has a right and a wrong solution")
        write_whole(Path(config.out), drawn(case, Path(config.out).suffix))
    except OSError as error:
        raise StoreFailed(f"--out {config.out}: {error.strerror or error}") from error


def drawn(case: Case, ending: str) -> bytes:
    """The case as a file with this ending."""
    from omegaprm.evaluator.case_picture import case_picture

    if ending != ".html":
        return case_picture(case, ending.removeprefix("."))
    from omegaprm.evaluator.case_page import case_page

    return case_page(case).encode("utf-8", "replace")


def _only(loaded: Loaded, problem_id: str) -> Loaded:
    at = [index for index, problem in enumerate(loaded.candidates) if problem.id == problem_id]
    if not at:
        raise BadInput(f"--id {problem_id}: the candidates hold no such problem")
    return Loaded(
        tuple(loaded.candidates[index] for index in at),
        tuple(loaded.images[index] for index in at),
        tuple(loaded.step_labels[index] for index in at),
    )


def _opened(config: CaseStudyConfig) -> StepScorer:
    from omegaprm.evaluator.scorer import Scorer

    return Scorer(config.prm, config.batch_size)
