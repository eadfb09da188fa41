"""Train the bundled policy from scratch: python -m examples.train_policy --steps 3000 --out examples/policy

Under torchrun each rank reads its own stream of documents and the gradients are averaged (gloo).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path

import torch
import torch.distributed as dist
from PIL import Image
from transformers import InternVLForConditionalGeneration, InternVLProcessor

from examples.build_policy import (
    IMAGE,
    IMAGE_END,
    IMAGE_START,
    IMAGE_TOKENS,
    build_model,
    build_processor,
    build_tokenizer,
    save,
    warm,
)
from examples.digits.problems import picture
from examples.muon import Muon
from examples.pretraining import HIDDEN, RIGHT_SO_FAR, WRONG_BY_NOW, Document, documents
from examples.vision import moved, pretrain

IGNORED = -100
TEXT_TOKENS, CHECK_TOKENS = 18, 4.5
"""Learned tokens of either kind a document, on average over the mix: what the two losses are divided by."""
POOL_BATCHES = 16
"""Documents are drawn this many batches at a time and cut by length, so that little is padding."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained policy")
    parser.add_argument("--steps", type=int, default=3000, help="optimiser steps")
    parser.add_argument("--batch", type=int, default=96, help="documents a step and rank")
    parser.add_argument("--hidden", type=int, default=128, help="width of the text model, a multiple of 32")
    parser.add_argument("--layers", type=int, default=5, help="depth of the text model")
    parser.add_argument("--muon-rate", type=float, default=0.01, help="peak rate of Muon, for the matrices")
    parser.add_argument("--adam-rate", type=float, default=2e-3, help="peak rate of AdamW, for the rest")
    parser.add_argument("--vision-steps", type=int, default=600, help="steps that teach the vision tower first")
    parser.add_argument("--init", type=Path, help="go on from this policy instead of from nothing")
    parser.add_argument("--warmth", type=float, default=1.0, help="temperature that temperature 1 is made to mean")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=250)
    return parser.parse_args()


