"""Solved problems that the policy is shown before its own, for models that do not write steps when only told to."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import msgspec

from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.prompts import Example, parse, shown_steps, whole
from omegaprm.engine.seams import StepFormat


def read_examples(path: str | None, step_format: StepFormat) -> tuple[Example, ...]:
    """The examples of --few-shot, a JSON list; none without a file.

    ConfigurationError where it cannot be read, or holds a solution that would not read back as its own steps.
    """
    if path is None:
        return ()
    try:
        examples = msgspec.json.decode(Path(path).read_bytes(), type=tuple[Example, ...])
    except OSError as error:
        raise ConfigurationError(f"--few-shot {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"--few-shot {path}: must be a JSON list of question, steps, answer: {error}"
        ) from error
    if not examples:
        raise ConfigurationError(f"--few-shot {path}: must hold at least one solved problem")
    for at, example in enumerate(examples, 1):
        _require_readable(path, at, example, step_format)
    return examples


def examples_digest(examples: tuple[Example, ...]) -> str:
    """Stands for what the policy is shown, wherever the file lies."""
    return blake2b(msgspec.msgpack.encode(examples), digest_size=16).hexdigest()


def _require_readable(path: str, at: int, example: Example, step_format: StepFormat) -> None:
    steps = shown_steps(example, step_format)
    read = parse(whole(steps, step_format), step_format)
    if read is None or read.steps != steps:
        found = "as nothing" if read is None else f"as {len(read.steps)} steps"
        raise ConfigurationError(
            f"--few-shot {path}: solution {at} of {len(example.steps)} steps and an answer reads back {found} "
            f"under --step-format {step_format}"
        )
