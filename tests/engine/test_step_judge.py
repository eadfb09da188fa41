"""Every stored step gets an opinion, once, whatever the endpoint does; export weighs opinions against the rollouts."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from omegaprm.engine import journal
from omegaprm.engine.consensus import AGREE, JUDGE_ALONE, MC_ALONE, NO_OPINION
from omegaprm.engine.errors import ConfigurationError, JudgeUnreachable, UsageError
from omegaprm.engine.export import ExportConfig, export
from omegaprm.engine.judge.chatting import Reply
from omegaprm.engine.judge.circuit import Pace
from omegaprm.engine.judge.step_rule import read_opinion
from omegaprm.engine.opinions import opinions_of, stored_judge
from omegaprm.engine.records import parse_process_text
from omegaprm.engine.step_judge import JudgeStepsConfig, run_judge_steps
from omegaprm.engine.store import Store
from omegaprm.engine.tree import ROOT_DIGEST, state_digests
from tests.fakes.chat_server import PROBE, serving
from tests.fakes.policy import SLIP
from tests.fakes.stores import problems, write_store

ROOT = Path(__file__).parents[2]
NOISE_PERCENT = 10
NUM_PROBLEMS = 2
QUICK = Pace(first_seconds=0.001, max_seconds=0.02, open_after=5)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "store", problems(NUM_PROBLEMS))


def between(prompt: str, mark: str) -> str:
    found = re.search(rf"<{mark}>\n(.*?)\n</{mark}>", prompt, re.DOTALL)
    assert found is not None
    return found[1]


def truth(prompt: str) -> str:
    """The scripted policy's truth: a step is wrong from the slip on, and so is the answer behind one."""
    wrong = SLIP in between(prompt, "steps-before") + between(prompt, "step")
    return f"It is what it is.\nStep: {'wrong' if wrong else 'right'}"


def noisy_truth(prompt: str) -> str:
    """The truth, turned round for one prompt in ten, always the same ones."""
    turned = int.from_bytes(blake2b(prompt.encode(), digest_size=4).digest()) % 100 < NOISE_PERCENT
    word = truth(prompt).rpartition(" ")[2]
    return f"Step: {({'right': 'wrong', 'wrong': 'right'}[word]) if turned else word}"


async def judged(store: Path, url: str, **flags: Any) -> None:
    """Run the command to its end, with an endpoint that is quick to try again."""
    config = JudgeStepsConfig(**{"store": str(store), "judge_url": url, "judge_model": "step-judge", **flags})
    await run_judge_steps(config, pace=QUICK)


