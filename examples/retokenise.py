"""A policy whose tags are cut as real tokenizers cut them, made from one whose tags are single tokens.

`python -m examples.retokenise start` writes the policy to train, `python -m examples.retokenise warm` sets the
temperature of the trained one. examples/policy-bpe/README.md has the commands in order.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import InternVLForConditionalGeneration, InternVLProcessor, PreTrainedTokenizerFast

from examples.build_policy import CONTEXT, FORMAT_TOKENS, save, warm
from examples.pretraining import documents
from examples.train_policy import Encoder

WORD_PIECES = r"\d{1,2}|[A-Za-z]+ ?|</|><|[^\dA-Za-z] ?"
"""The pieces of examples.build_policy, and two runs of punctuation that may be one token."""

MERGES = (
    ("<", "/"),
    (">", "<"),
    ("s", "t"),
    ("e", "p"),
    ("st", "ep"),
    ("n", "s"),
    ("ns", "w"),
    ("a", "nsw"),
    ("answ", "er"),
)
"""They come after all other merges, so that text without tags keeps its tokens."""

FIRST_ROWS = {
    "</": ("</step>", "</answer>"),
    "><": ("<step>",),
    "step": ("<step>", "</step>"),
    "answer": ("<answer>", "</answer>"),
}
"""A new token starts from the mean embedding of these old tokens, or else from the mean of its two parts."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    start_flags = parts.add_parser("start", help="change the tokenizer of a policy")
    warm_flags = parts.add_parser("warm", help="set what temperature 1 means")
    for flags in (start_flags, warm_flags):
        flags.add_argument("--policy", type=Path, required=True, help="folder of the policy to read")
        flags.add_argument("--out", type=Path, required=True, help="folder to write")
    start_flags.add_argument("--cool", type=float, default=1.9, help="temperature that the policy was made warm by")
    warm_flags.add_argument("--temperature", type=float, required=True, help="temperature that 1 is made to mean")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.part == "start":
        start(options.policy, options.out, options.cool)
    else:
        model, processor = load(options.policy)
        warm(model, options.temperature)
        save(options.out, model, processor)


def start(policy: Path, out: Path, cool: float) -> None:
    """Write the policy with the new tokenizer, its temperature undone, ready for examples.train_policy --init."""
    model, processor = load(policy)
    shutil.copytree(policy, out, ignore=shutil.ignore_patterns("README.md", "model.safetensors"))
    spec = retokenised(json.loads((policy / "tokenizer.json").read_text()))
    (out / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False, indent=2))
    new = InternVLProcessor.from_pretrained(out)
    require_room(new)
    give_rows(model, processor.tokenizer, new.tokenizer)
    warm(model, 1 / cool)
    save(out, model, new)


def load(folder: Path) -> tuple[InternVLForConditionalGeneration, InternVLProcessor]:
    return InternVLForConditionalGeneration.from_pretrained(folder), InternVLProcessor.from_pretrained(folder)


def retokenised(spec: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer.json whose tags are cut by merges instead of being added tokens; all other tokens keep their ids."""
    spec = json.loads(json.dumps(spec))
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"] not in FORMAT_TOKENS]
    spec["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": WORD_PIECES}
    vocabulary = spec["model"]["vocab"]
    for left, right in MERGES:
        vocabulary[left + right] = len(vocabulary)
        spec["model"]["merges"].append([left, right])
    return spec


def require_room(processor: InternVLProcessor, count: int = 20_000) -> None:
    """ValueError if one of many training documents is longer than the context."""
    encoder = Encoder(processor)
    longest = max(len(encoder.encode(document)[0]) for document in islice(documents(random.Random(0)), count))
    print(f"longest of {count} training documents: {longest} of {CONTEXT} tokens")
    if longest > CONTEXT:
        raise ValueError(f"a training document has {longest} tokens, the context {CONTEXT}: shorten the documents")


@torch.no_grad()
def give_rows(
    model: InternVLForConditionalGeneration, old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast
) -> None:
    """Size the embeddings for the new tokenizer and set the rows of its new tokens."""
    before = model.get_input_embeddings().weight.clone()
    model.resize_token_embeddings(len(new), mean_resizing=False)
    after = model.get_input_embeddings().weight
    for left, right in MERGES:
        parents = FIRST_ROWS.get(left + right)
        rows = (
            before[old.convert_tokens_to_ids(parents)] if parents else after[new.convert_tokens_to_ids([left, right])]
        )
        after[new.convert_tokens_to_ids(left + right)] = rows.mean(0)


if __name__ == "__main__":
    main()
