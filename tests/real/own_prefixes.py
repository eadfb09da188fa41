"""How a model continues the right solutions that it wrote itself, by where the prompt ends; prints JSON.

    python -m tests.real.own_prefixes STORE MODEL FEW_SHOT NUM

STORE: made by bin/annotate with MODEL and --few-shot FEW_SHOT; "-" is no few-shot. From each right rollout at a root,
the states after one and after two steps are continued NUM times. A last figure compares the ids of deeper prompts with
the ids that were sampled.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaprm.engine import journal
from omegaprm.engine.config import EngineOptions, Sampling
from omegaprm.engine.few_shot import read_examples
from omegaprm.engine.policy import vllm_engine
from omegaprm.engine.policy.base import Completion, Prompt
from omegaprm.engine.policy.boundary import Ending
from omegaprm.engine.policy.vllm_policy import VllmPolicy
from omegaprm.engine.prompts import parse
from omegaprm.engine.seams import Begun, extended
from omegaprm.engine.store import Store

DEPTHS = (1, 2)
SAMPLING = Sampling(temperature=0.8, top_k=0, top_p=1.0, repetition_penalty=1.0, max_new_tokens=128)
OPTIONS = EngineOptions(max_num_seqs=128, dtype="float32", kv_cache_gib=2)
Ids = list[int]


def states(store: Path) -> Iterator[Prompt]:
    """Beginnings of right rollouts from the root that have a step more, each once; of problems without images."""
    with Store.open_reader(store) as reader:
        for record in (one for one in journal.problem_records(reader) if not one.problem.image_paths):
            seen: set[Begun] = set()
            roots = [one for one in journal.estimates(reader, record.problem.id) if one.origin is None]
            right = [one for root in roots for one in root.rollouts if one.outcome == "correct"]
            for rollout in (one for one in right if len(one.steps) > max(DEPTHS)):
                for depth in DEPTHS:
                    state = extended(Begun(), rollout.steps, rollout.seams, depth, "tags")
                    if state not in seen:
                        seen.add(state)
                        yield Prompt(record.problem, state.steps, (), state.seams)


class Watched:
    """A policy that keeps the token ids of what it drew."""

    def __init__(self, policy: VllmPolicy) -> None:
        self.policy = policy
        self.drawn: dict[tuple[int, ...], list[Ids]] = {}
        self._completions = policy._completions
        policy._completions = self._keep  # type: ignore[method-assign]

    def _keep(self, output: Any, num: int, rest: str) -> list[Completion]:
        self.drawn[tuple(output.prompt_token_ids)] = [list(one.token_ids) for one in output.outputs]
        return self._completions(output, num, rest)

    def prompt_ids(self, prompt: Prompt) -> Ids:
        turns, end = self.policy._turns(prompt)
        begun = self.policy._begun(self.policy._chat.head(turns, 0), end.text)
        return begun.get("prompt_token_ids") or self.policy._encode_head(begun["prompt"])


def outcome(completion: Completion) -> str:
    if completion.truncated:
        return "truncated"
    return "unparsed" if completion.strayed or parse(completion.text, "tags") is None else "read"


def agreeing(watched: Watched, prompt: Prompt, completions: list[Completion]) -> Iterator[bool]:
    """For each state inside of what was sampled: whether its prompt's ids begin the sampled ones."""
    start = watched.prompt_ids(prompt)
    for ids, one in zip(watched.drawn[tuple(start)], completions, strict=True):
        solution = parse(one.text, "tags") if outcome(one) == "read" else None
        for depth in range(1, len(solution.steps) if solution else 0):
            assert solution is not None
            deep = extended(prompt.begun, solution.steps, solution.seams, depth, "tags")
            shown = watched.prompt_ids(Prompt(prompt.problem, deep.steps, (), deep.seams))
            yield [*start, *ids][: len(shown)] == shown


async def measure(store: str, model: str, few_shot: str, num: int) -> dict[str, Any]:
    vllm_engine.prepare(Path(model))
    found = list(states(Path(store)))
    examples = read_examples(None if few_shot == "-" else few_shot, "tags")
    policy = await VllmPolicy.start(model, OPTIONS, SAMPLING, "prefill", "tags", examples)
    watched = Watched(policy)
    result: dict[str, Any] = {"states": len(found), "problems": len({one.problem.id for one in found})}
    for name, end in (("the last whole token", policy._end), ("the state", Ending)):
        policy._end = end
        drawn = await asyncio.gather(*(policy.sample(one, num, 1000 + at) for at, one in enumerate(found)))
        for depth in DEPTHS:
            of_depth = [c for one, some in zip(found, drawn, strict=True) if len(one.prefix) == depth for c in some]
            result[f"prompt ends after {name}, {depth} steps"] = Counter(map(outcome, of_depth))
        if end is not Ending:
            pairs = [same for one, some in zip(found, drawn, strict=True) for same in agreeing(watched, one, some)]
            result["prompts whose ids begin the sampled ones"] = [sum(pairs), len(pairs)]
    await policy.close()
    return result


if __name__ == "__main__":
    at, model_folder, shown, times = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(at, model_folder, shown, int(times))), indent=1))
