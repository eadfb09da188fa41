"""A store of finished trees grown in memory by the scripted policy; real LMDB, no engine, no judge."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import msgspec

from omegaprm.engine import journal
from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Problem, ProblemRecord
from omegaprm.engine.store import Store, Write
from tests.fakes.growing import grow, recorded_rollouts
from tests.fakes.policy import ScriptedPolicy

RULE = SearchRule(num_rollouts=8, max_searches=6, rollout_budget=120)


def problems(count: int, image_root: str = "") -> list[Problem]:
    """Every second one has a picture, of a name that nothing stands behind."""
    return [
        Problem(
            id=f"p{at}",
            question=f"What is {at}?\nSay | it.",
            correct_answer=str(at),
            image_paths=(f"images/p{at}.png",) if at % 2 and image_root else (),
            image_root=image_root if at % 2 else "",
        )
        for at in range(count)
    ]


def write_store(folder: Path, given: Iterable[Problem], records: Iterable[ProblemRecord] = ()) -> Path:
    """A store with a finished tree for each problem, and further problem records as they are."""
    with Store.open(folder) as store:
        store.bind({name: str(value) for name, value in msgspec.structs.asdict(RULE).items()} | {"model": "m1"})
        writes = [write for problem in given for write in finished(problem)]
        writes += [journal.write_problem(record) for record in records]
        asyncio.run(store.commit(writes))
    return folder


def finished(problem: Problem) -> list[Write]:
    """What the store holds of a problem whose tree the scripted policy grew."""
    tree, estimates = grow(RULE, recorded_rollouts(problem, ScriptedPolicy(0.2, 0.05), RULE.num_rollouts))
    record = ProblemRecord(
        problem=problem,
        state="done",
        reason=tree.reason or "",
        num_searches=tree.num_searches,
        num_estimates=len(estimates),
        num_rollouts=tree.num_rollouts,
        root=estimates[0].counts,
    )
    return [journal.write_problem(record), *(journal.write_estimate(problem.id, one) for one in estimates)]
