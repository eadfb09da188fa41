"""Stores grown by the real search from a scripted policy and judge: python -m tests.fakes.grown_store FOLDER COUNT"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from omegaprm.engine import journal
from omegaprm.engine.config import SearchRule
from omegaprm.engine.records import Problem, ProblemRecord
from omegaprm.engine.scheduler import run_all
from omegaprm.engine.search import Search
from omegaprm.engine.store import Store
from tests.fakes.judge import ScriptedJudge
from tests.fakes.policy import ScriptedPolicy

SMALL = SearchRule(num_rollouts=4, max_searches=1, rollout_budget=12)
CONCURRENCY = 4096


def numbered(count: int) -> list[Problem]:
    """Plain problems without images; every third one holds LaTeX."""
    return [
        Problem(
            id=f"p{at:05}",
            question=f"Problem {at}: add {at} and {at * 7 % 1000}"
            + (r", or $\frac{1}{2}$ of it." if at % 3 == 0 else "."),
            correct_answer=str(at + at * 7 % 1000),
        )
        for at in range(count)
    ]


def settings(rule: SearchRule) -> dict[str, str]:
    """A fingerprint that names the search rule, as bin/annotate writes it."""
    return {name: str(value) for name, value in msgspec.structs.asdict(rule).items()}


async def grow_into(
    folder: Path,
    problems: Iterable[Problem],
    rule: SearchRule = SMALL,
    policy: ScriptedPolicy | None = None,
    map_bytes: int = 256 << 20,
    records: Sequence[ProblemRecord] = (),
) -> None:
    """Grow every problem's tree into the store in the folder; further records are put beside them."""
    with Store.open(folder, map_bytes=map_bytes) as store:
        store.bind(settings(rule))
        draining = asyncio.Event()
        search = Search(policy or ScriptedPolicy(), ScriptedJudge(), store, rule, "tags", 0, draining)
        await run_all(problems, search.grow, CONCURRENCY, draining, 1.0)
        await store.commit([journal.write_problem(record) for record in records])


if __name__ == "__main__":
    asyncio.run(grow_into(Path(sys.argv[1]), numbered(int(sys.argv[2]))))