class Encoder:
    """Documents -> padded batches of token ids, labels and pixels."""

    def __init__(self, processor: InternVLProcessor) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.picture_text = IMAGE_START + IMAGE * IMAGE_TOKENS + IMAGE_END
        self.verdicts = set(self.tokenizer.convert_tokens_to_ids(["Yes", "No"]))
        self.hidden = {answer: self.tokenizer.convert_tokens_to_ids(answer) for answer in (RIGHT_SO_FAR, WRONG_BY_NOW)}

    def encode(self, document: Document) -> tuple[list[int], list[int]]:
        prompt = self._ids(document.prompt)
        ids, learned = self._checks(document.text) if document.is_check else self._plain(document.text)
        return prompt + ids, [IGNORED] * len(prompt) + learned

    def _ids(self, text: str) -> list[int]:
        text = text.replace(IMAGE, self.picture_text)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _plain(self, text: str) -> tuple[list[int], list[int]]:
        ids = self._ids(text)
        return ids, ids

    def _checks(self, text: str) -> tuple[list[int], list[int]]:
        """Yes and No where they stand; a hidden answer in place of the token that follows its mark."""
        first, *parts = text.split(HIDDEN)
        ids = self._ids(first)
        learned = [token if token in self.verdicts else IGNORED for token in ids]
        for part in parts:
            going_on = self._ids(part[1:]) or self._ids(part[0])
            ids += going_on
            learned += [self.hidden[part[0]]] + [IGNORED] * (len(going_on) - 1)
        return ids, learned

    def batch(self, group: list[tuple[Document, list[int], list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(ids) for _, ids, _ in group)
        pad = self.tokenizer.pad_token_id
        rows = {
            "input_ids": torch.tensor([ids + [pad] * (longest - len(ids)) for _, ids, _ in group]),
            "labels": torch.tensor([labels + [IGNORED] * (longest - len(labels)) for *_, labels in group]),
            "is_check": torch.tensor([document.is_check for document, *_ in group]),
        }
        pictures = [picture(document.scans) for document, *_ in group if document.scans]
        if pictures:
            rows["pixel_values"] = self.pixels(pictures)
        return rows

    def pixels(self, pictures: list[Image.Image]) -> torch.Tensor:
        """Pictures as the processor gives them, some of them moved and all with noise, some with much of it.

        The scans are then not learned by heart, and what is unclear is read and checked as unclear.
        """
        clean = self.processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
        shown = torch.where(torch.rand(len(clean), 1, 1, 1) < 0.3, moved(clean), clean)
        return shown + 0.6 * torch.rand(len(clean), 1, 1, 1) ** 2 * torch.randn_like(clean)


def batches(encoder: Encoder, rng: random.Random, order: random.Random, size: int):
    """Endless batches of one rank; order is alike in all ranks, so that they meet at similar lengths."""
    stream = documents(rng)
    while True:
        drawn = [next(stream) for _ in range(size * POOL_BATCHES)]
        pool = sorted(((item, *encoder.encode(item)) for item in drawn), key=lambda row: len(row[1]))
        groups = [pool[at : at + size] for at in range(0, len(pool), size)]
        order.shuffle(groups)
        for group in groups:
            yield encoder.batch(group)


def losses(model: InternVLForConditionalGeneration, rows: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of (text, checks), each summed over its tokens and divided by what a batch holds on average."""
    hidden = model.model(
        input_ids=rows["input_ids"], pixel_values=rows.get("pixel_values"), use_cache=False
    ).last_hidden_state[:, :-1]
    targets = rows["labels"][:, 1:]
    learned = targets != IGNORED
    logits = model.lm_head(hidden[learned])
    each = torch.nn.functional.cross_entropy(logits, targets[learned], reduction="none")
    checks = rows["is_check"][:, None].expand_as(targets)[learned]
    num_documents = len(targets)
    return (
        each[~checks].sum() / (num_documents * TEXT_TOKENS),
        each[checks].sum() / (num_documents * CHECK_TOKENS),
    )


def optimisers(model: InternVLForConditionalGeneration, muon_rate: float, adam_rate: float):
    """Muon for the text model's matrices, AdamW for embeddings, norms, biases and the projector."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_matrix = parameter.ndim == 2 and "language_model.layers" in name
        (matrices if is_matrix else others).append(parameter)
    return (
        (Muon(matrices, lr=muon_rate, weight_decay=0.01), muon_rate),
        (torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.01), adam_rate),
    )


def rate_factor(step: int, steps: int) -> float:
    """Linear warm-up over 50 steps, flat, then a linear fall over the last half."""
    progress = step / steps
    fall = 1.0 if progress < 0.5 else max(0.02, (1 - progress) / 0.5)
    return min(1.0, (step + 1) / 50) * fall


def average_gradients(model: torch.nn.Module) -> None:
    if not dist.is_initialized():
        return
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learned:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.flatten() for parameter in learned])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    at = 0
    for parameter in learned:
        parameter.grad.copy_(flat[at : at + parameter.numel()].view_as(parameter))
        at += parameter.numel()


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.manual_seed(options.seed)
    model, processor = start(options)
    if rank == 0:
        print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    torch.manual_seed(options.seed * 1000 + rank)
    stream = batches(
        Encoder(processor),
        random.Random(f"pretraining {options.seed} {rank}"),
        random.Random(options.seed),
        options.batch,
    )
    train(model, processor, stream, options, rank)


def start(options: argparse.Namespace) -> tuple[InternVLForConditionalGeneration, InternVLProcessor]:
    """The model to train: a new one whose vision tower can read, or the one of --init. The tower stays as it is."""
    if options.init:
        processor = InternVLProcessor.from_pretrained(options.init)
        model = InternVLForConditionalGeneration.from_pretrained(options.init)
    else:
        tokenizer = build_tokenizer()
        processor = build_processor(tokenizer)
        model = build_model(tokenizer, options.hidden, options.layers)
        pretrain(model, processor, options.vision_steps)
    model.model.vision_tower.requires_grad_(False)
    return model, processor


def train(model, processor, stream, options: argparse.Namespace, rank: int) -> None:
    steppers = optimisers(model, options.muon_rate, options.adam_rate)
    smooth = [0.0, 0.0]
    started = time.monotonic()
    for step in range(options.steps):
        for optimiser, peak in steppers:
            for group in optimiser.param_groups:
                group["lr"] = peak * rate_factor(step, options.steps)
        text, checks = losses(model, next(stream))
        model.zero_grad(set_to_none=True)
        (text + 1.5 * checks).backward()
        average_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, _ in steppers:
            optimiser.step()
        for at, loss in enumerate((text.item(), checks.item())):
            smooth[at] = loss if smooth[at] == 0 else 0.97 * smooth[at] + 0.03 * loss
        if rank == 0 and (step + 1) % 50 == 0:
            print(
                f"step {step + 1}/{options.steps} {time.monotonic() - started:.0f}s "
                f"text {smooth[0]:.4f} checks {smooth[1]:.4f}",
                flush=True,
            )
        if rank == 0 and ((step + 1) % options.save_every == 0 or step + 1 == options.steps):
            save(options.out, model, processor)
    if rank == 0:
        warm(model, options.warmth)
        save(options.out, model, processor)
        record = {key: str(item) for key, item in vars(options).items() if key != "out"}
        (options.out / "training.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
