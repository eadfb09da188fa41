"""What --verify asks beyond checksums: every tree is grown once more, and must be the one that its record tells of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, get_args

from omegaprm.engine import journal
from omegaprm.engine.errors import OmegaprmError
from omegaprm.engine.export import stored_rule, tree_of
from omegaprm.engine.imported import IMPORTED
from omegaprm.engine.records import Estimate, ProblemRecord
from omegaprm.engine.seams import Begun, StepFormat, extended
from omegaprm.engine.store import NUMBER_BYTES, Store, StoreDamaged, unpack


class Misfit(NamedTuple):
    """Records that are whole and do not fit together: their table, the problem's key, and what is wrong."""

    table: str
    key: bytes
    reason: str


def misfits(store: Store) -> Iterator[Misfit]:
    """Trees whose numbers, prefixes, order of growth or totals are not what a run would have written."""
    try:
        if IMPORTED not in store.fingerprint():
            stored_rule(store)
    except StoreDamaged:
        return
    except OmegaprmError as error:
        if store.count("estimates"):
            yield Misfit("meta", b"", str(error))
        return
    yield from _of_problems(store)
    yield from _without_problem(store)


def _of_problems(store: Store) -> Iterator[Misfit]:
    for key, value in store.scan("problems"):
        try:
            _check(store, unpack(value, ProblemRecord))
        except journal.TreeDamaged as error:
            yield Misfit("problems", key, str(error))
        except StoreDamaged:
            continue  # A damaged record: whoever checks the checksums names it.


def _check(store: Store, record: ProblemRecord) -> None:
    """journal.TreeDamaged where a problem's estimates are not a tree, or not the tree that its record tells of."""
    name = record.problem.id
    if record.state == "done":
        found, _ = journal.finished_tree(store, record, partial(tree_of, store))
    elif record.state == "open":
        found = _open_tree(store, name)
    else:
        return
    step_format = store.fingerprint().get("step_format")
    for estimate in found:
        if _state(estimate, step_format) != _cut(found, estimate, step_format):
            raise journal.TreeDamaged(
                f"estimate {estimate.number} of problem {name}: its prefix is not where it was cut from"
            )


def _open_tree(store: Store, name: str) -> list[Estimate]:
    found = list(journal.estimates(store, name))
    try:
        tree_of(store, found)
    except ValueError as error:
        raise journal.TreeDamaged(f"the estimates of problem {name} do not fit together: {error}") from error
    return found


def _state(estimate: Estimate, step_format: str | None) -> Begun:
    """Imported trees have no step format, and only the steps of their states are known."""
    return Begun(estimate.prefix, estimate.seams if step_format else ())


def _cut(found: list[Estimate], estimate: Estimate, step_format: str | None) -> Begun:
    origin = estimate.origin
    if origin is None:
        return Begun()
    source = found[origin.estimate]
    rollout = source.rollouts[origin.rollout]
    if step_format not in get_args(StepFormat):
        return Begun(source.prefix + rollout.steps[: origin.num_steps])
    form: StepFormat = step_format  # type: ignore[assignment]
    return extended(Begun(source.prefix, source.seams), rollout.steps, rollout.seams, origin.num_steps, form)


def _without_problem(store: Store) -> Iterator[Misfit]:
    last = b""
    for estimate_key, _ in store.scan("estimates"):
        key = estimate_key[:-NUMBER_BYTES]
        if key != last and store.get("problems", key) is None:
            yield Misfit("estimates", key, "estimates of a problem that has no record")
        last = key
