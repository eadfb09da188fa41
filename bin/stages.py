"""Runs the commands of one job in their order, each once: a stage that is done is skipped, one that was cut goes on.

Each stage is a command of bin/ in a process of its own, so that an engine has left the machine before a training
starts. The TOML file has a table a stage, with that command's flags; what links the stages need not be written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import launch
import msgspec

from omegaprm.engine.errors import ConfigurationError, OmegaprmError, StoreFailed, UsageError

COMMANDS = Path(__file__).resolve().parent
STAGES = ("annotate", "export", "train", "rollout", "evaluate")
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
EXAMPLE = """
  out = "run"
  [annotate]
  seeds = ["seeds.json"]
  model = "policy"
  [train]
  epochs = 2
  [rollout]
  seeds = ["test.json"]
"""

Tables = dict[str, dict[str, Any]]


def main(arguments: list[str], commands: Path = COMMANDS) -> int:
    """Run the job of a TOML file; the exit code of the stage that ended it, or 0."""
    parser = argparse.ArgumentParser(
        prog="bin/pipeline",
        description=__doc__,
        epilog="An example:\n" + EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="TOML file: out, and a table a stage")
    parser.add_argument("--out", type=Path, help="folder for everything it makes; overrides the file's out")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return UsageError.exit_code if stop.code else 0
    try:
        out, tables = read(options.config, options.out)
        _make(out)
        return run(out, tables, commands)
    except OmegaprmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def read(config: Path, out: Path | None) -> tuple[Path, Tables]:
    """(folder, table of each stage with its links). ConfigurationError where a name or a value is wrong."""
    try:
        content = msgspec.toml.decode(config.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"--config {config}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"--config {config}: not TOML: {error}") from error
    folder = out or content.pop("out", None)
    content.pop("out", None)
    if folder is None:
        raise ConfigurationError(f'--config {config}: out: must name a folder, as in out = "run", or give --out')
    for name, table in content.items():
        if name not in STAGES or not isinstance(table, dict):
            raise ConfigurationError(f"--config {config}: {name}: must be a table, one of {', '.join(STAGES)}")
    tables = linked(Path(folder), content)
    for name, table in tables.items():
        _check_names(config, name, table)
    return Path(folder), tables


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(f"--out {out}: {error.strerror}") from error


def linked(out: Path, tables: Tables) -> Tables:
    """Every stage's flags, those that hand one stage's output to the next filled in where they are not given."""
    named = {name: {key.replace("-", "_"): value for key, value in tables.get(name, {}).items()} for name in STAGES}
    annotate = named["annotate"]
    model = {"model": annotate["model"]} if "model" in annotate else {}
    links: Tables = {
        "annotate": {"store": str(out / "store")},
        "export": {"stores": [annotate.get("store", str(out / "store"))], "out": str(out / "rows")},
        "train": {**model, "rows": [str(out / "rows" / "meta.json")], "out": str(out / "prm")},
        "rollout": {**model, "out": str(out / "candidates.json")},
        "evaluate": {
            "candidates": [str(out / "candidates.json")],
            "prm": named["train"].get("out", str(out / "prm")),
            "out": str(out / "evaluation"),
        },
    }
    return {name: {**links[name], **named[name]} for name in STAGES}


def _check_names(config: Path, stage: str, table: dict[str, Any]) -> None:
    """Every stage's names and what it cannot do without, before the first stage starts."""
    fields = {field.name: field for field in msgspec.structs.fields(_config_of(stage))}
    for key in table:
        if key not in fields:
            raise ConfigurationError(f"--config {config}: {stage}.{key}: bin/{stage} has no such flag")
    for name, field in fields.items():
        if field.required and name not in table:
            raise ConfigurationError(f"--config {config}: {stage}.{name}: is missing, and bin/{stage} needs it")


def _config_of(stage: str) -> type[msgspec.Struct]:
    from omegaprm.engine.config import AnnotateConfig, RolloutConfig
    from omegaprm.engine.export import ExportConfig
    from omegaprm.evaluator.config import EvaluateConfig
    from omegaprm.trainer.config import TrainConfig

    configs = (AnnotateConfig, ExportConfig, TrainConfig, RolloutConfig, EvaluateConfig)
    return dict(zip(STAGES, configs, strict=True))[stage]


def run(out: Path, tables: Tables, commands: Path) -> int:
    """Run every stage that is not done under these flags, and those behind it; 0, or the code of one that failed."""
    record = out / "pipeline.json"
    done: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    so_far = hashlib.sha256()
    for stage in STAGES:
        so_far.update(json.dumps([stage, tables[stage]], sort_keys=True, default=str).encode())
        if done.get(stage) == so_far.hexdigest():
            print(f"== {stage}: done before", flush=True)
            continue
        code = run_stage(stage, tables[stage], out, commands)
        if code != 0:
            print(f"== {stage} ended with {code}; the same command goes on from here", file=sys.stderr)
            return code
        done[stage] = so_far.hexdigest()
        fresh = record.with_suffix(".new")
        fresh.write_text(json.dumps(done, indent=1) + "\n")
        fresh.replace(record)
    return 0


def run_stage(stage: str, table: dict[str, Any], out: Path, commands: Path) -> int:
    """One command to its end, signals handed on to it; its exit code, 75 and the like included."""
    flags = out / f"{stage}.toml"
    flags.write_bytes(msgspec.toml.encode(table))
    print(f"== {stage}\n$ bin/{stage} --config {flags}", flush=True)
    started = time.monotonic()
    child = subprocess.Popen(
        [str(commands / stage), "--config", str(flags)], start_new_session=True, preexec_fn=launch.die_with_parent
    )
    before = {number: signal.signal(number, lambda got, frame: child.send_signal(got)) for number in FORWARDED}
    try:
        code = child.wait()
    finally:
        for number, action in before.items():
            signal.signal(number, action)
    print(f"== {stage}: {time.monotonic() - started:.0f} s", flush=True)
    return code if code >= 0 else 128 - code
