"""bin/ablate: a training and an evaluation for every cell of a grid, each once, and one table of all of them.

A cell is done when its cell.json stands; a killed one goes on where bin/train and bin/evaluate left it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine.errors import ConfigurationError, Drained, EngineDied, OmegaprmError
from omegaprm.engine.files import write_whole
from omegaprm.evaluator.ablation_config import AblationConfig, Cell
from omegaprm.evaluator.ablation_table import markdown, print_table

COMMANDS = Path(__file__).resolve().parent.parent / "bin"
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
UNTRAINED = "untrained"

Start = Callable[[], None]
"""What a child does before it becomes its command."""


def ablate(config: AblationConfig, start: Start | None = None, commands: Path = COMMANDS) -> None:
    """Do what is left of the grid, then write ablation.json and ablation.md and print the table.

    Errors: Drained on a signal, that of a command which failed, EngineDied where one crashed, ConfigurationError where
    the folder holds the ablation of other rows, candidates or flags.
    """
    out = Path(config.out)
    _claim(out, config)
    runner = _Runner(config, commands, start)
    runner.evaluate(out / UNTRAINED, config.model, {"name": UNTRAINED})
    for number, cell in enumerate(config.cells, 1):
        print(f"== {number}/{len(config.cells)} {cell.name}", file=sys.stderr, flush=True)
        runner.run(out / "cells" / cell.name, cell)
    cells = finished(out)
    write_whole(out / "ablation.json", msgspec.json.format(msgspec.json.encode(cells), indent=1) + b"\n")
    write_whole(out / "ablation.md", markdown(cells).encode())
    print_table(cells)


def finished(out: Path) -> list[dict[str, Any]]:
    """Every cell that is done in a folder, the untrained policy first, then by name."""
    paths = [out / UNTRAINED / "cell.json", *sorted((out / "cells").glob("*/cell.json"))]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


class _Runner:
    """Starts the commands of a cell and gathers what they left."""

    def __init__(self, config: AblationConfig, commands: Path, start: Start | None) -> None:
        self._config = config
        self._commands = commands
        self._start = start

    def run(self, folder: Path, cell: Cell) -> None:
        if (folder / "cell.json").exists():
            return
        config = self._config
        shared = {
            name: getattr(config, name)
            for name in ("model", "epochs", "max_steps", "batch_size", "learning_rate", "max_length")
        }
        self._command("train", {"rows": config.row_files, "out": folder / "prm", **shared, **cell.flags})
        trained = json.loads((folder / "prm" / "finished.json").read_text())
        made = {"name": cell.name, **msgspec.structs.asdict(cell)}
        made |= {name: trained[name] for name in ("num_rows", "num_labels", "num_steps", "final_loss")}
        self.evaluate(folder, str(folder / "prm"), made)

    def evaluate(self, folder: Path, prm: str, made: dict[str, Any]) -> None:
        """The figures of a PRM on every set of candidates, and cell.json, written last."""
        if (folder / "cell.json").exists():
            return
        config = self._config
        figures = {}
        for name, file in config.candidate_files.items():
            out = folder / "evaluation" / name
            flags = {"candidates": file, "prm": prm, "out": out, "draws": config.draws, "title": name}
            self._command("evaluate", flags | {"image_root": config.image_root(name, file)})
            figures[name] = _figures(json.loads((out / "evaluation.json").read_text())["prm"])
        write_whole(folder / "cell.json", json.dumps({**made, "figures": figures}, indent=1).encode())

    def _command(self, name: str, flags: dict[str, Any]) -> None:
        """A command to its end. Drained where a signal ended it, else the error that its code stands for."""
        words = [str(self._commands / name), *_words(flags)]
        child = subprocess.Popen(words, preexec_fn=self._start, stdout=subprocess.DEVNULL)
        with _handed_on(child):
            code = child.wait()
        if code == Drained.exit_code:
            raise Drained(f"bin/{name} stopped on a signal, what is done is kept: run the same command again")
        if code:
            raise _error_of(code)(f"bin/{name} ended with {code}")


def _error_of(code: int) -> type[OmegaprmError]:
    """The error that ends a command with a code; a crash has none of its own."""
    known = {error.exit_code: error for error in OmegaprmError.__subclasses__()}
    return known.get(code, EngineDied)


def _words(flags: dict[str, Any]) -> Iterator[str]:
    for name, value in flags.items():
        if value is not None:
            yield f"--{name.replace('_', '-')}"
            yield from map(str, value if isinstance(value, list) else [value])


@contextmanager
def _handed_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Signals go to the child, which saves and ends."""
    before = {number: signal.signal(number, lambda got, frame: child.send_signal(got)) for number in FORWARDED}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _figures(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What the table needs of an evaluation; the rest stays in its own file."""
    names = ("random", "majority", "weighted_vote", "pass_all", "best_of_n", "votes", "step_level", "num_problems")
    return {name: evaluation[name] for name in names}


def _claim(out: Path, config: AblationConfig) -> None:
    """One folder, one set of rows, candidates and flags beside the axes. ConfigurationError where they differ."""
    shared: dict[str, Any] = {
        name: getattr(config, name) for name in ("epochs", "max_steps", "batch_size", "learning_rate", "max_length")
    }
    files = [*map(Path, config.row_files), *config.candidate_files.values()]
    digests = {str(file): _digest(file) for file in files}
    wanted = shared | {"model": config.model, "draws": config.draws, "files": digests}
    kept = out / "ablation_config.json"
    out.mkdir(parents=True, exist_ok=True)
    if kept.exists() and (there := json.loads(kept.read_text())) != wanted:
        names = [name for name in wanted if wanted[name] != there.get(name)]
        raise ConfigurationError(f"--out {out}: holds an ablation with other {', '.join(names)}: take another folder")
    write_whole(kept, json.dumps(wanted, indent=1).encode())


def _digest(file: Path) -> str:
    try:
        return sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error
