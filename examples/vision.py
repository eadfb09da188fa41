"""Teach the vision tower to read digits before the whole model is trained, as real ones start from a trained tower.

The projected image tokens of each third of the picture are drawn towards the text model's own embeddings of the
digit that stands there and of the letter that questions call it by.
"""

from __future__ import annotations

import random
import time

import torch
from PIL import Image
from transformers import InternVLForConditionalGeneration, InternVLProcessor

from examples.digits.problems import LETTERS, PARTS, picture, scans

NOISE = 0.2
SHIFT = 1
"""Pixels of the scan that a digit may be moved by, so that the 1,000 scans stand for more."""


def pretrain(
    model: InternVLForConditionalGeneration, processor: InternVLProcessor, steps: int, batch: int = 128
) -> None:
    """Train tower and projector in place; the text model stays as it is."""
    reader = Reader(model, processor)
    parts = [model.model.vision_tower, model.model.multi_modal_projector]
    parameters = [parameter for part in parts for parameter in part.parameters()]
    optimiser = torch.optim.AdamW([*parameters, reader.scale], lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02)
    rng = random.Random("vision")
    started = time.monotonic()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * max(0.02, 1 - step / steps)
        pixels, digits = reader.draw(rng, "pretraining", batch)
        pixels = moved(pixels) + NOISE * torch.randn_like(pixels)
        loss = reader.loss(pixels, digits)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if (step + 1) % 100 == 0:
            seen, unseen = (reader.accuracy(random.Random(1), part) for part in ("pretraining", "test"))
            took = time.monotonic() - started
            print(
                f"vision step {step + 1}/{steps} {took:.0f}s loss {loss.item():.3f} "
                f"read right: {seen:.3f} of seen scans, {unseen:.3f} of unseen",
                flush=True,
            )
    with torch.no_grad():
        shrink(model, reader, reader.draw(rng, "pretraining", batch)[0])


def shrink(model: InternVLForConditionalGeneration, reader: Reader, pixels: torch.Tensor) -> None:
    """Bring image tokens to the size of text tokens, without which the text model hardly learns to tell them apart."""
    features = model.model.get_image_features(pixel_values=pixels).pooler_output
    factor = features.norm(dim=-1).mean() / reader.size
    last = model.model.multi_modal_projector.linear_2
    last.weight.data /= factor
    last.bias.data /= factor


class Reader:
    """Digits and letters from pictures, by the tower, the projector and the text model's own embeddings."""

    def __init__(self, model: InternVLForConditionalGeneration, processor: InternVLProcessor) -> None:
        self.model = model
        self.processor = processor
        self.digits = self._directions([str(digit) for digit in range(10)])
        self.letters = self._directions(list(LETTERS))
        self.size = model.get_input_embeddings().weight.detach().norm(dim=1).mean()
        self.scale = torch.nn.Parameter(torch.tensor(8.0))

    def _directions(self, words: list[str]) -> torch.Tensor:
        ids = self.processor.tokenizer.convert_tokens_to_ids(words)
        return torch.nn.functional.normalize(self.model.get_input_embeddings().weight[ids].detach(), dim=1)

    def columns(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the text model is shown of each third of each picture, shape (pictures, tokens, thirds, width)."""
        features = self.model.model.get_image_features(pixel_values=pixels).pooler_output
        side = int(features.shape[1] ** 0.5)
        features = features.view(len(pixels), side, side, -1)
        return features / (features.norm(dim=-1, keepdim=True) + self.size)

    def loss(self, pixels: torch.Tensor, digits: torch.Tensor) -> torch.Tensor:
        columns = self.columns(pixels)
        of_digit = self.scale * columns.mean(1) @ self.digits.T
        of_letter = self.scale * columns @ self.letters.T
        places = torch.arange(len(LETTERS)).expand(of_letter.shape[:-1])
        return torch.nn.functional.cross_entropy(
            of_digit.flatten(0, 1), digits.flatten()
        ) + torch.nn.functional.cross_entropy(of_letter.flatten(0, 2), places.flatten())

    def draw(self, rng: random.Random, part: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        indices = [[rng.choice(PARTS[part]) for _ in LETTERS] for _ in range(count)]
        digits = torch.tensor([[int(scans()[1][index]) for index in row] for row in indices])
        pictures: list[Image.Image] = [picture(row) for row in indices]
        return self.processor.image_processor(pictures, return_tensors="pt")["pixel_values"], digits

    @torch.no_grad()
    def accuracy(self, rng: random.Random, part: str) -> float:
        pixels, digits = self.draw(rng, part, 256)
        read = (self.columns(pixels).mean(1) @ self.digits.T).argmax(-1)
        return float((read == digits).float().mean())


def moved(pixels: torch.Tensor) -> torch.Tensor:
    """Each picture moved by up to SHIFT scan pixels in either direction; edges repeat."""
    rows = pixels.shape[-1] // 8
    padded = torch.nn.functional.pad(pixels, (SHIFT, SHIFT, rows, rows), mode="replicate")
    out = torch.empty_like(pixels)
    for at in range(len(pixels)):
        down, right = int(torch.randint(0, 2 * rows + 1, ())), int(torch.randint(0, 2 * SHIFT + 1, ()))
        out[at] = padded[at, :, down : down + pixels.shape[-2], right : right + pixels.shape[-1]]
    return out
