"""What an output folder holds beside the model, and whether a training may go on in it.

train_config.json   every flag, and digests of the rows and the model it started from
checkpoints/        checkpoint-N each, "complete" in it once all of it is written
prompt_date.json    the date of its inputs, where the chat template writes one
train_log.json      loss, gradient norm and learning rate, a line of the progress each
held_out_log.json   loss, step AUC and calibration of every look at the held-out rows
validation_log.json Best-of-N of every look at the validation candidates
tensorboard/        the same as curves
training.lock       held while a process trains here
finished.json       written last: the model is whole, and the same command has nothing left to do
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import IO, Any

import msgspec

from omegaprm.engine import template_date
from omegaprm.engine.errors import ConfigurationError, StoreFailed, StoreHeld
from omegaprm.engine.files import write_whole
from omegaprm.trainer.config import WITHOUT_EFFECT, TrainConfig

COMPLETE = "complete"
LOCK_FILE = "training.lock"
"""Held, by flock, by the process that trains here; a dead one's holds nothing."""
LOCK_TRIES, LOCK_PAUSE_SECONDS = 20, 0.5
"""The data loaders of a killed training outlive it by some seconds, and hold what it held."""
SHA256_DIGITS = 64
SAMPLE_BYTES = 2**16
"""Read at both ends of each weights file to tell models apart; training changes every weight."""


class Record:
    """The output folder of one training."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.checkpoints = self.folder / "checkpoints"
        self._config = self.folder / "train_config.json"
        self._finished = self.folder / "finished.json"

    @property
    def is_finished(self) -> bool:
        return self._finished.exists()

    def claim(self, identity: dict[str, Any], config: TrainConfig) -> None:
        """Write down what this training is, and keep other processes out while this one lives.

        Flags that failed before the first checkpoint bind nobody. ConfigurationError where the folder holds the
        work of another training, StoreHeld where one is under way.
        """
        if self.is_finished:
            return self._require_same(identity)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / LOCK_FILE).open("a")
        except OSError as error:
            raise StoreFailed(f"--out {self.folder}: {error.strerror}") from error
        if not _taken(self._lock):
            raise StoreHeld(f"--out {self.folder}: another process is training there")
        if self.newest_checkpoint():
            self._require_same(identity)
        else:
            template_date.record(self.folder, _prompt_date(config))
        _write(self._config, {"identity": identity, "config": msgspec.to_builtins(config)})

    def _require_same(self, identity: dict[str, Any]) -> None:
        there = {**_defaults(), **json.loads(self._config.read_text())["identity"]}
        different = [
            f"{_flag(name)} {_shown(there.get(name))} there, {_shown(value)} here"
            for name, value in identity.items()
            if value != there.get(name)
        ]
        if different:
            raise ConfigurationError(
                f"--out {self.folder}: holds another training: {', '.join(different)}; "
                "name another --out, or give the flags and files of that one"
            )

    def prompt_date(self) -> datetime.date | None:
        """The date of this training's inputs, once it is claimed; None where they have none."""
        return template_date.recorded(self.folder)

    def newest_checkpoint(self) -> Path | None:
        """The last checkpoint that was written to its end."""
        found = [path.parent for path in self.checkpoints.glob(f"checkpoint-*/{COMPLETE}")]
        return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"checkpoint-{step}"

    def complete(self, step: int) -> None:
        """Say that checkpoint-step is whole, once it is on disk."""
        os.sync()
        (self.checkpoint(step) / COMPLETE).touch()

    def remove_cut_checkpoints(self) -> None:
        """Those that a killed process left; they would count among the few that are kept."""
        for path in self.checkpoints.glob("checkpoint-*"):
            if not (path / COMPLETE).exists():
                shutil.rmtree(path)

    def finish(self, result: dict[str, Any], keep_checkpoints: bool) -> None:
        _write(self._finished, result)
        (self.folder / LOCK_FILE).unlink(missing_ok=True)
        if not keep_checkpoints:
            self.remove_checkpoints()

    def remove_checkpoints(self) -> None:
        if self.checkpoints.exists():
            shutil.rmtree(self.checkpoints)

    def write_log(self, entries: list[dict[str, Any]]) -> None:
        _write(self.folder / "train_log.json", entries)

    def write_looks(self, entries: list[dict[str, Any]]) -> None:
        _write(self.folder / "held_out_log.json", entries)

    def write_validation(self, entries: list[dict[str, Any]]) -> None:
        _write(self.folder / "validation_log.json", entries)


def identity(
    config: TrainConfig, rows_digest: str, num_processes: int, validation_digest: str | None = None
) -> dict[str, Any]:
    """All that the weights follow from, and what the curves are taken on."""
    flags = {name: value for name, value in msgspec.to_builtins(config).items() if name not in WITHOUT_EFFECT}
    model = _model_digest(Path(config.model))
    digests = {"rows_sha256": rows_digest, "model_sha256": model, "validation_sha256": validation_digest}
    return {**flags, **digests, "num_processes": num_processes}


def _prompt_date(config: TrainConfig) -> datetime.date | None:
    given = template_date.parse(config.prompt_date) or template_date.recorded(config.model)
    return template_date.chosen(template_date.named(config.model), given)


def _defaults() -> dict[str, Any]:
    """What a training that was started before a flag existed was under."""
    return {field.name: field.default for field in msgspec.structs.fields(TrainConfig)}


def _taken(lock: IO[str]) -> bool:
    """Whether the lock is ours; on a file system that knows none nobody is kept out."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_SECONDS)
        except OSError:
            return True
        else:
            return True
    return False


def _flag(name: str) -> str:
    """An entry of the identity as a person gave it."""
    return "--" + name.replace("_", "-") if name in _defaults() else name.replace("_", " ")


def _shown(value: Any) -> str:
    return f"{value[:8]}…" if isinstance(value, str) and len(value) == SHA256_DIGITS else repr(value)


def _model_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.json")) + sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(SAMPLE_BYTES))
            file.seek(max(0, size - SAMPLE_BYTES))
            digest.update(file.read())
    return digest.hexdigest()


def _write(path: Path, content: Any) -> None:
    write_whole(path, f"{json.dumps(content, indent=1)}\n".encode())
