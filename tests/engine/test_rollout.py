"""Candidates are judged and kept: whatever stops a run, the same command ends with the same file."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from omegaprm.engine.config import RolloutConfig
from omegaprm.engine.errors import BadInput, ConfigurationError, Drained, EngineDied, StoreFailed, StoreHeld
from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.partial import Partial
from omegaprm.engine.policy.base import Completion, Policy, ProblemFailed, Prompt
from omegaprm.engine.records import Candidates
from omegaprm.engine.rollout import run, split_loosely
from omegaprm.engine.seeds import derive_seed
from tests.conftest import ROOT
from tests.fakes.policy import ScriptedPolicy

NUM_PROBLEMS = 12


@pytest.fixture
def config(tmp_path: Path, policy_folder: Path) -> RolloutConfig:
    rows = [{"id": f"p{at}", "question": f"{at}+1", "correct_answer": at + 1} for at in range(NUM_PROBLEMS)]
    (tmp_path / "seeds.json").write_text(json.dumps(rows))
    return RolloutConfig(
        seeds=(str(tmp_path / "seeds.json"),),
        model=str(policy_folder),
        out=str(tmp_path / "out.json"),
        num_candidates=4,
        concurrency=3,
        drain_seconds=5,
    )


async def judge_of(config: RolloutConfig) -> Cascade:
    return await Cascade.start(config.math_verify_workers, config.math_verify_seconds)


def using(policy: Policy) -> Callable[[RolloutConfig], Awaitable[Policy]]:
    async def start(config: RolloutConfig) -> Policy:
        return policy

    return start


def result(config: RolloutConfig, policy: Policy | None = None) -> list[Candidates]:
    asyncio.run(run(config, using(policy or ScriptedPolicy()), judge_of))
    return read(config)


def read(config: RolloutConfig) -> list[Candidates]:
    return msgspec.json.decode(Path(config.out).read_bytes(), type=list[Candidates])


class Scripted(ScriptedPolicy):
    """Answers by a function of the problem's id; counts the requests by id."""

    def __init__(self, answer: Callable[[str], list[Completion]]) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[str] = []

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        self.asked.append(prompt.problem.id)
        return self.answer(prompt.problem.id)


def test_the_file_holds_every_problem_in_the_order_of_the_seeds(config: RolloutConfig) -> None:
    rows = result(config)

    assert [row.id for row in rows] == [f"p{at}" for at in range(NUM_PROBLEMS)]
    assert all(len(row.solutions_splits) == len(row.labels) == len(row.answers) == 4 for row in rows)
    assert {label for row in rows for label in row.labels} == {0, 1}
    assert not Path(f"{config.out}.partial").exists()


def test_labels_say_whether_the_final_answer_is_right(config: RolloutConfig) -> None:
    texts = ["<step>x</step><answer>{}</answer>", "<step>x</step><answer>77</answer>", "no tags", "<step>x"]

    def answer(problem_id: str) -> list[Completion]:
        right = int(problem_id[1:]) + 1
        return [Completion(text.format(right), 3, truncated=text == "<step>x") for text in texts]

    rows = result(config, Scripted(answer))

    assert rows[4].solutions_splits == (("x", "5"), ("x", "77"), ("no tags",), ("x",))
    assert rows[4].labels == (1, 0, 0, 0)
    assert rows[4].answers == ("5", "77", "", "")


def test_seeds_of_several_folders_keep_their_own_images(config: RolloutConfig, tmp_path: Path, capsys: Any) -> None:
    seeds = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        Image.new("RGB", (8, 8)).save(folder / "a.png")
        rows = [{"id": name, "question": "?", "correct_answer": "1", "image_path": "a.png"}]
        (folder / "seeds.json").write_text(json.dumps(rows))
        seeds.append(str(folder / "seeds.json"))
    rows = result(msgspec.structs.replace(config, seeds=tuple(seeds)))
    assert [row.image_path for row in rows] == ["one/a.png", "two/a.png"]
    assert f"--image-root {tmp_path}" in capsys.readouterr().err


