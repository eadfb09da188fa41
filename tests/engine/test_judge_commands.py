"""The commands against an endpoint that goes away: they end with 69 and go on from there."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from pathlib import Path

from omegaprm.engine import journal
from omegaprm.engine.store import Store
from tests.fakes.chat_server import PROBE, ChatServer, serving

ROOT = Path(__file__).parents[2]
IMPATIENT = ("--judge-model", "m", "--judge-patience-seconds", "0.5", "--judge-request-seconds", "5")


async def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and stderr of a command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    return process.returncode or 0, errors.decode()


def says(prompt: str) -> str:
    """Right where the student's answer ends with an even digit."""
    answer = re.findall(r"<student>\n(.*?)\n</student>", prompt, re.DOTALL)[0]
    return f"Verdict: {'correct' if answer[-1] in '02468' else 'incorrect'}"


def down_after(server: ChatServer, num_replies: int) -> None:
    server.behave = lambda number: "answer" if server.delivered.total() < num_replies else "failing"


async def test_judge_ends_with_69_past_its_patience_and_asks_nothing_twice_when_it_goes_on(tmp_path):
    answers = [f"a big cat {number}" for number in range(40)] + ["5"]
    row = {"id": "a", "question": "Which?", "correct_answer": "a cat", "solutions_splits": [[one] for one in answers]}
    (tmp_path / "in.json").write_text(json.dumps([row, 7]))
    out = tmp_path / "out.json"
    async with serving(says) as server:
        command = ("bin/judge", "--candidates", tmp_path / "in.json", "--out", out, "--judge-url", server.url)
        down_after(server, 20)
        code, errors = await run(*command, *IMPATIENT)
        assert (code, "--judge-patience-seconds 0.5" in errors) == (69, True), errors
        assert not out.exists()
        server.behave = lambda number: "answer"
        code, errors = await run(*command, *IMPATIENT)
        assert code == 0, errors
        assert server.repeated == []
    (judged,) = json.loads(out.read_text())
    assert judged["labels"] == [1, 0] * 20 + [0]
    report = json.loads((tmp_path / "out.json.report.json").read_text())
    assert {one["rule"]: one["num_answers"] for one in report["counts"] if one["outcome"] == "correct"} == {"llm": 20}
    assert report["malformed"] == [{"index": 1, "reason": "must be an object, is int"}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.json", "out.json", "out.json.report.json"]


async def test_judge_ends_with_75_on_a_signal_with_its_verdicts_kept(tmp_path):
    row = {"id": "a", "question": "Which?", "correct_answer": "a cat", "solutions_splits": [["cat 2"], ["cat 4"]]}
    (tmp_path / "in.json").write_text(json.dumps([row]))
    command = ("bin/judge", "--candidates", tmp_path / "in.json", "--out", tmp_path / "out.json", "--judge-model", "m")
    async with serving(says, lambda number: "answer" if number < 2 else "hang") as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *map(str, command), "--judge-url", server.url, cwd=ROOT
        )
        while server.num_calls < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 75
        server.behave = lambda number: "answer"
        code, errors = await run(*command, "--judge-url", server.url)
        assert code == 0, errors
        assert server.repeated == []
    assert json.loads((tmp_path / "out.json").read_text())[0]["labels"] == [1, 1]


async def test_a_wrong_key_ends_with_78_before_anything_is_judged(tmp_path):
    row = {"id": "a", "question": "Which?", "correct_answer": "a cat", "solutions_splits": [["cat 2"]]}
    (tmp_path / "in.json").write_text(json.dumps([row]))
    async with serving(says, lambda number: "denied") as server:
        command = ("bin/judge", "--candidates", tmp_path / "in.json", "--out", tmp_path / "out.json")
        code, errors = await run(*command, "--judge-model", "m", "--judge-url", server.url)
        assert (code, "status 401" in errors) == (78, True), errors


def estimates(store: Path) -> dict[str, list]:
    with Store.open_reader(store) as opened:
        return {
            record.problem.id: list(journal.estimates(opened, record.problem.id))
            for record in journal.problem_records(opened)
        }


async def test_annotate_ends_with_69_and_goes_on_to_what_an_undisturbed_run_writes(tmp_path):
    seeds = [
        {"id": f"p{at}", "question": f"Who is number {at}?", "correct_answer": f"the king {at}"} for at in range(6)
    ]
    (tmp_path / "seeds.json").write_text(json.dumps(seeds))
    shape = ("--num-rollouts", "4", "--rollout-budget", "40", "--concurrency", "3")
    flags = ("--seeds", tmp_path / "seeds.json", "--model", ROOT / "examples" / "policy", *shape)
    async with serving(says) as server:
        command = ("-m", "tests.fakes.annotate", *flags, "--judge-url", server.url, *IMPATIENT, "--store")
        assert (await run(*command, tmp_path / "quiet"))[0] == 0
        assert server.calls[PROBE] == 1
        assert len(server.delivered) > 10
        num_replies = server.delivered.total()
        server.delivered.clear()
        down_after(server, num_replies // 2)
        code, errors = await run(*command, tmp_path / "disturbed")
        assert (code, "run the same command again" in errors) == (69, True), errors
        server.repeated.clear()
        server.behave = lambda number: "answer"
        code, errors = await run(*command, tmp_path / "disturbed")
        assert code == 0, errors
        assert server.repeated == []
        code, errors = await run(*command, tmp_path / "disturbed", "--judge-template", "mmprm")
        assert (code, "judge" in errors) == (78, True), errors
    assert estimates(tmp_path / "disturbed") == estimates(tmp_path / "quiet")
