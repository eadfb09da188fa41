"""Converts a tekken file of mistral_common to a tokenizer.json that gives the same ids for the same text."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

TOOLS = ["[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]"]
SPECIAL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", *TOOLS, "<pad>", "[PREFIX]", "[MIDDLE]", "[SUFFIX]"]
"""Mistral Nemo's names of its first ids; the rest, up to 1,000, are <SPECIAL_14> and so on."""
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def convert(tekken: dict[str, Any]) -> dict[str, Any]:
    """The content of tokenizer.json for the content of a tekken file."""
    config = tekken["config"]
    num_special = config["default_num_special_tokens"]
    special = [*SPECIAL, *(f"<SPECIAL_{at}>" for at in range(len(SPECIAL), num_special))]
    tokens = [base64.b64decode(entry["token_bytes"]) for entry in tekken["vocab"]]
    tokens = tokens[: config["default_vocab_size"] - num_special]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(at, name) for at, name in enumerate(special)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split(config["pattern"]), BYTE_LEVEL]},
        "post_processor": begin_with("<s>", special.index("<s>")),
        "decoder": BYTE_LEVEL,
        "model": model(special, tokens),
    }


def added(token_id: int, content: str, special: bool = True) -> dict[str, Any]:
    """An entry of tokenizer.json's added_tokens."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token_id, "content": content, **flags, "special": special}


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def begin_with(token: str, token_id: int) -> dict[str, Any]:
    begin = {"SpecialToken": {"id": token, "type_id": 0}}
    texts = [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
    known = {token: {"id": token, "ids": [token_id], "tokens": [token]}}
    pair = [begin, texts[0], begin, texts[1]]
    return {"type": "TemplateProcessing", "single": [begin, texts[0]], "pair": pair, "special_tokens": known}


def model(special: list[str], tokens: list[bytes]) -> dict[str, Any]:
    """The byte-level BPE: ids are the special tokens' places, then the tokens' ranks after them."""
    letters = byte_letters()
    shown = ["".join(letters[byte] for byte in token) for token in tokens]
    vocab = {name: at for at, name in enumerate([*special, *shown])}
    return {"type": "BPE", "ignore_merges": True, "vocab": vocab, "merges": list(merges(shown))}


def merges(tokens: list[str]) -> Iterator[tuple[str, str]]:
    """Every pair of tokens that makes another token, in the order of the tokens that they make."""
    ranks = {token: rank for rank, token in enumerate(tokens)}
    for token in tokens:
        pairs = [(token[:at], token[at:]) for at in range(1, len(token))]
        known = [pair for pair in pairs if pair[0] in ranks and pair[1] in ranks]
        yield from sorted(known, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))


def byte_letters() -> list[str]:
    """The printable letter that byte-level BPE writes for each byte: itself, or the next letter from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