def test_concurrency_changes_no_byte(config: RolloutConfig, tmp_path: Path) -> None:
    other = msgspec.structs.replace(config, out=str(tmp_path / "other.json"), concurrency=1)
    result(config)
    result(other)

    assert Path(config.out).read_bytes() == Path(other.out).read_bytes()


def test_the_same_command_again_does_nothing(config: RolloutConfig) -> None:
    first = result(config)
    policy = ScriptedPolicy()

    assert result(config, policy) == first
    assert policy.num_requests == 0


def test_after_a_dead_engine_only_the_rest_is_sampled(config: RolloutConfig) -> None:
    def dies_at_p7(problem_id: str) -> list[Completion]:
        if problem_id == "p7":
            raise EngineDied("the inference engine died")
        return [Completion("<step>a</step><answer>1</answer>", 2)] * 4

    with pytest.raises(EngineDied):
        result(config, Scripted(dies_at_p7))
    kept = {json.loads(line).get("id") for line in Path(f"{config.out}.partial").read_bytes().splitlines()}
    healthy = Scripted(lambda _: [Completion("<step>a</step><answer>1</answer>", 2)] * 4)
    rows = result(config, healthy)

    assert "p0" in kept
    assert not kept & set(healthy.asked)
    assert len(rows) == NUM_PROBLEMS


def test_a_failed_problem_is_left_out_and_named(config: RolloutConfig, capsys: pytest.CaptureFixture[str]) -> None:
    def fails_at_p3(problem_id: str) -> list[Completion]:
        if problem_id == "p3":
            raise ProblemFailed("too long")
        return [Completion("<step>a</step><answer>1</answer>", 2)] * 4

    rows = result(config, Scripted(fails_at_p3))

    assert "p3" not in {row.id for row in rows}
    assert len(rows) == NUM_PROBLEMS - 1
    assert "failed p3: too long" in capsys.readouterr().err


def test_bad_seed_rows_are_reported_and_skipped(config: RolloutConfig, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = Path(config.seeds[0])
    seeds.write_text(json.dumps([{"id": "x"}, *json.loads(seeds.read_text())]))

    assert len(result(config)) == NUM_PROBLEMS
    assert f"rejected {seeds}:1: question" in capsys.readouterr().err


def test_no_usable_seed_row_is_bad_input(config: RolloutConfig) -> None:
    Path(config.seeds[0]).write_text('[{"id": "x"}]')

    with pytest.raises(BadInput):
        result(config)


def test_a_partial_file_of_other_settings_is_refused_with_both_values(config: RolloutConfig) -> None:
    stopped(config)

    with pytest.raises(ConfigurationError, match=r"temperature was 1\.0, now 0\.5"):
        result(msgspec.structs.replace(config, temperature=0.5))


def stopped(config: RolloutConfig) -> None:
    """Leave a partial file behind."""

    def dies(problem_id: str) -> list[Completion]:
        if problem_id == "p5":
            raise EngineDied("the inference engine died")
        return [Completion("<step>a</step><answer>1</answer>", 2)] * 4

    with pytest.raises(EngineDied):
        result(config, Scripted(dies))


def test_a_finished_file_of_other_settings_is_not_overwritten(config: RolloutConfig) -> None:
    result(config)
    before = Path(config.out).read_bytes()

    with pytest.raises(ConfigurationError, match="num_candidates was 4, now 5"):
        result(msgspec.structs.replace(config, num_candidates=5))
    assert Path(config.out).read_bytes() == before


def test_a_file_of_another_origin_is_not_overwritten(config: RolloutConfig) -> None:
    Path(config.out).write_text("precious")

    with pytest.raises(ConfigurationError, match="there already"):
        result(config)
    assert Path(config.out).read_text() == "precious"


def test_a_torn_last_line_is_sampled_again(config: RolloutConfig) -> None:
    stopped(config)
    partial = Path(f"{config.out}.partial")
    num_kept = partial.read_bytes().count(b"\n") - 1
    partial.write_bytes(partial.read_bytes()[:-9])
    policy = ScriptedPolicy()

    assert len(result(config, policy)) == NUM_PROBLEMS
    assert policy.num_requests == NUM_PROBLEMS - num_kept + 1


def test_a_damaged_line_is_named(config: RolloutConfig) -> None:
    stopped(config)
    partial = Path(f"{config.out}.partial")
    lines = partial.read_bytes().splitlines(keepends=True)
    partial.write_bytes(lines[0] + b"garbage\n" + b"".join(lines[2:]))

    with pytest.raises(StoreFailed, match=r"out\.json\.partial:2: damaged"):
        result(config)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    partial = Partial.open(tmp_path / "a.partial", {}, Candidates)

    with pytest.raises(StoreHeld):
        Partial.open(tmp_path / "a.partial", {}, Candidates)
    partial.close()
    Partial.open(tmp_path / "a.partial", {}, Candidates).close()


async def test_a_file_without_rows_goes_on_under_other_settings(tmp_path: Path) -> None:
    """So that a mistyped command binds nothing; one with a row is refused."""
    path = tmp_path / "a.partial"
    Partial.open(path, {"model": "mistyped"}, Candidates).close()
    taken = Partial.open(path, {"model": "right"}, Candidates)
    await taken.append(Candidates(id="p", question="q", correct_answer="1", solutions_splits=((),), labels=(0,)))
    taken.close()
    assert len(path.read_bytes().splitlines()) == 2
    with pytest.raises(ConfigurationError, match="model was right, now mistyped"):
        Partial.open(path, {"model": "mistyped"}, Candidates)
    assert len(Partial.open(path, {"model": "right"}, Candidates).rows) == 1


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("<step>a</step><step>b", ("a", "b")),
        ("<step>a</step><answer>", ("a",)),
        ("rambling", ("rambling",)),
        ("", ("",)),
    ],
)
def test_an_unfinished_text_keeps_the_steps_it_has(text: str, steps: tuple[str, ...]) -> None:
    assert split_loosely(text, "tags").steps == steps
    assert split_loosely(text, "tags").answer == ""


