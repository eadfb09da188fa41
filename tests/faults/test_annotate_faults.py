"""Nothing acknowledged is lost and nothing is drawn twice, whatever ends the daemon.

The daemon is a child process with the scripted policy; store, judge, signals and files are the real ones.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.export import ExportConfig, export
from engine.status import StatusConfig, status
from tests.fakes.annotate import PAUSE

ROOT = Path(__file__).resolve().parents[2]
NUM_PROBLEMS = 40
NUM_KILLS = 5


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with seeds.json and model/, a folder that stands for a policy's files."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = [
        {"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n, "image_path": None}
        for n in range(NUM_PROBLEMS)
    ]
    (folder / "seeds.json").write_text(json.dumps(rows))
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    return folder


def daemon(inputs: Path, store: Path, *flags: str, pause: float = 0.0, seeds: Path | None = None):
    """Start the daemon on a store."""
    words = [sys.executable, "-m", "tests.fakes.annotate", "--store", str(store)]
    words += ["--seeds", str(seeds or inputs / "seeds.json"), "--model", str(inputs / "model")]
    words += ["--rollout-budget", "200", "--concurrency", "16", *flags]
    environment = {**os.environ, PAUSE: str(pause)}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(inputs: Path, store: Path, *flags: str, seeds: Path | None = None) -> tuple[int, str]:
    """Run the daemon to its end: (exit code, what it said)."""
    process = daemon(inputs, store, *flags, seeds=seeds)
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def exported(store: Path, out: Path) -> tuple[bytes, bytes]:
    export(ExportConfig(stores=(str(store),), out=str(out)))
    return (out / "train.jsonl").read_bytes(), (out / "counts.json").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    code, said = finished(inputs, folder / "store")
    assert code == 0, said
    return exported(folder / "store", folder / "out")


def wait_for_estimates(store: Path, count: int, process: subprocess.Popen) -> None:
    """Return when the store holds more than count bytes of estimates or the daemon has ended."""
    data = store / "data.mdb"
    before = data.stat().st_mtime_ns if data.exists() else 0
    for _ in range(count):
        while process.poll() is None and (not data.exists() or data.stat().st_mtime_ns == before):
            time.sleep(0.002)
        before = data.stat().st_mtime_ns if data.exists() else 0


def test_five_sigkills_at_random_moments_leave_the_export_of_an_undisturbed_run(
    inputs: Path, undisturbed: tuple[bytes, bytes], tmp_path: Path
):
    rng = random.Random()
    killed = 0
    while killed < NUM_KILLS:
        process = daemon(inputs, tmp_path / "store", pause=0.02)
        wait_for_estimates(tmp_path / "store", rng.randint(1, 12), process)
        time.sleep(rng.random() * 0.02)
        assert process.poll() is None, process.communicate()[1]
        process.kill()
        process.communicate()
        killed += 1
    code, said = finished(inputs, tmp_path / "store")
    assert code == 0, said
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_drains_with_75_and_the_same_command_finishes_the_job(
    inputs: Path, undisturbed: tuple[bytes, bytes], tmp_path: Path, number: signal.Signals
):
    process = daemon(inputs, tmp_path / "store", pause=0.05)
    wait_for_estimates(tmp_path / "store", 4, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 75, err
    assert "run the same command" in err
    assert "Traceback" not in err
    assert finished(inputs, tmp_path / "store")[0] == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def test_a_second_signal_leaves_at_once_and_loses_nothing_acknowledged(
    inputs: Path, undisturbed: tuple[bytes, bytes], tmp_path: Path
):
    process = daemon(inputs, tmp_path / "store", pause=5)
    wait_for_estimates(tmp_path / "store", 1, process)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 75, err
    assert time.monotonic() - started < 4, "it waited for the policy all the same"
    assert finished(inputs, tmp_path / "store")[0] == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


@pytest.mark.parametrize("concurrency", [1, 1000])
def test_concurrency_does_not_change_the_export(
    inputs: Path, undisturbed: tuple[bytes, bytes], tmp_path: Path, concurrency: int
):
    code, said = finished(inputs, tmp_path / "store", "--concurrency", str(concurrency))
    assert code == 0, said
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def test_shards_together_export_what_one_store_exports(inputs: Path, undisturbed: tuple[bytes, bytes], tmp_path: Path):
    stores = [tmp_path / f"store{part}" for part in range(3)]
    for part, store in enumerate(stores):
        assert finished(inputs, store, "--shard", f"{part}/3")[0] == 0
    export(ExportConfig(stores=tuple(map(str, stores)), out=str(tmp_path / "out")))
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == undisturbed[0]


def test_a_second_daemon_on_a_store_ends_with_73_and_harms_nothing(
    inputs: Path, undisturbed: tuple[bytes, bytes], tmp_path: Path
):
    first = daemon(inputs, tmp_path / "store", pause=0.05)
    wait_for_estimates(tmp_path / "store", 2, first)
    code, said = finished(inputs, tmp_path / "store")
    assert code == 73, said
    assert "Traceback" not in said
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--num-rollouts", "8"), ("num_rollouts", "16", "8")),
        (("--run-seed", "5"), ("run_seed", "0", "5")),
        (("--temperature", "0.5"), ("temperature", "1.0", "0.5")),
        (("--prompt-template", "mmprm"), ("prompt_template", "prefill", "mmprm")),
    ],
)
def test_a_store_made_under_another_rule_is_refused_naming_both_values(
    inputs: Path, tmp_path: Path, flags: tuple[str, ...], named: tuple[str, ...]
):
    assert finished(inputs, tmp_path / "store", "--max-searches", "1")[0] == 0
    code, said = finished(inputs, tmp_path / "store", "--max-searches", "1", *flags)
    assert code == 78, said
    assert all(word in said for word in named), said
    assert "Traceback" not in said


def test_another_seed_set_or_model_is_refused_too(inputs: Path, tmp_path: Path):
    assert finished(inputs, tmp_path / "store", "--max-searches", "1")[0] == 0
    other = tmp_path / "other.json"
    other.write_text(json.dumps([{"id": "q", "question": "What is 5?", "correct_answer": "5"}]))
    code, said = finished(inputs, tmp_path / "store", "--max-searches", "1", seeds=other)
    assert (code, "seeds" in said) == (78, True), said


def test_bad_rows_are_named_and_the_rest_is_done(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(
        '{"id": "good", "question": "What is 3?", "correct_answer": 3}\n'
        "this is not JSON\n"
        '{"question": "no id", "correct_answer": 1}\n'
        '{"id": "good", "question": "again", "correct_answer": 1}\n'
        '{"id": "lost", "question": "image?", "correct_answer": 1, "image_path": "nowhere.png"}\n'
        '{"id": "out", "question": "image?", "correct_answer": 1, "image_path": "../../etc/passwd"}\n'
        '{"id": "empty", "question": "answer?", "correct_answer": ""}\n'
    )
    code, said = finished(inputs, tmp_path / "store", seeds=seeds)
    assert code == 0, said
    for line in range(2, 8):
        assert f"seeds.jsonl:{line}:" in said, said
    assert "6 seed rows rejected" in said
    status(StatusConfig(stores=(str(tmp_path / "store"),), json=True))
    assert json.loads(capsys.readouterr().out)["problems"]["done"] == 1


def test_no_usable_row_ends_with_65(inputs: Path, tmp_path: Path):
    seeds = tmp_path / "seeds.json"
    seeds.write_text('[{"id": "a"}]')
    code, said = finished(inputs, tmp_path / "store", seeds=seeds)
    assert code == 65, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "flags", [("--shard", "5/2"), ("--num-rollouts", "0"), ("--nonsense", "1"), ("--num-rollouts", "x")]
)
def test_wrong_flags_end_with_64(inputs: Path, tmp_path: Path, flags: tuple[str, ...]):
    code, said = finished(inputs, tmp_path / "store", *flags)
    assert code == 64, said
    assert "Traceback" not in said
