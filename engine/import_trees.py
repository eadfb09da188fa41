"""bin/import-trees: trees in MM-PRM's JSON into a store, so that what an earlier run has paid for can be exported."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tyro

from omegaprm.engine import journal
from omegaprm.engine.errors import BadInput, UsageError
from omegaprm.engine.image_paths import ImageError, relative
from omegaprm.engine.imported import IMPORTED, NOT_RECOVERED, BadTree, recovered
from omegaprm.engine.records import Problem
from omegaprm.engine.store import Store, Write
from omegaprm.engine.tree_json import State

SHOWN_REJECTIONS = 10
GROUP = 64
"""Trees that are committed at once."""


class ImportTreesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read trees in MM-PRM's JSON into a store for bin/export. What a file does not say is not made up."""

    trees: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Tree files, or folders of them."""
    store: str
    """Folder of the store; made if it is not there. Problems that it holds already are left as they are."""
    num_rollouts: int = 16
    """Rollouts a state in that run (k): a file gives MC alone. Files written by bin/export give the counts."""
    image_root: str = "."
    """Folder that image paths start from; absolute ones must lie inside."""

    def __post_init__(self) -> None:
        if self.num_rollouts < 1:
            raise UsageError(f"--num-rollouts {self.num_rollouts}: must be at least 1")


def import_trees(config: ImportTreesConfig) -> None:
    """Import what can be read, name what cannot. BadInput where no file holds a usable tree."""
    files = list(_files(config.trees))
    counts: Counter[str] = Counter()
    with Store.open(Path(config.store)) as store:
        store.bind(_fingerprint(config))
        taken: set[str] = {record.problem.id for record in journal.problem_records(store)}
        writes: list[Write] = []
        for at, file in enumerate(files, 1):
            writes += _import(config, file, taken, counts)
            if at % GROUP == 0 or at == len(files):
                asyncio.run(store.commit(writes))
                writes = []
    if not counts["trees"] and not counts["trees left out: in the store already"]:
        raise BadInput(f"{', '.join(config.trees)}: no usable tree in {len(files)} files")
    print("\n".join(f"{name}: {count}" for name, count in sorted(counts.items())))
    print(NOT_RECOVERED)


def _files(names: tuple[str, ...]) -> Iterator[Path]:
    """The JSON files named, those of folders in the order of their names. BadInput where there is none."""
    for name in names:
        path = Path(name)
        found = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not found or not found[0].exists():
            raise BadInput(f"{name}: there is no tree file there")
        yield from found


def _fingerprint(config: ImportTreesConfig) -> dict[str, str]:
    """Binds the store to imported trees of one k: bin/annotate refuses it, bin/export knows what it is."""
    return {IMPORTED: "MM-PRM's JSON", "num_rollouts": str(config.num_rollouts)}


def _import(config: ImportTreesConfig, file: Path, taken: set[str], counts: Counter[str]) -> list[Write]:
    """The writes for one file; none, and a line that says why, where it cannot be used."""
    try:
        problem, root = _read(file, Path(config.image_root))
        if problem.id in taken:
            counts["trees left out: in the store already"] += 1
            return []
        tree = recovered(problem, root, config.num_rollouts)
    except BadTree as error:
        counts["files rejected"] += 1
        if counts["files rejected"] <= SHOWN_REJECTIONS:
            print(f"rejected {file}: {error}")
        return []
    taken.add(problem.id)
    counts["trees"] += 1
    counts.update(tree.counts)
    return [journal.write_problem(tree.record), *(journal.write_estimate(problem.id, one) for one in tree.estimates)]


def _read(file: Path, image_root: Path) -> tuple[Problem, State]:
    try:
        value = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        root = msgspec.convert({"partial_solution": (), **value}, State)
    except OSError as error:
        raise BadTree(str(error.strerror)) from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadTree(f"must be a tree in MM-PRM's JSON: {error}") from error
    return _problem(value, file.stem, image_root), root


def _problem(value: dict[str, Any], name: str, image_root: Path) -> Problem:
    """The problem of a tree; a file without an id is known by its name."""
    for field in ("question", "answer"):
        if not isinstance(value.get(field), str | int | float) or not str(value[field]).strip():
            raise BadTree(f"{field}: must be given")
    paths = value.get("image_path") or []
    images = tuple(_below(image_root, path) for path in (paths if isinstance(paths, list) else [paths]))
    return Problem(
        id=str(value.get("id", name)),
        question=str(value["question"]),
        correct_answer=str(value["answer"]),
        image_paths=images,
        image_root=str(image_root.resolve()) if images else "",
    )


def _below(root: Path, name: object) -> str:
    """An image path relative to the root. The file need not be there: the tree is worth keeping without it."""
    if not isinstance(name, str):
        raise BadTree("image_path: must be text or a list of texts")
    try:
        return relative(root, name)
    except ImageError as error:
        raise BadTree(f"image_path: {error}") from error
