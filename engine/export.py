"""bin/export: stores -> training rows or trees; order and bytes depend on the stores' contents alone."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import tyro

from omegaprm.engine import journal
from omegaprm.engine.certainty import step_counts
from omegaprm.engine.commands import require_stores
from omegaprm.engine.config import LATER_RULES, PART_RULE, SearchRule
from omegaprm.engine.consensus import Contradiction, LabelSource, relabelled
from omegaprm.engine.data_card import data_card
from omegaprm.engine.errors import BadInput, ConfigurationError, StoreFailed, UsageError
from omegaprm.engine.files import write_whole
from omegaprm.engine.formats import WRITERS, Format, RowSet, pretty
from omegaprm.engine.imported import IMPORTED, NOT_RECOVERED, assembled
from omegaprm.engine.merging import OTHER, merged
from omegaprm.engine.opinions import only_judge, opinions_of
from omegaprm.engine.prompt_version import note
from omegaprm.engine.records import Estimate, Problem, ProblemRecord, TrainingRow
from omegaprm.engine.selection import Labelled, RowRule, Selection, Wrong, select
from omegaprm.engine.shares import Shares, tallied, tally, warnings
from omegaprm.engine.store import Store, problem_key
from omegaprm.engine.tree import Tree, replay
from omegaprm.engine.tree_json import tree_json

STILL_OPEN = "open, its tree still growing"
TREE_FILE = re.compile(r"[0-9a-f]{32}\.json")
OPEN = f"problems dropped: {STILL_OPEN}"


class ExportConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Write the training rows of the finished trees in one or several stores."""

    stores: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Store folders; of a problem in several of them the first finished tree is taken."""
    out: str
    """Folder for the rows or trees, counts.json and a data card, README.md."""
    format: Format = "mmprm"
    """"mmprm": training rows for bin/train; "trl", "parquet", "processbench": the same rows for others; "trees":
    the whole trees in MM-PRM's JSON."""
    name: str = "omegaprm"
    """Name of the data set in the meta file and on the data card."""
    seed: int = 0
    """Draws the right solutions that stand beside the wrong ones."""
    wrong: Wrong = "searched"
    """"searched": wrong solutions whose first error a search found, as MM-PRM does; "searched-and-continued": also
    the rollouts from a state that no rollout could save."""
    mask_unestimated: bool = False
    """Mask steps inside a node instead of giving them the node's label."""
    min_judged: int = 0
    """Take no label from a state with fewer judged rollouts; a wrong solution whose first error is one is dropped."""
    error_at_most: float = 0.0
    """In a wrong solution take an earlier step whose MC is above 0 but at most this, too, for its first error: a wrong
    step that a rollout recovered from by luck. 0: MC = 0 alone is an error, as MM-PRM has it."""
    right_above: float = 0.0
    """Leave out right solutions that pass a state with an MC below this share of the root's: many of them hold a wrong
    step and came right by luck. 0: all are drawn from, as MM-PRM does."""
    counts: bool = False
    """Write beside each row's labels what they rest on: "counts", [correct, judged] a step, and "intervals", the 95 %
    Wilson interval of the value."""
    label_source: LabelSource = "mc"
    """"mc": labels by the rollouts; "judge": by the opinions that bin/judge-steps stored, 1 or 0; "consensus": by the
    rollouts where the judge agrees, masked where it does not."""
    consensus: bool = False
    """Short for --label-source consensus."""
    judge_model: str | None = None
    """Whose opinions count, where the stores hold those of several judges."""

    def __post_init__(self) -> None:
        if self.min_judged < 0:
            raise UsageError(f"--min-judged {self.min_judged}: must be at least 0")
        if not 0 <= self.error_at_most < 1:
            raise UsageError(f"--error-at-most {self.error_at_most}: must be at least 0 and below 1")
        if not 0 <= self.right_above <= 1:
            raise UsageError(f"--right-above {self.right_above}: must be at least 0 and at most 1")
        require_stores(self.stores)
        if self.consensus and self.label_source == "judge":
            raise UsageError("--consensus: cannot be given together with --label-source judge")
        if self.format == "trees" and self.source != "mc":
            raise UsageError(f"--label-source {self.source}: trees hold rollouts and no labels; leave it out")
        if self.counts and self.source == "judge":
            raise UsageError("--counts: says what rollouts' labels rest on; leave it out with --label-source judge")
        if self.judge_model is not None and self.source == "mc":
            raise UsageError(f"--judge-model {self.judge_model}: needs --label-source judge or consensus")

    @property
    def source(self) -> LabelSource:
        return "consensus" if self.consensus else self.label_source

    @property
    def row_rule(self) -> RowRule:
        return RowRule(**{name: getattr(self, name) for name in RowRule.__struct_fields__})


