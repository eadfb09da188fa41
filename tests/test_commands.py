"""Every command answers --help at once, refuses wrong flags with 64, and stays short.

Nothing here reaches bin/setup's work: commands that call it run as copies beside a bin/setup that only tells.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omegaprm.engine.store import Store

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / "bin"
COMMANDS = sorted(path.name for path in BIN.iterdir() if path.is_file() and os.access(path, os.X_OK))
SETTING_UP = ("quickstart", "test")
"""Commands that make the environment first."""

HELP_SECONDS = 1.0
MAX_TRIES = 5
"""The best of so many counts: a cold disk is not the command's."""

MAX_LINES = 30
LIMIT_SECONDS = 60

SETUP_THAT_TELLS = "#!/bin/sh\necho reached > set-up-reached\nexit 99\n"


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """bin/ with a bin/setup that leaves a file set-up-reached in the folder it was started in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in SETTING_UP:
        shutil.copy(BIN / name, folder / name)
    (folder / "setup").write_text(SETUP_THAT_TELLS)
    (folder / "setup").chmod(0o755)
    return folder


def run(name: str, arguments: list[str], bin_folder: Path) -> subprocess.CompletedProcess[str]:
    folder = bin_folder if name in SETTING_UP else BIN
    return subprocess.run(
        [str(folder / name), *arguments],
        cwd=bin_folder.parent,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def seconds_of(command: list[str], cwd: Path) -> float:
    """Wall time of a command less the time it stood in line for a core, which is other work's (Linux tells it).

    Sleeping, reading and computing all count, so that a busy machine changes little and a slow command fails.
    """
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    taken = time.monotonic() - started
    statistics = Path(f"/proc/{process.pid}/schedstat")
    in_line = int(statistics.read_text().split()[1]) / 1e9 if statistics.exists() else 0.0
    process.wait()
    return taken - in_line


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_0(name: str, bin_folder: Path) -> None:
    shown = run(name, ["--help"], bin_folder)
    assert shown.returncode == 0, shown.stderr
    assert f"bin/{name}" in shown.stdout
    assert not (bin_folder.parent / "set-up-reached").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_comes_in_under_a_second(name: str, bin_folder: Path) -> None:
    folder = bin_folder if name in SETTING_UP else BIN
    taken: list[float] = []
    while not taken or (min(taken) >= HELP_SECONDS and len(taken) < MAX_TRIES):
        taken.append(seconds_of([str(folder / name), "--help"], bin_folder.parent))
    assert min(taken) < HELP_SECONDS, taken


@pytest.mark.parametrize(
    "body", ["time.sleep(0.4)", "while time.process_time() < 0.4: pass"], ids=["sleeping", "computing"]
)
def test_the_clock_of_help_counts_what_a_command_does(body: str, tmp_path: Path) -> None:
    assert seconds_of([sys.executable, "-c", f"import time\n{body}"], tmp_path) >= 0.4


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "test"])
def test_an_unknown_flag_ends_with_64_and_no_traceback(name: str, bin_folder: Path) -> None:
    """bin/test hands its arguments to pytest."""
    shown = run(name, ["--no-such-flag", "3"], bin_folder)
    assert shown.returncode == 64, shown.stderr
    assert shown.stdout + shown.stderr
    assert "Traceback" not in shown.stdout + shown.stderr
    assert not (bin_folder.parent / "set-up-reached").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("annotate", ["--seeds", "s", "--model", "m", "--store", "d", "--num-rollouts", "many"], "num-rollouts"),
        ("annotate", ["--seeds", "s", "--model", "m", "--store", "d", "--top-p", "2"], "--top-p 2"),
        ("annotate", ["--seeds", "s", "--model", "m", "--store", "d", "--preset", "none"], "--preset none"),
        ("rollout", ["--seeds", "s", "--model", "m", "--out", "o", "--shard", "3"], "--shard 3"),
        ("judge", ["--candidates", "c", "--out", "o", "--math-verify-workers", "0"], "--math-verify-workers 0"),
        ("train", ["--rows", "r", "--model", "m", "--out", "o", "--batch-size", "0"], "--batch-size 0"),
        ("evaluate", ["--candidates", "c", "--prm", "p", "--out", "o", "--draws", "0"], "--draws 0"),
        ("evaluate", ["--prm", "p", "--out", "o"], "--candidates"),
        ("rollout", ["--seeds", "s", "--model", "m", "--out", "o", "--search", "beam"], "--prm"),
        ("serve-prm", ["--prm", "p", "--port", "70000"], "--port 70000"),
        ("status", [], "STORES"),
        ("quickstart", ["--out"], "--out"),
    ],
)
def test_a_wrong_value_ends_with_64_and_names_the_flag(
    name: str, arguments: list[str], named: str, bin_folder: Path
) -> None:
    shown = run(name, arguments, bin_folder)
    assert shown.returncode == 64, shown.stderr
    assert named in shown.stdout + shown.stderr
    assert "Traceback" not in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("annotate", ["--seeds", "ok.json", "--model", "policy", "--store", "ok.json"]),
        ("train", ["--rows", "rows.jsonl", "--model", "policy", "--out", "ok.json"]),
        ("pipeline", ["--config", "job.toml", "--out", "ok.json/run"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_where_a_folder_should_be_ends_with_74_and_one_sentence(
    name: str, flags: list[str], bin_folder: Path
) -> None:
    folder = bin_folder.parent
    (folder / "ok.json").write_text('[{"id": "a", "question": "1+1?", "correct_answer": "2"}]')
    turns = [{"from": "human", "value": "Question: 1?\nProcess: 2<prm>"}, {"from": "gpt", "value": [1.0]}]
    (folder / "rows.jsonl").write_text(json.dumps({"id": "a", "conversations": turns}) + "\n")
    (folder / "policy").symlink_to(ROOT / "examples" / "policy")
    job = '[annotate]\nseeds = ["ok.json"]\nmodel = "policy"\n[rollout]\nseeds = ["ok.json"]\n'
    (folder / "job.toml").write_text(job)
    shown = run(name, flags, bin_folder)
    assert shown.returncode == 74, shown.stderr
    assert re.search(r"^error: .*ok\.json.*: (File exists|Not a directory)$", shown.stderr, re.MULTILINE)
    assert "Traceback" not in shown.stderr


def test_a_config_file_with_an_unknown_flag_ends_with_78(bin_folder: Path) -> None:
    (bin_folder.parent / "flags.toml").write_text("num_rolouts = 8\n")
    shown = run("annotate", ["--config", "flags.toml"], bin_folder)
    assert shown.returncode == 78
    assert "num_rolouts" in shown.stderr


JSON_LINES = (["--log-format", "json"], ["--log-format=json"], ["--config", "json.toml"])


@pytest.mark.parametrize(
    ("arguments", "said", "forms"),
    [
        (["--no-such-flag", "3"], "Unrecognized options: --no-such-flag, 3", JSON_LINES),
        (["--num-rollouts", "many"], "Error parsing --num-rollouts", JSON_LINES),
        (["--top-p", "2"], "--top-p 2.0: must be", JSON_LINES),
        (["--preset", "none"], "--preset none: there is no such preset", JSON_LINES[:2]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_wrong_with_flags_is_one_json_line_where_lines_are_asked_for(
    arguments: list[str], said: str, forms: tuple[list[str], ...], bin_folder: Path
) -> None:
    """A preset is read before the file that may ask for lines."""
    (bin_folder.parent / "json.toml").write_text('log_format = "json"\n')
    for form in forms:
        shown = run("annotate", ["--seeds", "s", "--model", "m", "--store", "d", *form, *arguments], bin_folder)
        assert shown.returncode == 64
        assert shown.stdout == ""
        (line,) = shown.stderr.splitlines()
        told = json.loads(line)
        assert (told["event"], told["exit_code"]) == ("error", 64)
        assert said in told["message"]


@pytest.mark.parametrize("name", ["bench", "annotate", "status"])
@pytest.mark.parametrize("flags", [["--help"], ["--tyro-print-completion", "bash"]], ids=lambda flags: flags[0])
def test_a_reader_that_leaves_early_hears_no_traceback(name: str, flags: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([BIN / name, *flags], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_report_that_nobody_reads_ends_quietly(tmp_path: Path) -> None:
    Store.open(tmp_path / "store").close()
    reading, writing = os.pipe()
    os.close(reading)
    command = [BIN / "status", tmp_path / "store"]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("name", ["annotate", "rollout"])
def test_an_image_root_that_is_not_there_is_told_before_anything_is_made(name: str, bin_folder: Path) -> None:
    folder = bin_folder.parent
    (folder / "seeds.json").write_text('[{"id": "a", "question": "1+1?", "correct_answer": "2"}]')
    out = "--store" if name == "annotate" else "--out"
    flags = ["--seeds", "seeds.json", "--model", str(ROOT / "examples" / "policy"), out, "made"]
    shown = run(name, [*flags, "--image-root", "nonexist"], bin_folder)
    assert shown.returncode == 64
    assert "error: --image-root nonexist: there is no such folder" in shown.stderr
    assert not (folder / "made").exists()


@pytest.mark.parametrize("arguments", [[], ["--full"], ["--out", "a folder"], ["--out=x", "--full"]], ids=str)
def test_quickstart_sets_up_only_for_flags_that_are_right(arguments: list[str], bin_folder: Path) -> None:
    shown = run("quickstart", arguments, bin_folder)
    assert shown.returncode == 99
    assert (bin_folder.parent / "set-up-reached").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_an_executable_only_parses_imports_and_runs(name: str) -> None:
    assert len((BIN / name).read_text().splitlines()) <= MAX_LINES


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
@pytest.mark.parametrize(("parent", "lives"), [(None, True), ("own", True), ("1", False)])
def test_a_process_whose_parent_is_gone_already_does_not_go_on(parent: str | None, lives: bool) -> None:
    program = "import launch; launch.die_with_parent(); print('lives')"
    kept = {name: value for name, value in os.environ.items() if name != "OMEGAPRM_PARENT"}
    named = {} if parent is None else {"OMEGAPRM_PARENT": str(os.getpid()) if parent == "own" else parent}
    environment = {**kept, **named, "PYTHONPATH": str(BIN)}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.stdout.strip() == "lives", ended.returncode == 0) == (lives, lives)


DRAINING = ("annotate", "rollout", "judge", "judge-steps", "train", "evaluate", "score-steps", "pipeline")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_before_a_command_has_begun_ends_it_with_75(number: signal.Signals) -> None:
    program = f"import launch, os; launch.into_environment(drains=True); os.kill(os.getpid(), {number}); print('lives')"
    environment = {**os.environ, "PYTHONPATH": str(BIN)}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (75, ""), ended.stderr


@pytest.mark.parametrize("name", DRAINING)
def test_a_command_that_drains_takes_signals_from_its_beginning(name: str) -> None:
    assert "launch.into_environment(drains=True)" in (BIN / name).read_text()
