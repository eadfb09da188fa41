"""Linear Monte Carlo (Math-Shepherd, arXiv 2312.08935): every step of a solution estimated, no search."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from examples.pool import Pool
from omegaprm.engine import journal
from omegaprm.engine.export import stored_rule
from omegaprm.engine.judge.base import Judge
from omegaprm.engine.policy.base import Completion, Prompt
from omegaprm.engine.prompts import parse
from omegaprm.engine.records import Problem
from omegaprm.engine.selection import wrong_solutions as labelled_solutions
from omegaprm.engine.store import Store
from omegaprm.engine.tree import replay


class Wrong(NamedTuple):
    """A wrong solution, and the images of its problem by digest."""

    problem: Problem
    image_digests: tuple[str, ...]
    steps: tuple[str, ...]


Verdicts = dict[tuple[str, tuple[str, ...]], list[bool]]
"""For each state, by problem id and prefix, whether each of its judged rollouts was right, in order."""


def wrong_solutions(folder: Path) -> list[Wrong]:
    """The wrong solutions that the searches of a store labelled, each text once."""
    found: dict[tuple[str, tuple[str, ...]], Wrong] = {}
    with Store.open_reader(folder) as store:
        for record in journal.problem_records(store):
            estimates = list(journal.estimates(store, record.problem.id))
            tree = replay(stored_rule(store), estimates)
            for solution in labelled_solutions(estimates, tree):
                key = (record.problem.id, solution.steps)
                found[key] = Wrong(record.problem, record.image_digests, solution.steps)
    return list(found.values())


async def estimate(solutions: list[Wrong], pool: Pool, judge: Judge, num: int) -> Verdicts:
    """The pool's first num rollouts of the state after every step but the last, of which the judge knows.

    A state that two solutions share counts once.
    """
    wanted = {
        (solution.problem.id, solution.steps[:at]): solution
        for solution in solutions
        for at in range(1, len(solution.steps))
    }

    async def one(prefix: tuple[str, ...], solution: Wrong) -> list[bool]:
        completions = await pool.first(Prompt(solution.problem, prefix, solution.image_digests), num)
        verdicts = await asyncio.gather(*(_is_right(judge, solution.problem, text) for text in completions))
        return [verdict for verdict in verdicts if verdict is not None]

    values = await asyncio.gather(*(one(prefix, solution) for (_, prefix), solution in wanted.items()))
    return dict(zip(wanted, values, strict=True))


async def _is_right(judge: Judge, problem: Problem, completion: Completion) -> bool | None:
    """None where the rollout is not judged."""
    solution = None if completion.truncated else parse(completion.text, "tags")
    if solution is None:
        return None
    verdict = await judge.grade(problem, solution.answer)
    return None if verdict.outcome == "unknown" else verdict.outcome == "correct"
