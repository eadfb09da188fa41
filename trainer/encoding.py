"""A question, its steps and images become model inputs in one way, here, for training and for scoring.

The chat template's user turn: the images, then process_text(question, steps) with a <prm> behind every step.
Special tokens written out inside a question or a step are left out, so that none but ours are counted.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from PIL import Image
from tokenizers import AddedToken
from transformers import AutoConfig, AutoProcessor

from omegaprm.engine import template_date
from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.images import as_rgb
from omegaprm.engine.records import PRM_TOKEN, process_text

Encoded = dict[str, torch.Tensor]
"""What the processor returns for one row: tensors of shape (1, tokens), and features of its images."""

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
YES, NO = "Yes", "No"
TEXTS_A_CALL = 256
NO_LIMIT = 10**9
"""Tokenizers without a length of their own carry a number far above this one."""


class Item(msgspec.Struct, frozen=True):
    """A question with the steps of one solution; images are paths, absolute or relative to where we run."""

    question: str
    steps: tuple[str, ...]
    images: tuple[str, ...] = ()


class Unusable(Exception):
    """This item cannot become model inputs; kind is "too long", "image" or "template"."""

    def __init__(self, kind: str, rule: str) -> None:
        super().__init__(rule)
        self.kind = kind


class ScoreTokens(msgspec.Struct, frozen=True):
    """Token ids: the one a score is read at, and the two whose logits it is read from."""

    prm: int
    yes: int
    no: int


class Encoder:
    """The processor of one model, with <prm>, "Yes" and "No" in its vocabulary, put there where it lacks them.

    max_length: tokens an item at the most, by default the model's context. date: what a chat template that writes
    today's is given. ConfigurationError where <prm>, "Yes" or "No" is not one token.
    """

    def __init__(self, processor: Any, max_length: int, date: datetime.date | None = None) -> None:
        self.processor = processor
        self._dated = template_date.fixed(processor, date)
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.max_length = max_length
        if PRM_TOKEN not in self.tokenizer.get_vocab():
            self.tokenizer.add_tokens([AddedToken(PRM_TOKEN, special=True, normalized=False)], special_tokens=True)
        for text in (YES, NO):
            if not self._is_token(text):
                self.tokenizer.add_tokens([AddedToken(text, single_word=True, normalized=False)])
        self.tokens = ScoreTokens(*(self._single(text) for text in (PRM_TOKEN, YES, NO)))
        self._takes_images = self.tokenizer is not processor
        special = sorted({PRM_TOKEN, *self.tokenizer.all_special_tokens}, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, special)))

    @classmethod
    def load(cls, folder: str | Path, max_length: int | None = None, date: datetime.date | None = None) -> Encoder:
        """The encoder of a model folder; ConfigurationError where it holds no processor or tokenizer.

        date: by default the one that the folder records.
        """
        if not (Path(folder) / "config.json").is_file():
            raise ConfigurationError(f"model {folder}: must be a local model folder, with config.json")
        try:
            processor = AutoProcessor.from_pretrained(folder)
            config = AutoConfig.from_pretrained(folder).get_text_config()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"model {folder}: no processor could be loaded: {error}") from error
        tokenizer = getattr(processor, "tokenizer", processor)
        context = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", NO_LIMIT))
        return cls(processor, max_length or context, date or template_date.recorded(folder))

    def encode(self, item: Item) -> Encoded:
        """One item; Unusable where it cannot be."""
        encoded = self.encode_many([item])[0]
        if isinstance(encoded, Unusable):
            raise encoded
        return encoded

    def encode_many(self, items: Sequence[Item]) -> list[Encoded | Unusable]:
        """Items in their order, the text-only ones through the processor many at once."""
        encoded: list[Encoded | Unusable | None] = [None] * len(items)
        texts = [at for at, item in enumerate(items) if not item.images]
        for start in range(0, len(texts), TEXTS_A_CALL):
            part = texts[start : start + TEXTS_A_CALL]
            for at, row in zip(part, self._encode_texts([items[at] for at in part]), strict=True):
                encoded[at] = self._bounded(row)
        for at, item in enumerate(items):
            if item.images:
                encoded[at] = self._encode_images(item)
        return [row for row in encoded if row is not None]

    def collate(self, rows: Sequence[Encoded]) -> Encoded:
        """One batch: sequences padded on the right, image features one after the other, in row order."""
        longest = max(length(row) for row in rows)
        batch: Encoded = {}
        for key in dict.fromkeys(key for row in rows for key in row):
            having = [row for row in rows if key in row]
            values = [row[key] for row in having]
            if all(row[key].shape == row["input_ids"].shape for row in having):
                blank = values[0].new_zeros((1, 0))
                values = [row.get(key, blank) for row in rows]
                batch[key] = _pad_and_join(values, (longest,), self._pad_id if key == "input_ids" else 0)
            else:
                sizes = tuple(max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True))
                batch[key] = _pad_and_join(values, sizes, 0)
        return batch

    @property
    def _pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.tokenizer.eos_token_id or 0)

    def _is_token(self, text: str) -> bool:
        """Whether a text is one token of its own; the one that stands for all unknown texts is not."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id

    def _single(self, text: str) -> int:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        if len(ids) != 1:
            raise ConfigurationError(f'"{text}" is {len(ids)} tokens for this tokenizer; it must be one')
        return int(ids[0])

    def _encode_texts(self, items: list[Item]) -> Iterable[Encoded]:
        texts = [self.render(item) for item in items]
        output = self.processor(text=texts, add_special_tokens=self.adds_special(texts[0]))
        for at in range(len(items)):
            yield {key: torch.tensor([values[at]]) for key, values in output.items()}

    def _encode_images(self, item: Item) -> Encoded | Unusable:
        if not self._takes_images or not self.processor.chat_template:
            return Unusable("image", "this model has no processor and chat template for images")
        try:
            images = [open_image(path) for path in item.images]
        except (OSError, Image.DecompressionBombError) as error:
            return Unusable("image", str(error))
        text = self.render(item)
        output = self.processor(
            text=[text], images=[images], add_special_tokens=self.adds_special(text), return_tensors="pt"
        )
        row = {key: value for key, value in output.items() if isinstance(value, torch.Tensor)}
        return self._bounded(row)

    def _bounded(self, row: Encoded) -> Encoded | Unusable:
        if length(row) > self.max_length:
            return Unusable("too long", f"{length(row)} tokens; at most {self.max_length} fit")
        return row

    def render(self, item: Item) -> str:
        """The text of an item as the tokenizer reads it, one placeholder an image."""
        question, *steps = (self._special.sub("", text) for text in (item.question, *item.steps))
        text = process_text(question, steps)
        if not self.processor.chat_template:
            return text
        parts = [*({"type": "image"} for _ in item.images), {"type": "text", "text": text}]
        turn = {"role": "user", "content": parts if self._takes_images else text}
        return str(self.processor.apply_chat_template([turn], tokenize=False, **self._dated))

    def adds_special(self, text: str) -> bool:
        """Whether the tokenizer puts its own first token before a text that does not begin with it yet."""
        first = self.tokenizer.bos_token
        return not (first and text.startswith(first))


def length(row: Encoded) -> int:
    """Tokens of one encoded row, those of its images included."""
    return int(row["input_ids"].shape[1])


def open_image(path: str | Path) -> Image.Image:
    """The first frame in RGB, as the policy saw it; OSError where it is not an image of IMAGE_FORMATS."""
    with Image.open(path, formats=IMAGE_FORMATS) as image:
        return as_rgb(image)


def _pad_and_join(values: list[torch.Tensor], sizes: tuple[int, ...], fill: int) -> torch.Tensor:
    """Tensors (n_i, ...) as one (sum of n_i, *sizes), filled up at each axis' end."""
    if all(value.shape[1:] == sizes for value in values):
        return torch.cat(values)
    joined = values[0].new_full((sum(len(value) for value in values), *sizes), fill)
    start = 0
    for value in values:
        inside = tuple(slice(0, size) for size in value.shape[1:])
        joined[(slice(start, start + len(value)), *inside)] = value
        start += len(value)
    return joined
