"""The files in deploy/ are well-formed and keep to the exit codes; preempted five times, a shard exports the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import msgspec
import pytest

from omegaprm.engine import errors
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.export import ExportConfig, export
from tests.fakes.annotate import PAUSE

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
SBATCH = DEPLOY / "slurm" / "annotate.sbatch"
UNIT = DEPLOY / "systemd" / "omegaprm@.service"
CONTAINERFILES = sorted((DEPLOY / "oci").iterdir())
NUM_PREEMPTIONS = 5
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")

AGAIN = {69, 70, 75}
"""Exit codes after which the same command may come further by itself; 73 where the run before is still leaving."""
CODES = {error.exit_code for error in errors.OmegaprmError.__subclasses__()}


def unit_values(name: str) -> list[str]:
    return [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(f"{name}=")]


def codes(text: str) -> set[int]:
    return {int(word) for word in text.split()}


def test_the_unit_restarts_what_may_go_on_and_leaves_the_rest_to_a_person():
    again, never = codes(unit_values("RestartForceExitStatus")[0]), codes(unit_values("RestartPreventExitStatus")[0])
    assert again == AGAIN
    assert again | never == CODES
    assert unit_values("SuccessExitStatus") == ["75"]


def test_the_unit_leaves_time_to_drain():
    default = next(f for f in msgspec.structs.fields(AnnotateConfig) if f.name == "drain_seconds").default
    assert float(unit_values("TimeoutStopSec")[0]) > 2 * default


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_takes_the_unit_without_a_word(tmp_path: Path):
    """With the checkout's own place for that of a home."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("%h/omegaprm", str(ROOT)))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_flags_in_deploy_are_those_of_annotate():
    known = {f"--{field.name.replace('_', '-')}" for field in msgspec.structs.fields(AnnotateConfig)} | {"--config"}
    scripts = [line for line in SBATCH.read_text().splitlines() if "annotate[@]" in line]
    job = re.findall(r"exec bin/annotate(.*?)\n +env:", (DEPLOY / "kubernetes" / "job.yaml").read_text(), re.DOTALL)
    used = [FLAG.findall(text) for text in (*scripts, *job, *unit_values("ExecStart"))]
    assert len(used) == 3
    for flags in used:
        assert flags
        assert set(flags) <= known


@pytest.mark.parametrize(
    "script", [SBATCH, ROOT / "bin" / "test", ROOT / "bin" / "quickstart", ROOT / ".ci" / "run"], ids=str
)
def test_shellcheck_finds_nothing_in_a_shell_script(script: Path):
    shellcheck = Path(sys.executable).with_name("shellcheck")
    checked = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


class OnCodes(msgspec.Struct, forbid_unknown_fields=True):
    containerName: str
    operator: str
    values: list[int]