def test_seeds_stand_for_run_problem_and_number_and_leave_room_for_the_index() -> None:
    seeds = {derive_seed(run, name, number) for run in (0, 1) for name in ("a", "b") for number in range(50)}

    assert len(seeds) == 200
    assert all(0 <= seed < 1 << 62 for seed in seeds)
    assert derive_seed(0, "p", 0) == 3141864342424588011


def test_a_drain_raises_drained_with_everything_kept(config: RolloutConfig) -> None:
    class Signals(ScriptedPolicy):
        async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
            if prompt.problem.id == "p5":
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0)
            return await super().sample(prompt, num, seed)

    with pytest.raises(Drained):
        result(config, Signals())
    rows = result(config)

    undisturbed = msgspec.structs.replace(config, out=config.out + ".other")
    assert rows == result(undisturbed)


CHILD = """
import asyncio, sys
import msgspec
from omegaprm.engine import commands
from omegaprm.engine.config import RolloutConfig
from omegaprm.engine.rollout import run
from tests.engine.test_rollout import judge_of, using
from tests.fakes.policy import ScriptedPolicy

async def pause():
    print("sampling", flush=True)
    await asyncio.sleep(0.02)

config = msgspec.json.decode(sys.argv[1], type=RolloutConfig)
commands.run(lambda config: asyncio.run(run(config, using(ScriptedPolicy(pause=pause)), judge_of)), config)
"""


def child(config: RolloutConfig) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CHILD, msgspec.json.encode(config).decode()]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 75), (signal.SIGKILL, -9)])
def test_a_stopped_run_goes_on_to_the_very_same_file(config: RolloutConfig, number: signal.Signals, code: int) -> None:
    slow = msgspec.structs.replace(config, concurrency=1)
    process = child(slow)
    assert process.stdout is not None
    for _ in range(4):
        assert process.stdout.readline() == "sampling\n"
    process.send_signal(number)
    process.communicate()
    assert process.returncode == code
    rest = child(slow)
    sampled, _ = rest.communicate()

    assert rest.returncode == 0
    assert 0 < sampled.count("sampling") <= NUM_PROBLEMS - 3
    undisturbed = msgspec.structs.replace(config, out=config.out + ".other")
    result(undisturbed)
    assert Path(config.out).read_bytes() == Path(undisturbed.out).read_bytes()