def steps_in(store: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(problem, steps up to and with this one) of every step of every rollout."""
    with Store.open_reader(store) as opened:
        for record in journal.problem_records(opened):
            for estimate in journal.estimates(opened, record.problem.id):
                for rollout in estimate.rollouts:
                    steps = estimate.prefix + rollout.steps
                    yield from ((record.problem.id, steps[: at + 1]) for at in range(len(steps)))


def opinions(store: Path) -> dict[tuple[str, bytes], bool]:
    with Store.open_reader(store) as opened:
        return {
            (record.problem.id, state): opinion.is_right
            for record in journal.problem_records(opened)
            for state, opinion in opinions_of(opened, record.problem.id, "step-judge").items()
        }


def true_opinions(store: Path) -> dict[tuple[str, bytes], bool]:
    return {
        (problem, state_digests(ROOT_DIGEST, steps)[-1]): SLIP not in " ".join(steps)
        for problem, steps in steps_in(store)
    }


async def test_every_stored_step_is_asked_about_once_and_its_opinion_kept(store: Path) -> None:
    async with serving(truth) as server:
        await judged(store, server.url)
        assert opinions(store) == true_opinions(store)
        assert set(server.calls.values()) == {1}
        with Store.open_reader(store) as opened:
            judge = stored_judge(opened, "step-judge")
        assert judge.num_requests == server.num_calls
        assert judge.num_prompt_tokens == 10 * server.num_calls
        num_calls = server.num_calls
        await judged(store, server.url)
        assert server.num_calls == num_calls + 1, "the probe alone"


async def test_concurrency_is_bounded(store: Path) -> None:
    async with serving(truth, lambda number: "slow") as server:
        await judged(store, server.url, judge_concurrency=3)
        assert server.max_open == 3


async def test_failures_are_tried_again_and_never_become_opinions(store: Path) -> None:
    kinds = ("failing", "garbage", "busy", "reset", "half")
    async with serving(truth, lambda number: "answer" if number % 4 else kinds[number // 4 % 5]) as server:
        await judged(store, server.url, judge_concurrency=4)
        assert opinions(store) == true_opinions(store)
        assert not server.repeated


async def test_replies_that_say_nothing_leave_no_opinion(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(lambda prompt: "Step: perhaps") as server:
        await judged(store, server.url, judge_max_asks=2, steps="rows")
        assert opinions(store) == {}
        assert {count for prompt, count in server.calls.items() if prompt != PROBE} == {2}
        assert f"{len(server.calls) - 1} unread" in capsys.readouterr().out
        server.answer = truth
        await judged(store, server.url, steps="rows")
        assert opinions(store)


async def test_an_endpoint_that_stays_away_ends_the_run_and_the_next_goes_on(store: Path) -> None:
    async with serving(truth, lambda number: "answer" if number < 20 else "failing") as server:
        with pytest.raises(JudgeUnreachable):
            await judged(store, server.url, judge_patience_seconds=0.5, judge_concurrency=2)
        before = opinions(store)
        assert 0 < len(before) <= 20
        server.behave = lambda number: "answer"
        await judged(store, server.url)
        assert opinions(store) == true_opinions(store)
        assert not server.repeated


async def test_a_signal_stops_the_command_with_75_and_the_same_command_goes_on(store: Path) -> None:
    reached = asyncio.Event()

    def behave(number: int) -> str:
        if number > 10:
            reached.set()
        return "slow"

    async with serving(truth, behave) as server:
        words = [
            str(ROOT / "bin" / "judge-steps"),
            str(store),
            "--judge-url",
            server.url,
            "--judge-model",
            "step-judge",
        ]
        process = await asyncio.create_subprocess_exec(sys.executable, *words, "--judge-concurrency", "2")
        await reached.wait()
        process.terminate()
        assert await process.wait() == 75
        assert 0 < len(opinions(store)) < len(true_opinions(store))
        again = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        said, _ = await again.communicate()
        assert again.returncode == 0
        assert b"known before" in said
        assert b"prompt and" in said
    assert opinions(store) == true_opinions(store)


async def test_images_go_along_and_a_missing_one_costs_its_problem_alone(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "p1.png")
    store = await asyncio.to_thread(write_store, tmp_path / "store", problems(4, str(tmp_path)))
    async with serving(truth) as server:
        await judged(store, server.url)
    assert {problem for problem, _ in opinions(store)} == {"p0", "p1", "p2"}
    pictured = [prompt for prompt in server.calls if "What is 1?" in prompt]
    assert pictured
    assert all(prompt.startswith("data:image/png;base64,iVBOR") for prompt in pictured)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Step: right", True),
        ("2+2 is 5.\n**Step: wrong**\n", False),
        ("Step: right\nOn second thought\nStep: wrong", None),
        ("Step: right, I think", None),
        ("right", None),
        ("Step: right\nbecause", None),
        ("", None),
    ],
)
def test_a_reply_is_read_strictly(text: str, expected: bool | None) -> None:
    assert read_opinion(Reply(text, cut=False)) is expected
    assert read_opinion(Reply(text, cut=True)) is None


def exported(store: Path, out: Path, **flags: Any) -> dict[tuple[str, ...], list[float | None]]:
    export(ExportConfig(stores=(str(store),), out=str(out), **flags))
    found = [json.loads(line)["conversations"] for line in (out / "train.jsonl").read_text().splitlines()]
    return {parse_process_text(human["value"])[1]: gpt["value"] for human, gpt in found}


def counts_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "counts.json").read_text())
    return found


async def test_consensus_keeps_what_both_say_and_masks_what_they_dispute(store: Path, tmp_path: Path) -> None:
    async with serving(noisy_truth) as server:
        await judged(store, server.url)
    by_mc = await asyncio.to_thread(exported, store, tmp_path / "mc")
    by_judge = await asyncio.to_thread(exported, store, tmp_path / "judge", label_source="judge")
    by_both = await asyncio.to_thread(exported, store, tmp_path / "both", consensus=True)
    counts = counts_of(tmp_path / "both")
    assert by_mc.keys() == by_judge.keys() >= by_both.keys()
    tally = {AGREE: 0, MC_ALONE: 0, JUDGE_ALONE: 0}
    for steps, values in by_mc.items():
        labels = by_both.get(steps, [None] * len(steps))
        for mc, judge, both in zip(values, by_judge[steps], labels, strict=True):
            assert mc is not None
            verdict = AGREE if (mc > 0) == judge else (MC_ALONE if mc else JUDGE_ALONE)
            tally[verdict] += 1
            assert both == (mc if verdict == AGREE else None)
    assert {name: counts.get(name, 0) for name in tally} == tally
    assert tally[MC_ALONE] > 0
    assert tally[AGREE] > 4 * tally[MC_ALONE]
    for example in counts["contradictions"]:
        assert (example["mc"] > 0) == (example["judge"] == "wrong")
    assert counts["contradictions"]


async def test_opinions_change_nothing_where_labels_are_the_rollouts(store: Path, tmp_path: Path) -> None:
    await asyncio.to_thread(exported, store, tmp_path / "before")
    async with serving(truth) as server:
        await judged(store, server.url)
    await asyncio.to_thread(exported, store, tmp_path / "after")
    for name in ("train.jsonl", "counts.json", "README.md"):
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "before" / name).read_bytes()


async def test_steps_of_rows_are_enough_for_their_consensus(store: Path, tmp_path: Path) -> None:
    async with serving(truth) as server:
        await judged(store, server.url, steps="rows")
        assert server.num_calls < len(true_opinions(store)) / 2
    await asyncio.to_thread(exported, store, tmp_path, consensus=True)
    assert NO_OPINION not in counts_of(tmp_path)


async def test_steps_without_an_opinion_are_masked_and_rows_of_nothing_else_dropped(
    store: Path, tmp_path: Path
) -> None:
    async with serving(truth, lambda number: "answer" if number < 30 else "refused") as server:
        await judged(store, server.url, judge_concurrency=1)
    found = await asyncio.to_thread(exported, store, tmp_path, label_source="judge")
    counts = counts_of(tmp_path)
    assert counts[NO_OPINION] > 0
    assert counts["rows dropped: every step masked"] > 0
    assert counts["rows"] == len(found) + counts["rows dropped: every step masked"]
    assert all(any(label is not None for label in labels) for labels in found.values())


async def test_several_judges_must_be_told_apart(store: Path, tmp_path: Path) -> None:
    async with serving(truth) as server:
        await judged(store, server.url, steps="rows")
        await judged(store, server.url, judge_model="other", steps="rows")
    with pytest.raises(ConfigurationError, match="other, step-judge"):
        await asyncio.to_thread(exported, store, tmp_path, consensus=True)
    with pytest.raises(ConfigurationError, match="nobody"):
        await asyncio.to_thread(exported, store, tmp_path, consensus=True, judge_model="nobody")
    assert await asyncio.to_thread(exported, store, tmp_path, consensus=True, judge_model="other")


def test_a_store_without_opinions_has_no_consensus(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="bin/judge-steps"):
        exported(store, tmp_path, consensus=True)


@pytest.mark.parametrize(
    "flags",
    [
        {"consensus": True, "label_source": "judge"},
        {"consensus": True, "format": "trees"},
        {"judge_model": "m"},
        {"counts": True, "label_source": "judge"},
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ExportConfig(stores=("s",), out="o", **flags)
