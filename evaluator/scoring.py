"""Every distinct solution is scored once, and what is scored stays scored: the same command goes on.

Scores are kept in OUT/scores-<hash>.json, one file for each pair of a PRM and a set of solutions, replaced
whole and only when its successor is on disk.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from omegaprm.engine.errors import BadInput, ConfigurationError, Drained
from omegaprm.engine.files import write_whole
from omegaprm.engine.records import Candidates

if TYPE_CHECKING:
    from omegaprm.evaluator.scorer import Item

BATCHES_AT_ONCE = 4
"""Batches between two looks at the signals and the clock; the scorer sorts them by length."""

SAVE_SECONDS = 10.0
"""Work that a kill may cost."""

Scores = list[list[list[float]]]
"""[problem][candidate][step]."""


class StepScorer(Protocol):
    """A PRM: the chance that each step is right, one list an item, one number in [0, 1] a step."""

    def score_many(self, items: Sequence[Item]) -> list[list[float]]: ...


class Progress(Protocol):
    """Told how many of the distinct solutions have scores."""

    def __call__(self, num_scored: int, num_all: int) -> None: ...


class _Kept(msgspec.Struct):
    """What a score file holds; scores are by digest of the item, seconds what all of them took to make."""

    prm: str
    scores: dict[str, list[float]]
    seconds: float = 0.0


class Cost(msgspec.Struct, frozen=True):
    """What scoring took: distinct solutions, their steps, and seconds, loading left out, over all runs."""

    num_solutions: int
    num_steps: int
    seconds: float


class Scored(NamedTuple):
    """Scores of every candidate and what they took."""

    scores: Scores
    cost: Cost


def items_of(candidates: Sequence[Candidates], images: Sequence[tuple[str, ...]]) -> list[list[Item]]:
    """What the PRM reads for every candidate: [problem][candidate]."""
    from omegaprm.evaluator.scorer import Item

    return [
        [Item(problem.question, steps, of_problem) for steps in problem.solutions_splits]
        for problem, of_problem in zip(candidates, images, strict=True)
    ]


def score_all(
    items: Sequence[Sequence[Item]],
    prm: str,
    out: Path,
    open_scorer: Callable[[], StepScorer],
    batch_size: int,
    stopped: Callable[[], bool],
    progress: Progress,
    variant: str = "",
) -> Scored:
    """Scores of every candidate, from the file of an earlier run where they are there.

    The scorer is opened only where something is left to score. Drained where stopped() turns true: all scores
    so far are on disk then. variant tells scores apart that the same PRM gives in another way.
    """
    digests = [[digest(item) for item in of_problem] for of_problem in items]
    distinct = {
        key: item
        for keys, of_problem in zip(digests, items, strict=True)
        for key, item in zip(keys, of_problem, strict=True)
    }
    parts = [prm_fingerprint(Path(prm)), *([variant] if variant else [])]
    file = out / f"scores-{_hash([*parts, *sorted(distinct)])[:16]}.json"
    kept = _Kept(prm, *_read(file, distinct))
    if len(kept.scores) < len(distinct):
        _score_rest(distinct, kept, _Saver(file), open_scorer(), batch_size * BATCHES_AT_ONCE, stopped, progress)
    progress(len(distinct), len(distinct))
    cost = Cost(len(distinct), sum(map(len, kept.scores.values())), round(kept.seconds, 3))
    return Scored([[kept.scores[key] for key in keys] for keys in digests], cost)


def _score_rest(
    distinct: dict[str, Item],
    kept: _Kept,
    save: _Saver,
    scorer: StepScorer,
    num_at_once: int,
    stopped: Callable[[], bool],
    progress: Progress,
) -> None:
    """Score what is not kept yet, saving now and then; Drained, with everything saved, where stopped() is true."""
    left = [key for key in distinct if key not in kept.scores]
    for keys in _slices(left, num_at_once):
        progress(len(kept.scores), len(distinct))
        started = time.monotonic()
        kept.scores.update(_score([distinct[key] for key in keys], keys, scorer))
        kept.seconds += time.monotonic() - started
        save(kept, now=stopped() or len(kept.scores) == len(distinct))
        if stopped():
            told = f"stopped with {len(kept.scores)} of {len(distinct)} solutions scored"
            raise Drained(f"{told}: run the same command again")


def _score(items: list[Item], keys: list[str], scorer: StepScorer) -> dict[str, list[float]]:
    """Scores by digest; an item without steps has none to ask for."""
    asked = [item for item in items if item.steps]
    found = iter(scorer.score_many(asked)) if asked else iter(())
    scores = {key: list(next(found)) if item.steps else [] for key, item in zip(keys, items, strict=True)}
    for item, key in zip(items, keys, strict=True):
        if not _valid(scores[key], item):
            raise ConfigurationError(
                f"scores {scores[key]} of a solution with {len(item.steps)} steps: the PRM must give "
                f"one number in [0, 1] a step; question: {item.question[:80]!r}"
            )
    return scores


def _valid(scores: list[float], item: Item) -> bool:
    return len(scores) == len(item.steps) and all(0.0 <= score <= 1.0 for score in scores)


def _slices(keys: list[str], size: int) -> Iterator[list[str]]:
    return (keys[at : at + size] for at in range(0, len(keys), size))


def _read(file: Path, distinct: dict[str, Item]) -> tuple[dict[str, list[float]], float]:
    """Usable scores of an earlier run and their seconds; a file that cannot be read counts as none."""
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return {}, 0.0
    scores = {key: s for key, s in kept.scores.items() if key in distinct and _valid(s, distinct[key])}
    return scores, kept.seconds


class _Saver:
    """Replaces the score file when it is due: at most once in SAVE_SECONDS, or now."""

    def __init__(self, file: Path) -> None:
        self.file, self.last = file, time.monotonic()

    def __call__(self, kept: _Kept, now: bool) -> None:
        if now or time.monotonic() - self.last >= SAVE_SECONDS:
            write_whole(self.file, msgspec.json.encode(kept))
            self.last = time.monotonic()


def digest(item: Item) -> str:
    """Names an item by its text and the content of its images."""
    return _hash([item.question, *item.steps, "\0images", *map(_image_digest, item.images)])[:32]


_IMAGE_DIGESTS: dict[str, str] = {}


def _image_digest(path: str) -> str:
    if path not in _IMAGE_DIGESTS:
        try:
            _IMAGE_DIGESTS[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError as error:
            raise BadInput(f"image {path}: {error.strerror}") from error
    return _IMAGE_DIGESTS[path]


def prm_fingerprint(folder: Path) -> str:
    """Changes when a checkpoint's files are replaced: their names, sizes and times of change."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: must be the folder of a Hugging Face checkpoint")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    stats = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return _hash([str(folder.resolve()), *stats])


def _hash(parts: Sequence[str]) -> str:
    return hashlib.sha256(msgspec.json.encode(list(parts))).hexdigest()
