"""A judge in an engine of this process: how it is asked, by a script; on the real engine in test_vllm_policy.py."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.errors import ConfigurationError, UsageError
from omegaprm.engine.judge import room
from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.judge.chatting import Reply, Spent, Unanswered
from omegaprm.engine.judge.flags import JudgeFlags, judge_identity, judge_settings
from omegaprm.engine.judge.llm import LlmRule
from omegaprm.engine.judge.math_rule import MathVerify
from omegaprm.engine.judge.opening import require_room
from omegaprm.engine.policy import vllm_engine
from omegaprm.engine.records import Problem, Verdict
from tests.fakes import tiny_judge

ROOT = Path(__file__).parents[2]
PROBLEM = Problem(id="p", question="What is it?", correct_answer="a cat")
WIDE = room.Machine(free_bytes=64 << 30, num_cpus=8)


class ScriptedModel:
    """Replies in turn; a None is no reply."""

    def __init__(self, *texts: str | None) -> None:
        self.spent = Spent()
        self.asked: list[tuple[float, int]] = []
        self._texts = list(texts)

    async def chat(self, messages, max_tokens, temperature, draw=0):
        self.asked.append((temperature, draw))
        text = self._texts.pop(0)
        if text is None:
            raise Unanswered("failed", "no reply in time")
        return Reply(text, cut=False)

    async def close(self):
        pass


@pytest.mark.parametrize(
    ("texts", "verdict"),
    [
        (["They agree.\nVerdict: correct"], Verdict("correct", "llm")),
        (["No idea.", "Verdict: incorrect"], Verdict("incorrect", "llm")),
        (["No idea.", "vvv", "Verdict: correct or not"], Verdict("unknown", "llm-unread")),
        (["No idea.", None], Verdict("unknown", "llm-failed")),
    ],
)
async def test_any_model_stands_behind_the_rules_and_each_asking_draws_anew(texts, verdict):
    model = ScriptedModel(*texts)
    judge = Cascade(MathVerify(1, 5.0), None, LlmRule(model, "own", 3, 64))
    for _ in range(2):
        assert await judge.grade(PROBLEM, "a big dog") == verdict
    assert model.asked == [(0.0, 0), (0.7, 1), (0.7, 2)][: len(texts)]
    await judge.close()


def test_an_endpoint_and_a_local_model_exclude_each_other():
    with pytest.raises(UsageError, match="--judge-url and --judge-model-path"):
        JudgeFlags(judge_url="http://host/v1", judge_model="m", judge_model_path="folder")


def test_a_local_model_is_told_by_its_files_and_not_by_its_folder(tmp_path: Path, policy_folder: Path):
    moved = tmp_path / "moved"
    shutil.copytree(policy_folder, moved)
    one, two = JudgeFlags(judge_model_path=str(policy_folder)), JudgeFlags(judge_model_path=str(moved))
    assert judge_identity(one) == judge_identity(two) != judge_identity(JudgeFlags())
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "changed": 1}))
    assert judge_settings(one) != judge_settings(two)
    with pytest.raises(ConfigurationError, match="--judge-model-path nowhere"):
        judge_identity(JudgeFlags(judge_model_path="nowhere"))


@pytest.mark.parametrize(
    ("machine", "num_engines", "reason"),
    [
        (room.Machine(4 << 30, 2), 2, None),
        (room.Machine((4 << 30) - 1, 2), 2, r"needs 4\.0 GiB of memory \(weights 1\.0, --judge-kv-cache-gib 2\.0"),
        (room.Machine(64 << 30, 1), 2, "2 engines need a CPU each, 1 may be used"),
        (room.Machine(64 << 30, 1), 1, None),
    ],
)
def test_an_engine_needs_its_memory_and_a_cpu(machine, num_engines, reason):
    lacking = room.lacking_on_cpu(1 << 30, 2 << 30, num_engines, machine)
    if reason is None:
        assert lacking is None
    else:
        assert re.search(reason, lacking or "")


def test_two_engines_on_a_gpu_share_its_memory():
    assert room.lacking_on_gpu(0.2, 0.7) is None
    assert room.lacking_on_gpu(0.9, 0.0) is None
    assert "0.2 and --gpu-memory-utilization 0.9 must add up to at most 0.95" in str(room.lacking_on_gpu(0.2, 0.9))


def test_half_precision_weights_take_twice_their_size_in_float32():
    assert room.weight_bytes(b'{"dtype": "bfloat16"}', [3, 4]) == 14
    assert room.weight_bytes(b'{"torch_dtype": "float32"}', [3, 4]) == 7


@pytest.mark.parametrize("version", [2, 1])
def test_a_control_groups_limit_counts_and_its_page_cache_does_not(tmp_path: Path, version: int):
    names = room._CGROUPS[2 - version]
    (tmp_path / "memory").mkdir()
    for name, text in zip(names, ("1000\n", "600\n", f"anon 300\n{names[3]} 250\n"), strict=False):
        (tmp_path / name).write_text(text)
    assert room.this_machine(tmp_path).free_bytes == 650
    (tmp_path / names[0]).write_text("max\n")
    assert room.this_machine(tmp_path).free_bytes > 1 << 20


@pytest.mark.skipif(not vllm_engine.on_cpu(), reason="the rule of the CPU engine")
def test_a_judge_without_room_beside_the_policy_is_refused_with_the_rule(policy_folder: Path):
    path = str(policy_folder)
    flags = AnnotateConfig(seeds=("s",), model=path, store="s", judge_model_path=path)
    require_room(flags, path, WIDE)
    with pytest.raises(ConfigurationError, match=r"2 engines need a CPU each.*--judge-url"):
        require_room(flags, path, room.Machine(64 << 30, 1))
    alone = AnnotateConfig(seeds=("s",), policy_url="http://host/v1", policy_model="m", store="s")
    require_room(alone, path, room.Machine(64 << 30, 1))
    with pytest.raises(ConfigurationError, match=r"--judge-model-path .*policy: its engine needs 2\.0 GiB"):
        require_room(JudgeFlags(judge_model_path=path), path, room.Machine(2 << 30, 8))


ROW = {
    "id": "a",
    "question": "Which?",
    "correct_answer": "a cat",
    "solutions_splits": [[f"a small dog {ending}"] for ending in ("2", "3", "x", "4")],
}


def judge_command(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    (folder / "in.json").write_text(json.dumps([ROW]))
    command = [ROOT / "bin" / "judge", "--candidates", folder / "in.json", "--out", folder / "out.json", *flags]
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)


def test_the_command_names_what_cannot_be(tmp_path: Path):
    both = judge_command(tmp_path, "--judge-model-path", "m", "--judge-url", "http://host/v1", "--judge-model", "m")
    assert (both.returncode, "give one of them" in both.stderr) == (64, True), both.stderr
    absent = judge_command(tmp_path, "--judge-model-path", str(tmp_path / "none"))
    assert (absent.returncode, "must be a local folder" in absent.stderr) == (78, True), absent.stderr


@pytest.mark.long
@pytest.mark.engine
def test_the_command_judges_by_a_model_of_its_own(tmp_path: Path):
    path = str(tiny_judge.write(tmp_path / "model"))
    flags = ("--judge-model-path", path, "--judge-template", "mmprm", "--judge-kv-cache-gib", "0.1")
    ended = judge_command(tmp_path, *flags)
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "out.json").read_text())[0]["labels"] == [1, 0, 0, 1]
    counts = json.loads((tmp_path / "out.json.report.json").read_text())["counts"]
    assert {(one["outcome"], one["rule"]): one["num_answers"] for one in counts} == {
        ("correct", "llm"): 2,
        ("incorrect", "llm"): 1,
        ("unknown", "llm-unread"): 1,
    }