def export(config: ExportConfig) -> None:
    """Write the rows or trees into DIR, and beside them the counts of what was kept and dropped and a data card."""
    counts: Counter[str] = Counter()
    found: list[Contradiction] = []
    with ExitStack() as opened:
        stores = [opened.enter_context(Store.open_reader(Path(path))) for path in config.stores]
        settings = [store.fingerprint() for store in stores]
        notes = [NOT_RECOVERED] if any(IMPORTED in setting for setting in settings) else []
        if config.format == "trees":
            _write_trees(config, stores, counts)
        else:
            _write_rows(config, stores, settings, counts, found)
    notes += [said for name, setting in zip(config.stores, settings, strict=True) if (said := note(name, setting))]
    notes += _notes(counts)
    examples = {"contradictions": found} if config.source == "consensus" else {}
    write_whole(Path(config.out) / "counts.json", pretty(dict(sorted(counts.items())) | examples))
    card = data_card(config.format, config.name, _label_rule(config), settings, counts, notes)
    write_whole(Path(config.out) / "README.md", card)
    print("\n".join([_sentence(counts), *notes]))


def _write_rows(
    config: ExportConfig,
    stores: Sequence[Store],
    settings: Sequence[dict[str, str]],
    counts: Counter[str],
    found: list[Contradiction],
) -> None:
    """Write the rows; found takes examples of steps that rollouts and judge contradict each other on."""
    judge = only_judge(stores, config.judge_model) if config.source != "mc" else None
    rows, roots = _all_rows(config, stores, judge, counts, found)
    if not rows:
        raise BadInput(f"no rows to export from {', '.join(config.stores)}: {_sentence(counts)}")
    root = os.path.commonpath(sorted(roots)) if roots else ""
    generators = sorted({setting["model"] for setting in settings if "model" in setting})
    row_set = RowSet(
        name=config.name,
        rows=[_below(root, row, image_root) for row, image_root in rows],
        root=root,
        generator=" ".join(generators),
    )
    WRITERS[config.format](_made(Path(config.out)), row_set, counts)
    if roots and config.format != "mmprm":
        print(f"image paths are relative to {root}")


def _write_trees(config: ExportConfig, stores: Sequence[Store], counts: Counter[str]) -> None:
    """One file a finished problem, named by its key; those of an earlier export that has others are gone."""
    folder = _made(Path(config.out) / "trees")
    left = {path.name for path in folder.iterdir() if TREE_FILE.fullmatch(path.name)}
    for store, record in merged(stores, counts):
        if record.state != "done" or record.root.judged == 0:
            _count_dropped(counts, record)
            continue
        estimates, tree = journal.finished_tree(store, record, partial(tree_of, store))
        tally(counts, Shares().adding(estimates))
        name = f"{problem_key(record.problem.id).hex()}.json"
        left.discard(name)
        write_whole(folder / name, pretty(tree_json(record.problem, estimates, tree)))
        counts["trees"] += 1
    if not counts["trees"]:
        raise BadInput(f"no trees to export from {', '.join(config.stores)}: {_sentence(counts)}")
    for name in left:
        (folder / name).unlink(missing_ok=True)


def _label_rule(config: ExportConfig) -> dict[str, object]:
    """The flags that decide the rows and their labels; a tree is written as it grew."""
    if config.format == "trees":
        return {}
    rule: dict[str, object] = {
        name: getattr(config, name) for name in ("wrong", "mask_unestimated", "min_judged", "seed")
    }
    later = {name: getattr(config, name) for name in ("error_at_most", "right_above")}
    rule |= {name: value for name, value in later.items() if value}
    return rule if config.source == "mc" else rule | {"label_source": config.source}


