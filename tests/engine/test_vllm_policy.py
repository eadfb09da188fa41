"""The policy on the real engine: seeds repeat, images count, bad problems fail alone."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from PIL import Image

from omegaprm.engine import images
from omegaprm.engine.ahead import Ahead, closing
from omegaprm.engine.config import EngineOptions, Sampling, SearchRule
from omegaprm.engine.errors import ConfigurationError, EngineDied, JudgeUnreachable
from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.judge.chatting import Unanswered
from omegaprm.engine.judge.flags import JudgeFlags
from omegaprm.engine.judge.llm import LlmRule
from omegaprm.engine.judge.local import LocalModel
from omegaprm.engine.judge.opening import start_cascade
from omegaprm.engine.policy import checkpoint
from omegaprm.engine.policy.base import Completion, ProblemFailed, Prompt
from omegaprm.engine.policy.vllm_policy import VllmPolicy
from omegaprm.engine.problems import read_problems
from omegaprm.engine.prompts import parse, read_step
from omegaprm.engine.records import Problem
from omegaprm.engine.search import Search
from omegaprm.engine.store import Store
from tests.fakes import tiny_judge

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

SEEDS = Path(__file__).resolve().parents[2] / "examples" / "sums" / "seeds.json"
OPTIONS = EngineOptions(kv_cache_gib=0.1, max_num_seqs=128)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def policy(policy_folder: Path) -> AsyncIterator[VllmPolicy]:
    policy = await VllmPolicy.start(str(policy_folder), OPTIONS, Sampling(), "prefill", "tags")
    yield policy
    await policy.close()


@pytest.fixture
def pictured(tmp_path: Path) -> Prompt:
    return picture_of(tmp_path, "black")


def picture_of(folder: Path, colour: str) -> Prompt:
    Image.new("L", (96, 32), colour).save(folder / f"{colour}.png")
    problem = Problem(
        id=colour,
        question="The image shows digits a, b, c. What is a*b+c?",
        correct_answer="0",
        image_paths=(f"{colour}.png",),
        image_root=str(folder),
    )
    return Prompt(problem, (), (images.check(folder / f"{colour}.png"),))


def sum_of(formula: str, *prefix: str) -> Prompt:
    return Prompt(Problem(id=formula, question=f"What is {formula}?", correct_answer="0"), prefix)


def cores() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if "EngineCore" in one.name()]


def core() -> psutil.Process:
    (found,) = cores()
    return found


async def in_flight(policy: VllmPolicy) -> asyncio.Task[list[Completion]]:
    """A call whose request has reached the engine."""
    call = asyncio.create_task(policy.sample(sum_of("7*8*9-4"), 64, 1))
    while not policy._engine.output_processor.get_num_unfinished_requests():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return call


async def test_a_seed_gives_the_same_completions_alone_and_in_a_crowd(policy: VllmPolicy, pictured: Prompt) -> None:
    alone = await policy.sample(pictured, 4, 99), await policy.sample(sum_of("3+4*2"), 4, 7)
    crowd = [policy.sample(sum_of(f"{at}+4*2"), 16, at << 32) for at in range(30)]
    *_, image, text = await asyncio.gather(*crowd, policy.sample(pictured, 4, 99), policy.sample(sum_of("3+4*2"), 4, 7))

    assert (image, text) == alone
    assert len({completion.text for completion in text}) > 1


async def test_another_seed_gives_other_completions(policy: VllmPolicy) -> None:
    first, second = (
        await policy.sample(sum_of("9-4*8"), 8, 1),
        await policy.sample(sum_of("9-4*8"), 8, 1 << 40),
    )

    assert first != second


async def test_the_policy_goes_on_from_the_steps_so_far(policy: VllmPolicy) -> None:
    completions = await policy.sample(sum_of("3+4*2", "4*2=8, so 3+8"), 8, 5)

    assert all(completion.text.startswith(("<step>", "<answer>")) for completion in completions)
    assert any(parse(completion.text, "tags") for completion in completions)


async def test_completions_keep_step_tags_and_no_other_special_token(policy: VllmPolicy, pictured: Prompt) -> None:
    texts = [one.text for one in await policy.sample(pictured, 8, 3)]

    assert any("<step>" in text and text.endswith("</answer>") for text in texts)
    assert not any(re.search(r"<\|im_|<\|endof|IMG_CONTEXT|<prm>", text) for text in texts)


async def test_the_picture_decides_what_is_read(policy: VllmPolicy, tmp_path: Path) -> None:
    black, white = picture_of(tmp_path, "black"), picture_of(tmp_path, "white")
    same = Prompt(black.problem)

    assert await policy.sample(black, 8, 3) == await policy.sample(same, 8, 3)
    assert await policy.sample(black, 8, 3) != await policy.sample(white, 8, 3)


async def test_a_completion_is_cut_at_the_token_limit_and_says_so(policy: VllmPolicy) -> None:
    short = VllmPolicy(policy._engine, policy._chat, Sampling(max_new_tokens=3), "prefill", "tags")
    completions = await short.sample(sum_of("1+2"), 4, 1)

    assert [(one.truncated, one.num_tokens) for one in completions] == [(True, 3)] * 4


async def test_zero_temperature_gives_the_greedy_text_num_times(policy: VllmPolicy) -> None:
    greedy = VllmPolicy(policy._engine, policy._chat, Sampling(temperature=0), "prefill", "tags")
    completions = await greedy.sample(sum_of("1+2"), 3, 1)

    assert len(completions) == 3
    assert len({one.text for one in completions}) == 1


async def test_a_problem_that_is_too_long_fails_alone_and_spares_its_picture(
    policy: VllmPolicy, pictured: Prompt, tmp_path: Path
) -> None:
    fresh = picture_of(tmp_path, "grey")
    long = Problem(
        id="long",
        question="1+" * 600,
        correct_answer="0",
        image_paths=fresh.problem.image_paths,
        image_root=str(tmp_path),
    )
    with pytest.raises(ProblemFailed, match="context length"):
        await policy.sample(Prompt(long, (), fresh.image_digests), 2, 1)

    assert len(await policy.sample(fresh, 2, 1)) == 2


@pytest.mark.parametrize(("name", "rule"), [("none.png", "cannot be opened"), ("text.png", "must be an image")])
async def test_a_bad_image_fails_its_problem_and_no_other(
    policy: VllmPolicy, tmp_path: Path, name: str, rule: str
) -> None:
    (tmp_path / "text.png").write_text("text")
    bad = Problem(id="b", question="?", correct_answer="0", image_paths=(name,), image_root=str(tmp_path))
    failed, fine = await asyncio.gather(
        policy.sample(Prompt(bad), 1, 1), policy.sample(sum_of("1+2"), 1, 1), return_exceptions=True
    )

    assert isinstance(failed, ProblemFailed)
    assert name in str(failed)
    assert rule in str(failed)
    assert isinstance(fine, list)


async def test_one_step_ends_behind_its_tag_and_repeats_with_its_seed(policy: VllmPolicy) -> None:
    first = await policy.sample_step(sum_of("3+4*2"), 8, 11)
    onward = await policy.sample_step(sum_of("3+4*2", "4*2=8, so 3+8", "3+8=11, so 11"), 8, 11)

    assert first == await policy.sample_step(sum_of("3+4*2"), 8, 11)
    assert all(one.text.count("</step>") + one.text.count("</answer>") == 1 for one in [*first, *onward])
    read = [read_step(one.text, "tags") for one in onward]
    assert any(step is not None and step.is_answer for step in read)


async def test_sampling_ahead_stores_the_very_estimates_of_a_search_without_it(
    policy: VllmPolicy, tmp_path: Path
) -> None:
    problems = read_problems([SEEDS]).problems[:8]
    stored = []
    for sampler in (None, Ahead(policy, 8, lambda: OPTIONS.max_num_seqs)):
        with Store.open(tmp_path / f"store{len(stored)}") as store:
            judge = await Cascade.start(1, 5.0)
            rule = SearchRule(num_rollouts=4, rollout_budget=32)
            search = Search(policy, judge, store, rule, "tags", 0, asyncio.Event(), ahead=sampler)
            async with closing(sampler):
                await asyncio.gather(*(search.grow(problem) for problem in problems))
            await judge.close()
            stored.append(list(store.scan("estimates")))

    assert sampler is not None
    assert sampler.counts.wanted > 0
    assert len(stored[0]) > len(problems), "some tree was searched"
    assert stored[0] == stored[1]


async def test_a_judge_in_an_engine_beside_reads_its_own_verdicts_and_leaves_the_policy_be(
    policy: VllmPolicy, tmp_path: Path
) -> None:
    before, others = await policy.sample(sum_of("3+4*2"), 8, 7), cores()
    flags = JudgeFlags(judge_model_path=str(tiny_judge.write(tmp_path)), judge_template="mmprm", judge_kv_cache_gib=0.1)
    judge = await start_cascade(flags)
    try:
        problem = Problem(id="p", question="Which?", correct_answer="a cat")
        judging = [judge.grade(problem, f"a small dog {ending}") for ending in ("2", "3", "x", "1" * 900)]
        during, *verdicts = await asyncio.gather(policy.sample(sum_of("3+4*2"), 8, 7), *judging)
        assert [(one.outcome, one.rule) for one in verdicts] == [
            ("correct", "llm"), ("incorrect", "llm"), ("unknown", "llm-unread"), ("incorrect", "llm"),
        ]  # fmt: skip
        assert (judge.judge_load().num_requests, judge.judge_load().num_failures) == (1 + 1 + 3 + 1, 0)
        assert before == during

        assert isinstance(judge._llm, LlmRule)
        model = judge._llm.chatting
        assert isinstance(model, LocalModel)
        with pytest.raises(Unanswered, match="context length"):
            await model.chat([{"role": "user", "content": "2" * 3000}], 8, 0.0)
        hurried = LocalModel(model._engine, 4, patience_seconds=0.01, request_seconds=0.001)
        with pytest.raises(JudgeUnreachable, match=r"--judge-patience-seconds 0\.01"):
            await hurried.chat([{"role": "user", "content": "2" * 1000}], 1000, 1.0)
    finally:
        await judge.close()
    assert cores() == others


async def test_a_cancelled_call_aborts_its_request(policy: VllmPolicy) -> None:
    call = await in_flight(policy)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert policy._engine.output_processor.get_num_unfinished_requests() == 0


async def test_the_engine_core_does_not_see_the_signals_that_a_terminal_sends_to_all(
    policy: VllmPolicy,
) -> None:
    core().send_signal(signal.SIGINT)
    core().send_signal(signal.SIGUSR1)

    assert len(await policy.sample(sum_of("1+2"), 1, 1)) == 1


async def test_a_killed_engine_is_reported_at_once_and_for_ever_and_leaves_no_process(
    policy: VllmPolicy,
) -> None:
    call = await in_flight(policy)
    process = core()
    process.kill()

    with pytest.raises(EngineDied):
        await asyncio.wait_for(call, 30)
    with pytest.raises(EngineDied):
        await policy.sample(sum_of("1+2"), 1, 1)
    await policy.close()
    assert not process.is_running()


async def test_a_model_is_told_by_its_content_and_not_by_its_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(b"0" * 5_000_000)
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert checkpoint.describe(one) == checkpoint.describe(two)

    (tmp_path / "two" / "model.safetensors").write_bytes(b"0" * 4_999_999 + b"1")
    assert checkpoint.describe(one)["model_weights"] != checkpoint.describe(two)["model_weights"]


@pytest.mark.parametrize("files", [(), ("config.json",), ("model.safetensors",)])
async def test_a_folder_without_a_model_is_a_configuration_error(tmp_path: Path, files: tuple[str, ...]) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")

    with pytest.raises(ConfigurationError, match=r"--model .*: there (is|are) no"):
        await VllmPolicy.start(str(tmp_path), OPTIONS, Sampling(), "prefill", "tags")
