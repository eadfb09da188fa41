"""The tags of the second bundled policy are cut as real byte-pair tokenizers cut them, and all else as before."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from examples.build_policy import FORMAT_TOKENS
from examples.pretraining import documents
from examples.retokenise import retokenised

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BUNDLED = EXAMPLES / "policy-bpe" / "tokenizer.json"


@pytest.fixture(scope="module")
def old_spec() -> dict[str, Any]:
    return dict(json.loads((EXAMPLES / "policy" / "tokenizer.json").read_text()))


@pytest.fixture(scope="module")
def old(old_spec: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(old_spec))


@pytest.fixture(scope="module")
def new(old_spec: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(retokenised(old_spec)))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("8</step><step>3", ["8", "</", "step", "><", "step", ">", "3"]),
        ("8</step><answer>8", ["8", "</", "step", "><", "answer", ">", "8"]),
        ("8</answer><|im_end|>", ["8", "</", "answer", ">", "<|im_end|>"]),
    ],
)
def test_the_border_between_two_tags_is_inside_a_token(new: Tokenizer, text: str, pieces: list[str]):
    encoded = new.encode(text)
    assert encoded.tokens == pieces
    assert new.decode(encoded.ids, skip_special_tokens=False) == text


def test_text_without_tags_keeps_its_tokens(old: Tokenizer, new: Tokenizer):
    for document in islice(documents(random.Random("retokenise")), 500):
        text = document.prompt + document.text
        for tag in FORMAT_TOKENS:
            text = text.replace(tag, "\n")
        assert new.encode(text).ids == old.encode(text).ids


def test_the_bundled_policy_has_this_tokenizer(new: Tokenizer):
    bundled = Tokenizer.from_file(str(BUNDLED))
    assert bundled.get_vocab() == new.get_vocab()
    for document in islice(documents(random.Random("bundled")), 200):
        text = document.prompt + document.text
        assert bundled.encode(text).ids == new.encode(text).ids