def _notes(counts: Counter[str]) -> list[str]:
    """What a reader of the counts must not overlook."""
    notes = []
    if num_open := counts.get(OPEN, 0):
        growing = "their trees were still growing. Export again once annotate has ended."
        notes.append(f"{num_open} problems are left out: {growing}")
    if num_other := counts.get(OTHER, 0):
        notes.append(f"{num_other} problems are left out: others have their ids; give them ids of their own.")
    return notes + warnings(tallied(counts))


def _all_rows(
    config: ExportConfig,
    stores: Sequence[Store],
    judge: str | None,
    counts: Counter[str],
    found: list[Contradiction],
) -> tuple[list[tuple[TrainingRow, str]], set[str]]:
    """Every row with its problem's image root, in the order of the problems' keys."""
    rows: list[tuple[TrainingRow, str]] = []
    roots: set[str] = set()
    for store, record in merged(stores, counts):
        solutions = problem_rows(config, store, record, counts)
        if judge is not None:
            opinions = opinions_of(store, record.problem.id, judge)
            solutions = relabelled(config.source, solutions, opinions, counts, found)
        for row in solutions:
            rows.append((row, record.problem.image_root))
            if row.images:
                roots.add(record.problem.image_root)
    return rows, roots


def problem_rows(config: ExportConfig, store: Store, record: ProblemRecord, counts: Counter[str]) -> list[TrainingRow]:
    """The rows of one problem; none where its tree is unfinished or its root is all right or all wrong."""
    why = _why_dropped(record)
    if why in (STILL_OPEN, "quarantined", "too hard", "too easy", "nothing judged"):
        _count_dropped(counts, record)
        return []
    estimates, tree = journal.finished_tree(store, record, partial(tree_of, store))
    tally(counts, Shares().adding(estimates))
    rng = random.Random(f"{config.seed} {record.problem.id}")
    selection = select(estimates, tree, rng, config.row_rule)
    _count(counts, selection)
    rows = [_row(record.problem, at, solution) for at, solution in enumerate(selection.rows)]
    if not config.counts:
        return rows
    known = [step_counts(tree, solution, config.min_judged) for solution in selection.rows]
    return [msgspec.structs.replace(row, counts=counted) for row, counted in zip(rows, known, strict=True)]


def _why_dropped(record: ProblemRecord) -> str:
    if record.state == "open":
        return STILL_OPEN
    return record.reason if record.state == "done" else record.state


def _count_dropped(counts: Counter[str], record: ProblemRecord) -> None:
    """Count a problem without rows. Its tree, if finished, has rollouts from the root only, which its record counts."""
    counts[f"problems dropped: {_why_dropped(record)}"] += 1
    if record.state == "done":
        tally(counts, Shares(from_root=record.root))


def tree_of(store: Store, estimates: Sequence[Estimate]) -> Tree:
    """The tree that a problem's estimates make: by the store's search rule, or as they were imported."""
    if IMPORTED in store.fingerprint():
        return assembled(estimates)
    return replay(stored_rule(store), estimates)


def stored_rule(store: Store) -> SearchRule:
    """The search rule that a store was made under."""
    fingerprint = store.fingerprint()
    if fingerprint.get("first_part", "0") != "0" and PART_RULE not in fingerprint:
        raise ConfigurationError("the store was made when --first-part also split roots: its trees cannot be read now")
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
    if selection.num_right_doubtful:
        counts["solutions dropped: right, but past a doubtful state"] += selection.num_right_doubtful
    if selection.num_unsure:
        counts["solutions dropped: first error judged too rarely"] += selection.num_unsure
    counts["problems kept" if selection.rows else "problems dropped: no first error found"] += 1


def _row(problem: Problem, at: int, solution: Labelled) -> TrainingRow:
    return TrainingRow(
        id=f"{problem.id}#{at}",
        question=problem.question,
        steps=solution.steps,
        labels=solution.labels,
        images=problem.image_paths,
    )


def _below(root: str, row: TrainingRow, image_root: str) -> TrainingRow:
    """The row with image paths relative to the root of all rows."""
    images = tuple(os.path.relpath(os.path.join(image_root, path), root) for path in row.images)
    return msgspec.structs.replace(row, images=images)


def _sentence(counts: Counter[str]) -> str:
    return "\n".join(f"{name}: {count}" for name, count in sorted(counts.items()))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(f"--out {folder}: {error.strerror}") from error
    return folder