class OnCondition(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    status: str = "True"


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    action: str
    onExitCodes: OnCodes | None = None
    onPodConditions: list[OnCondition] | None = None


class FailurePolicy(msgspec.Struct, forbid_unknown_fields=True):
    rules: list[Rule]


class Exec(msgspec.Struct, forbid_unknown_fields=True):
    command: list[str]


class Hook(msgspec.Struct, forbid_unknown_fields=True):
    exec: Exec


class Lifecycle(msgspec.Struct, forbid_unknown_fields=True):
    preStop: Hook


class Probe(msgspec.Struct, forbid_unknown_fields=True):
    exec: Exec
    initialDelaySeconds: int
    periodSeconds: int
    timeoutSeconds: int
    failureThreshold: int


class Mount(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    mountPath: str


class Resources(msgspec.Struct, forbid_unknown_fields=True):
    limits: dict[str, str]


class Container(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    image: str
    command: list[str]
    args: list[str]
    env: list[dict]
    resources: Resources
    livenessProbe: Probe
    lifecycle: Lifecycle
    volumeMounts: list[Mount]


class PodSpec(msgspec.Struct, forbid_unknown_fields=True):
    restartPolicy: str
    terminationGracePeriodSeconds: int
    containers: list[Container]
    volumes: list[dict]


class Template(msgspec.Struct, forbid_unknown_fields=True):
    metadata: dict
    spec: PodSpec


class JobSpec(msgspec.Struct, forbid_unknown_fields=True):
    completionMode: str
    completions: int
    parallelism: int
    backoffLimitPerIndex: int
    maxFailedIndexes: int
    podReplacementPolicy: str
    podFailurePolicy: FailurePolicy
    template: Template


class Job(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of batch/v1's Job that are used, as Kubernetes documents them."""

    apiVersion: str
    kind: str
    metadata: dict
    spec: JobSpec


def job() -> Job:
    return msgspec.yaml.decode((DEPLOY / "kubernetes" / "job.yaml").read_bytes(), type=Job)


def test_the_job_has_only_fields_that_there_are_and_values_that_go_together():
    given = job()
    spec, pod = given.spec, given.spec.template.spec
    assert (given.apiVersion, given.kind, spec.completionMode) == ("batch/v1", "Job", "Indexed")
    assert pod.restartPolicy == "Never", "podFailurePolicy needs it"
    assert spec.podReplacementPolicy == "Failed", "podFailurePolicy allows no other"
    assert spec.maxFailedIndexes <= spec.completions
    (container,) = pod.containers
    assert f"/{spec.completions}" in container.args[0].split("--shard")[1]
    assert {mount.name for mount in container.volumeMounts} == {volume["name"] for volume in pod.volumes}
    assert container.lifecycle.preStop.exec.command[-1].startswith("kill -USR1 1;")
    default = next(f for f in msgspec.structs.fields(AnnotateConfig) if f.name == "drain_seconds").default
    assert pod.terminationGracePeriodSeconds > 2 * default


def test_the_job_fails_an_index_for_codes_that_come_again_and_never_for_a_drain():
    spec = job().spec
    by_action: dict[str, set[int]] = {}
    for rule in spec.podFailurePolicy.rules:
        assert (rule.onExitCodes is None) != (rule.onPodConditions is None)
        if rule.onExitCodes:
            assert rule.onExitCodes.operator == "In"
            assert rule.onExitCodes.containerName == spec.template.spec.containers[0].name
            by_action.setdefault(rule.action, set()).update(rule.onExitCodes.values)
    assert by_action == {"Ignore": {75}, "FailIndex": CODES - AGAIN - {73}}
    assert spec.podFailurePolicy.rules[0].onPodConditions == [OnCondition("DisruptionTarget")]


@pytest.mark.parametrize("file", CONTAINERFILES, ids=lambda file: file.name)
def test_a_containerfile_runs_annotate_as_process_1_and_not_as_root(file: Path):
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    words = [line.split(maxsplit=1) for line in lines]
    assert words[0][0] == "FROM"
    instructions = {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "USER", "STOPSIGNAL", "ENTRYPOINT"}
    assert {word[0] for word in words} <= instructions
    (entry,) = [word[1] for word in words if word[0] == "ENTRYPOINT"]
    assert json.loads(entry) == ["bin/annotate"], "without a shell in between, or signals are lost"
    assert [word[1] for word in words if word[0] == "USER"] == ["omegaprm"]
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["gpu"]
    if file.suffix == ".gpu":
        assert pins[0] in file.read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """config.toml for a scripted daemon over 24 problems, a scontrol that notes what it is asked, and an export."""
    folder = tmp_path_factory.mktemp("slurm")
    rows = [{"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n} for n in range(24)]
    (folder / "seeds.json").write_text(json.dumps(rows))
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    (folder / "config.toml").write_text(
        f'seeds = ["{folder}/seeds.json"]\nmodel = "{folder}/model"\nrollout_budget = 480\nconcurrency = 12\n'
    )
    (folder / "bin").mkdir()
    (folder / "bin" / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {folder}/scontrol.log\n')
    (folder / "bin" / "scontrol").chmod(0o755)
    return folder


def task(folder: Path, stores: str, pause: str, part: int = 1) -> subprocess.Popen[str]:
    """Array task `part` of two, as Slurm starts it, with the scripted daemon."""
    slurm = {"ARRAY_TASK_ID": str(part), "ARRAY_TASK_MIN": "0", "ARRAY_TASK_COUNT": "2", "ARRAY_JOB_ID": "77"}
    environment = {**os.environ, **{f"SLURM_{name}": value for name, value in slurm.items()}, PAUSE: pause}
    environment["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment["OMEGAPRM_ANNOTATE"] = f"{sys.executable} -m tests.fakes.annotate"
    words = ["bash", str(SBATCH), str(folder / "config.toml"), str(folder / stores)]
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def exported(folder: Path, stores: str) -> bytes:
    out = folder / f"{stores}-rows"
    export(ExportConfig(stores=(str(folder / f"{stores}-1"),), out=str(out)))
    return (out / "train.jsonl").read_bytes()


def wait_for_growth(store: Path, process: subprocess.Popen[str]) -> None:
    """Until the daemon has said that it runs, and the store has grown since."""
    data = store / "data.mdb"
    assert process.stderr is not None
    while '"running"' not in (line := process.stderr.readline()):
        assert line, "the daemon ended before it ran"
    before = data.stat().st_mtime_ns
    while data.stat().st_mtime_ns == before:
        assert process.poll() is None
        time.sleep(0.005)


def test_a_task_preempted_five_times_is_requeued_each_time_and_exports_the_same(folder: Path):
    undisturbed = task(folder, "undisturbed", pause="0")
    _, said = undisturbed.communicate(timeout=60)
    assert undisturbed.returncode == 0, said
    for at in range(NUM_PREEMPTIONS):
        process = task(folder, "preempted", pause="0.2")
        wait_for_growth(folder / "preempted-1", process)
        process.send_signal((signal.SIGTERM, signal.SIGUSR1)[at % 2])
        _, said = process.communicate(timeout=60)
        assert process.returncode == 75, said
    assert (folder / "scontrol.log").read_text().splitlines() == ["requeue 77_1"] * NUM_PREEMPTIONS
    last = task(folder, "preempted", pause="0")
    _, said = last.communicate(timeout=60)
    assert last.returncode == 0, said
    assert exported(folder, "preempted") == exported(folder, "undisturbed") != b""
    assert (folder / "scontrol.log").read_text().count("\n") == NUM_PREEMPTIONS


def test_a_wrong_configuration_is_not_requeued(tmp_path: Path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/scontrol.log\n')
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    (tmp_path / "config.toml").write_text('seeds = ["s"]\nno_such_flag = 1\n')
    ended = task(tmp_path, "none", pause="0")
    ended.communicate(timeout=60)
    assert ended.returncode == 78
    assert not (tmp_path / "scontrol.log").exists()
