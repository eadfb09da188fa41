"""How trees lie in the store: one problem record and its estimates, in the order they were made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Estimate, Origin, ProblemRecord
from omegaprm.engine.seams import Begun, StepFormat, extended
from omegaprm.engine.store import NUMBER_BYTES, Store, StoreDamaged, Write, estimate_key, pack, problem_key, unpack
from omegaprm.engine.tree import Tree, replay

T = TypeVar("T")


class TreeDamaged(StoreDamaged):
    """Records that are whole each and do not make the tree that they should."""


def problem_record(store: Store, problem_id: str) -> ProblemRecord | None:
    value = store.get("problems", problem_key(problem_id))
    return None if value is None else _whole(value, ProblemRecord, f"the record of problem {problem_id}")


def problem_records(store: Store) -> Iterator[ProblemRecord]:
    """All problems, in the order of their keys, which depends on their ids alone."""
    for key, value in store.scan("problems"):
        yield _whole(value, ProblemRecord, f"the problem record under key {key.hex()}")


def estimates(store: Store, problem_id: str) -> Iterator[Estimate]:
    """A problem's estimates by number."""
    for key, value in store.scan("estimates", problem_key(problem_id)):
        yield _whole(value, Estimate, f"estimate {estimate_number(key)} of problem {problem_id}")


def stored_tree(store: Store, problem_id: str, rule: SearchRule) -> Tree:
    return replay(rule, estimates(store, problem_id))


def finished_tree(
    store: Store, record: ProblemRecord, grow: Callable[[Sequence[Estimate]], Tree]
) -> tuple[list[Estimate], Tree]:
    """A done problem's estimates and the tree they grow; TreeDamaged where the record was not made from them."""
    name = record.problem.id
    found = list(estimates(store, name))
    try:
        tree = grow(found)
    except ValueError as error:
        raise TreeDamaged(f"the estimates of problem {name} do not fit together: {error}") from error
    num_rollouts = sum(len(estimate.rollouts) for estimate in found)
    if (len(found), num_rollouts) != (record.num_estimates, record.num_rollouts):
        raise TreeDamaged(
            f"problem {name} ended with {record.num_estimates} estimates and {record.num_rollouts} rollouts, "
            f"the store holds {len(found)} and {num_rollouts}"
        )
    return found, tree


def begun_of(store: Store, problem_id: str, origin: Origin | None, step_format: StepFormat) -> Begun:
    """The state that an origin names, as the policy wrote it."""
    if origin is None:
        return Begun()
    value = store.get("estimates", estimate_key(problem_key(problem_id), origin.estimate))
    if value is None:
        raise KeyError(f"estimate {origin.estimate} of problem {problem_id} is not in the store")
    estimate = _whole(value, Estimate, f"estimate {origin.estimate} of problem {problem_id}")
    rollout = estimate.rollouts[origin.rollout]
    state = Begun(estimate.prefix, estimate.seams)
    return extended(state, rollout.steps, rollout.seams, origin.num_steps, step_format)


def write_problem(record: ProblemRecord) -> Write:
    return Write("problems", problem_key(record.problem.id), pack(record))


def write_estimate(problem_id: str, estimate: Estimate) -> Write:
    return Write("estimates", estimate_key(problem_key(problem_id), estimate.number), pack(estimate))


def estimate_number(key: bytes) -> int:
    """The number in a key of the table "estimates"."""
    return int.from_bytes(key[-NUMBER_BYTES:], "big")


def _whole(value: bytes, kind: type[T], name: str) -> T:
    """A stored struct; StoreDamaged that says which one it is."""
    try:
        return unpack(value, kind)
    except StoreDamaged as error:
        raise StoreDamaged(f"{name}: {error}") from error
