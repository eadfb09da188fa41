"""bin/export: stores -> training rows in MM-PRM's format; order and bytes depend on the stores' contents alone."""

from __future__ import annotations

import heapq
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tyro

from engine import journal
from engine.config import LATER_RULES, SearchRule
from engine.errors import BadInput, ConfigurationError, StoreFailed
from engine.partial import write_whole
from engine.records import Problem, ProblemRecord, TrainingRow, process_text
from engine.selection import Labelled, Selection, Wrong, select
from engine.store import Store, problem_key
from engine.tree import replay


class ExportConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Write the training rows of the finished trees in one or several stores."""

    stores: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Store folders; of a problem in several of them the first is taken."""
    out: str
    """Folder for train.jsonl, meta.json and counts.json."""
    name: str = "omegaprm"
    """Name of the data set in the meta file."""
    seed: int = 0
    """Draws the right solutions that stand beside the wrong ones."""
    wrong: Wrong = "searched"
    """"searched": wrong solutions whose first error a search found, as MM-PRM does; "searched-and-continued": also
    the rollouts from a state that no rollout could save."""
    mask_unestimated: bool = False
    """Mask steps inside a node instead of giving them the node's label."""


def export(config: ExportConfig) -> None:
    """Write DIR/train.jsonl, the InternVL meta file beside it, and the counts of what was kept and dropped."""
    counts: Counter[str] = Counter()
    with ExitStack() as opened:
        stores = [Store.open_reader(Path(path)) for path in config.stores]
        for store in stores:
            opened.callback(store.close)
        rows, roots = _all_rows(config, stores, counts)
    if not rows:
        raise BadInput(f"no rows to export from {', '.join(config.stores)}: {_sentence(counts)}")
    folder = _made(Path(config.out))
    root = os.path.commonpath(sorted(roots)) if roots else ""
    lines = [_line(row, image_root, root) for row, image_root in rows]
    meta = {
        config.name: {
            "root": root,
            "annotation": str((folder / "train.jsonl").resolve()),
            "data_augment": False,
            "repeat_time": 1,
            "length": len(lines),
        }
    }
    write_whole(folder / "train.jsonl", b"".join(lines))
    write_whole(folder / "meta.json", _pretty(meta))
    write_whole(folder / "counts.json", _pretty(dict(sorted(counts.items()))))
    print(_sentence(counts))


def _all_rows(
    config: ExportConfig, stores: Sequence[Store], counts: Counter[str]
) -> tuple[list[tuple[TrainingRow, str]], set[str]]:
    """Every row with its problem's image root, in the order of the problems' keys."""
    rows: list[tuple[TrainingRow, str]] = []
    roots: set[str] = set()
    for store, record in _records(stores, counts):
        for row in problem_rows(config, store, record, counts):
            rows.append((row, record.problem.image_root))
            if row.images:
                roots.add(record.problem.image_root)
    return rows, roots


def _records(stores: Sequence[Store], counts: Counter[str]) -> Iterator[tuple[Store, ProblemRecord]]:
    """The problems of all stores in the order of their keys, each once."""
    last = None
    for key, at, record in heapq.merge(*map(_keyed, range(len(stores)), stores), key=lambda item: item[:2]):
        counts["problems"] += 1
        if key == last:
            counts["problems dropped: in several stores"] += 1
        else:
            yield stores[at], record
        last = key


def _keyed(at: int, store: Store) -> Iterator[tuple[bytes, int, ProblemRecord]]:
    """One store's problems behind what they are merged by: their key, then the place of the store."""
    for record in journal.problem_records(store):
        yield problem_key(record.problem.id), at, record


def problem_rows(config: ExportConfig, store: Store, record: ProblemRecord, counts: Counter[str]) -> list[TrainingRow]:
    """The rows of one problem; none where its tree is unfinished or its root is all right or all wrong."""
    why = record.state if record.state != "done" else record.reason
    if why in ("open", "quarantined", "too hard", "too easy", "nothing judged"):
        counts[f"problems dropped: {why}"] += 1
        return []
    estimates = list(journal.estimates(store, record.problem.id))
    tree = replay(stored_rule(store), estimates)
    rng = random.Random(f"{config.seed} {record.problem.id}")
    selection = select(estimates, tree, rng, config.mask_unestimated, config.wrong)
    _count(counts, selection)
    return [_row(record.problem, at, solution) for at, solution in enumerate(selection.rows)]


def stored_rule(store: Store) -> SearchRule:
    """The search rule that a store was made under."""
    fingerprint = store.fingerprint()
    names = [name for name in SearchRule.__struct_fields__ if name in fingerprint or name not in LATER_RULES]
    try:
        values = {name: msgspec.json.decode(fingerprint[name].lower()) for name in names}
        return msgspec.convert(values, SearchRule)
    except (KeyError, msgspec.MsgspecError) as error:
        raise ConfigurationError(f"the store does not say by which search rule it was made: {error}") from error


def _count(counts: Counter[str], selection: Selection) -> None:
    counts["rows"] += len(selection.rows)
    counts["rows: wrong solutions"] += selection.num_wrong
    counts["rows: right solutions"] += len(selection.rows) - selection.num_wrong
    counts["solutions dropped: duplicate text"] += selection.num_duplicates
    counts["solutions dropped: right, not drawn"] += selection.num_right_not_drawn
    counts["problems kept" if selection.rows else "problems dropped: no first error found"] += 1


def _row(problem: Problem, at: int, solution: Labelled) -> TrainingRow:
    return TrainingRow(
        id=f"{problem.id}#{at}",
        question=problem.question,
        steps=solution.steps,
        labels=solution.labels,
        images=problem.image_paths,
    )


def _line(row: TrainingRow, image_root: str, root: str) -> bytes:
    """One row as MM-PRM's JSONL; image paths relative to the meta file's root."""
    images = [os.path.relpath(os.path.join(image_root, path), root) for path in row.images]
    value: dict[str, Any] = {"id": row.id}
    if images:
        value["image"] = images[0] if len(images) == 1 else images
    value["conversations"] = [
        {"from": "human", "value": process_text(row.question, row.steps)},
        {"from": "gpt", "value": row.labels},
    ]
    return msgspec.json.encode(value) + b"\n"


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _sentence(counts: Counter[str]) -> str:
    return "\n".join(f"{name}: {count}" for name, count in sorted(counts.items()))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(f"--out {folder}: {error.strerror}") from error
    return folder
