"""Fixtures with the tokenizers of published models. A conftest.py imports them; its tests skip without the cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.real.families import NotFetched, folder


@pytest.fixture(scope="session")
def real_folder() -> Callable[[str], Path]:
    """A function that gives a family's Hugging Face folder, shared by all tests: copy it before you write into it."""
    return folder_or_skip


@pytest.fixture(scope="session")
def real_tokenizer() -> Callable[[str], Any]:
    """A function that gives a family's tokenizer as transformers loads it, shared by all tests: do not change it."""
    return tokenizer_or_skip


def folder_or_skip(name: str) -> Path:
    try:
        return folder(name)
    except NotFetched as error:
        pytest.skip(str(error))


@cache
def tokenizer_or_skip(name: str) -> Any:
    found = folder_or_skip(name)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(found)
