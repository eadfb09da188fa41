"""A beam search goes where the guide sends it, repeats with its seed, and its candidates are judged like any."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from omegaprm.engine.beam import Beam, BeamPolicy, BeamRule, best, worth
from omegaprm.engine.config import RolloutConfig
from omegaprm.engine.errors import Drained, EngineDied, UsageError
from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.policy.base import Completion, Policy, ProblemFailed, Prompt
from omegaprm.engine.prompts import Step, parse, read_step, whole
from omegaprm.engine.records import Candidates, Problem
from omegaprm.engine.rollout import run
from omegaprm.engine.seams import StepFormat

PROBLEM = Problem(id="p", question="q", correct_answer="aaa")


class Letters:
    """Each step is a letter; after three the answer is all of them."""

    def __init__(self, odd: str = "") -> None:
        self.odd = odd
        self.asked: list[tuple[tuple[str, ...], int, int]] = []

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        raise AssertionError("a beam search draws steps")

    async def sample_step(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        self.asked.append((prompt.prefix, num, seed))
        if self.odd:
            return [Completion(self.odd, 2)] * num
        if len(prompt.prefix) == 3:
            return [Completion(f"<answer>{''.join(prompt.prefix)}</answer>", 2)] * num
        return [Completion(f"<step>{random.Random(seed + at).choice('abc')}</step>", 2) for at in range(num)]

    async def close(self) -> None:
        pass


class Likes:
    """A guide that finds one letter right and every other wrong."""

    def __init__(self, letter: str = "a") -> None:
        self.letter = letter
        self.closed = False

    async def score(self, problem: Problem, solutions: Sequence[tuple[str, ...]]) -> list[list[float]]:
        return [[0.9 if set(step) == {self.letter} else 0.2 for step in steps] for steps in solutions]

    async def close(self) -> None:
        self.closed = True


def searched(policy: Letters, seed: int = 3, **rule: int) -> list[Completion]:
    wanted = BeamRule(**{"beam_width": 2, "beam_expand": 8} | rule)
    beam = BeamPolicy(policy, Likes(), wanted, "tags")
    return asyncio.run(beam.sample(Prompt(PROBLEM), 1, seed))


def test_the_solution_that_the_guide_likes_is_found_and_comes_first() -> None:
    policy = Letters()
    found = searched(policy)
    assert found[0].text == "<step>a</step><step>a</step><step>a</step><answer>aaa</answer>"
    assert [num for _, num, _ in policy.asked][:3] == [16, 8, 8]
    assert found[0].num_tokens == 2 * sum(num for _, num, _ in policy.asked)
    assert not any(one.truncated for one in found)


def test_the_same_seed_repeats_and_every_call_draws_anew() -> None:
    first, second, other = Letters(), Letters(), Letters()
    assert searched(first) == searched(second)
    searched(other, seed=4)
    assert first.asked == second.asked != other.asked
    assert len({seed for _, _, seed in first.asked}) == len(first.asked)


def test_a_policy_that_never_answers_ends_truncated() -> None:
    found = searched(Letters("<step>a</step>"), beam_width=1, beam_expand=1)
    assert [one.truncated for one in found] == [True]
    assert parse(found[0].text, "tags") is None


def test_a_policy_without_a_readable_step_fails_its_problem_alone() -> None:
    with pytest.raises(ProblemFailed, match="no first step"):
        searched(Letters("no tags"))


def test_best_keeps_distinct_beams_in_an_order_of_their_own() -> None:
    beams = [Beam(("b",), 0.5), Beam(("a",), 0.5), Beam(("a",), 0.5), Beam(("c",), 0.9), Beam(("d",), 0.1)]
    assert [beam.steps[0] for beam in best(beams, 3)] == ["c", "a", "b"]
    assert best(beams, 3) == best(beams[::-1], 3)


def test_worth_worked_by_hand() -> None:
    scores = [0.5, 0.8]
    kinds = ("min", "last", "product", "average")
    assert [worth(scores, kind) for kind in kinds] == pytest.approx([0.5, 0.8, 0.4, 0.65])


@pytest.mark.parametrize(
    ("text", "step_format", "read"),
    [
        ("<step> a </step>", "tags", Step("a", False, "<step> ", " </step>")),
        ("\n<step>a</step>", "tags", Step("a", False, "\n<step>", "</step>")),
        ("<answer>7</answer>", "tags", Step("7", True, "<answer>", "</answer>")),
        ("<step></step>", "tags", None),
        ("<step>a", "tags", None),
        ("so <step>a</step>", "tags", None),
        ("a\n\n", "paragraphs", Step("a", False, "", "\n\n")),
        ("Answer: 7", "lines", Step("Answer: 7", True)),
        ("\n", "lines", None),
    ],
)
def test_one_step_is_read_in_every_format(text: str, step_format: StepFormat, read: Step | None) -> None:
    assert read_step(text, step_format) == read


@pytest.mark.parametrize("step_format", ["tags", "paragraphs", "lines"])
def test_a_whole_solution_reads_back(step_format: StepFormat) -> None:
    steps = ("a", "b", "7" if step_format == "tags" else "Answer: 7")
    solution = parse(whole(steps, step_format), step_format)
    assert solution is not None
    assert (solution.steps, solution.answer) == (steps, "7")


def test_candidates_of_a_beam_search_are_judged_and_written_best_first(tmp_path: Path, policy_folder: Path) -> None:
    (tmp_path / "seeds.json").write_text(json.dumps([{"id": "p", "question": "q", "correct_answer": "aaa"}]))
    config = RolloutConfig(
        seeds=(str(tmp_path / "seeds.json"),),
        model=str(policy_folder),
        out=str(tmp_path / "out.json"),
        search="beam",
        prm=str(policy_folder),
        beam_width=2,
        beam_expand=8,
    )
    guide = Likes()

    async def policy_of(config: RolloutConfig) -> Policy:
        return BeamPolicy(Letters(), guide, config.part(BeamRule), config.step_format)

    async def judge_of(config: RolloutConfig) -> Cascade:
        return await Cascade.start(1, 5.0)

    asyncio.run(run(config, policy_of, judge_of))
    (row,) = msgspec.json.decode((tmp_path / "out.json").read_bytes(), type=list[Candidates])
    assert row.solutions_splits[0] == ("a", "a", "a", "aaa")
    assert row.labels[0] == 1
    assert guide.closed
    assert json.loads((tmp_path / "out.json.settings.json").read_text())["beam_width"] == "2"


def test_an_engine_that_stops_on_the_same_signal_ends_a_search_drained(tmp_path: Path, policy_folder: Path) -> None:
    (tmp_path / "seeds.json").write_text(json.dumps([{"id": "p", "question": "q", "correct_answer": "aaa"}]))

    class Stopped(Letters):
        async def sample_step(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
            if prompt.prefix:
                raise EngineDied("the inference engine is shutting down")
            os.kill(os.getpid(), signal.SIGTERM)
            return await super().sample_step(prompt, num, seed)

    config = RolloutConfig(
        seeds=(str(tmp_path / "seeds.json"),),
        model=str(policy_folder),
        out=str(tmp_path / "out.json"),
        search="beam",
        prm=str(policy_folder),
    )

    async def policy_of(config: RolloutConfig) -> Policy:
        return BeamPolicy(Stopped(), Likes(), config.part(BeamRule), config.step_format)

    async def judge_of(config: RolloutConfig) -> Cascade:
        return await Cascade.start(1, 5.0)

    with pytest.raises(Drained):
        asyncio.run(run(config, policy_of, judge_of))


@pytest.mark.parametrize(
    "wrong",
    [
        {"search": "beam"},
        {"search": "beam", "prm": "p", "beam_width": 0},
        {"search": "beam", "prm": "p", "outside_tags": "steps"},
    ],
)
def test_a_beam_search_needs_a_prm_a_width_and_steps_in_tags(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        RolloutConfig(seeds=("s",), model="m", out="o", **wrong)  # type: ignore[arg-type]
