"""Several stores as one: their problems in the order of their keys, each once."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from omegaprm.engine import journal
from omegaprm.engine.records import Problem, ProblemRecord
from omegaprm.engine.store import Store, problem_key

AGAIN = "problems dropped: in several stores"
OTHER = "problems dropped: an earlier store has another problem of this id"


def merged(stores: Sequence[Store], counts: Counter[str]) -> Iterator[tuple[Store, ProblemRecord]]:
    """Each problem with its store: the first that finished its tree, or the first at all. counts takes the rest.

    Where stores hold different problems under one id, the first of them stands.
    """
    every = heapq.merge(*map(_keyed, range(len(stores)), stores), key=lambda item: item[:2])
    for _, group in groupby(every, key=lambda item: item[0]):
        found = [(stores[at], record) for _, at, record in group]
        same = [one for one in found if _content(one[1].problem) == _content(found[0][1].problem)]
        counts["problems"] += len(found)
        for name, num in ((AGAIN, len(same) - 1), (OTHER, len(found) - len(same))):
            if num:
                counts[name] += num
        yield next((one for one in same if one[1].state == "done"), same[0])


def _keyed(at: int, store: Store) -> Iterator[tuple[bytes, int, ProblemRecord]]:
    """One store's problems behind what they are merged by: their key, then the place of the store."""
    for record in journal.problem_records(store):
        yield problem_key(record.problem.id), at, record


def _content(problem: Problem) -> tuple[object, ...]:
    return problem.question, problem.correct_answer, problem.image_paths
