"""Tells one model folder from another by its content, before anything heavy is imported."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from omegaprm.engine.errors import ConfigurationError

EDGE_BYTES = 1 << 20
"""Of a weights file, this much at either end is hashed, with its size; a smaller file is hashed whole."""

_TEXT_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "processor_config.json",
    "preprocessor_config.json",
    "prompt_date.json",
)


def require(model: str, flag: str = "--model") -> Path:
    """The model's folder; ConfigurationError, naming the flag, where it is not one that Hugging Face could load."""
    folder = Path(model)
    if not folder.is_dir():
        raise ConfigurationError(f"{flag} {model}: must be a local folder with a Hugging Face model")
    if not (folder / "config.json").is_file():
        raise ConfigurationError(f"{flag} {model}: there is no config.json in this folder")
    if not weights(folder):
        raise ConfigurationError(f"{flag} {model}: there are no weights (*.safetensors) in this folder")
    return folder


def weights(folder: Path) -> list[Path]:
    """The folder's weight files, in order of name."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))


def describe(model: str, flag: str = "--model") -> dict[str, str]:
    """SHA-256 (16 hex digits) of the model's config, weights and text side, whatever the folder is called."""
    folder = require(model, flag)
    return {
        "model_config": _digest([folder / "config.json"]),
        "model_weights": _digest(weights(folder)),
        "model_tokenizer": _digest(folder / name for name in _TEXT_FILES if (folder / name).is_file()),
    }


def model_digest(model: str, flag: str = "--model") -> str:
    """One value for all that describe() names."""
    return "-".join(describe(model, flag).values())


def text_digest(model: str) -> str:
    """The text side alone, of a folder that need not hold weights."""
    folder = Path(model)
    if not folder.is_dir():
        raise ConfigurationError(f"--model {model}: must be a local folder with the model's tokenizer")
    return _digest(folder / name for name in _TEXT_FILES if (folder / name).is_file())


def _digest(paths: Iterable[Path]) -> str:
    sha = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        sha.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            sha.update(file.read(EDGE_BYTES))
            file.seek(max(EDGE_BYTES, size - EDGE_BYTES))
            sha.update(file.read())
    return sha.hexdigest()[:16]
