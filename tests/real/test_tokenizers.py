"""The tokenizers of published models load, keep text, and join the tags between steps."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real import families, fetch
from tests.real.families import FAMILIES, NotFetched, folder

Load = Callable[[str], Any]

TEXTS = (
    "4*2 = 8</step><step>3+8 = 11</step>\n<answer>11</answer>",
    "So x = \\frac{1}{2}.\n\nThen  2x = 1.\n\n\n\tAnd don't forget: 12345.678 ≤ 10⁵!",
    "Über naïve Größen: 日本語のテキスト, русский, العربية, हिन्दी 🎉👩‍👩‍👧",
)
NUM_TEXTS = 500
PIECES = (
    *TEXTS,
    "step",
    " the",
    "  ",
    "     ",
    "\n",
    "\n\n",
    " \n",
    "\r\n",
    "\t",
    ".",
    "...",
    "//",
    "/\n",
    "><",
    "</",
    "_",
)
SCRIPTS = (
    (0x20, 0x7F),
    (0xA0, 0x250),
    (0x370, 0x530),
    (0x5D0, 0x700),
    (0x900, 0xA00),
    (0x3040, 0x9FFF),
    (0x1F300, 0x1FA00),
)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_tokenizer_loads_and_gives_back_the_text_that_it_encodes(real_tokenizer: Load, name: str) -> None:
    tokenizer = real_tokenizer(name)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tags_between_two_steps_share_a_token(real_tokenizer: Load, name: str) -> None:
    assert "><" in real_tokenizer(name).tokenize("</step><step>")


@pytest.mark.parametrize("name", FAMILIES)
def test_each_chat_template_shows_the_turns_in_order_and_each_marker_is_one_token(
    real_tokenizer: Load, name: str
) -> None:
    tokenizer = real_tokenizer(name)
    turns = [("system", "SYSTEM"), ("user", "FIRST"), ("assistant", "SECOND"), ("user", "THIRD")]
    said = [{"role": role, "content": content} for role, content in turns]
    text = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    shown = ["FIRST", "SECOND", "THIRD"]
    assert "SYSTEM" in text
    assert [text.index(content) for content in shown] == sorted(text.index(content) for content in shown)
    begin = {"llama2": "<s>", "nemo": "[INST]", "gemma3": "<start_of_turn>", "llama3.1": "<|start_header_id|>"}
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.convert_tokens_to_ids(begin.get(name, "<|im_start|>")) in ids


def test_internvl3_shows_an_image_as_its_context_token(real_tokenizer: Load) -> None:
    tokenizer = real_tokenizer("internvl3")
    said = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    assert tokenizer.apply_chat_template(said, tokenize=False) == (
        "<|im_start|>user\n<IMG_CONTEXT>\nWhat is it?<|im_end|>\n"
    )
    assert tokenizer.encode("<IMG_CONTEXT>") == [151667]


def test_the_converted_tekken_gives_the_ids_of_mistral_common(real_tokenizer: Load) -> None:
    tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken")
    ours = real_tokenizer("nemo")
    theirs = tekken.Tekkenizer.from_file(fetch.source(fetch.TEKKEN) / "tekken.json")
    for text in varied_texts(random.Random(20240718)):
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(text, bos=False, eos=False), repr(text)
    assert ours.encode("Hello") == theirs.encode("Hello", bos=True, eos=False)


def varied_texts(chance: random.Random) -> list[str]:
    """Text of many scripts with runs of spaces, newlines, repeated letters, digits and punctuation."""
    return ["".join(piece(chance) for _ in range(chance.randint(1, 12))) for _ in range(NUM_TEXTS)]


def piece(chance: random.Random) -> str:
    kind = chance.randrange(4)
    if kind == 0:
        return chance.choice(PIECES)
    if kind == 1:
        return str(chance.randrange(10 ** chance.randint(1, 9)))
    first, end = chance.choice(SCRIPTS)
    letters = [chr(chance.randrange(first, end)) for _ in range(chance.randint(1, 8))]
    return "".join(letters) if kind == 2 else letters[0] * chance.randint(1, 40)


def test_a_folder_is_made_once(real_folder: Callable[[str], Path]) -> None:
    made = real_folder("llama2")
    before = (made / "tokenizer.json").stat()
    assert folder("llama2") == made
    assert (made / "tokenizer.json").stat() == before
    assert json.loads((made / "tokenizer_config.json").read_text())["chat_template"]


@pytest.mark.parametrize("name", FAMILIES)
def test_without_the_cache_the_message_names_the_command_that_fills_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(fetch, "CACHE", tmp_path)
    monkeypatch.setattr(families, "MADE", tmp_path / "made")
    with pytest.raises(NotFetched, match=r"run python3 tests/real/fetch\.py"):
        folder(name)
