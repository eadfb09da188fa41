"""Tiny policies that write the tags of the default step format in the tokens of published models.

Each is a Hugging Face folder with the tokenizer and chat template of a family and the weights of a small Llama or
Qwen2, tuned on worked sums that follow the prompts of bin/annotate. A share of the sums is wrong, so that trees have
prefixes. Tuning takes about 40 seconds of one core; a folder is made once and kept in .cache/tuned.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from omegaprm.engine import prompts
from omegaprm.engine.policy.boundary import begun_prompt
from omegaprm.engine.policy.chat import Chat
from omegaprm.engine.records import Problem
from omegaprm.engine.seams import Begun
from tests.real import families, fetch

MADE = fetch.ROOT / ".cache" / "tuned"
WAYS = {"joined": "", "lines": "\n"}
"""What a policy writes between two tags."""
END_OF_TURN = {"gemma3": "<end_of_turn>", "llama3.1": "<|eot_id|>", "llama2": "</s>", "nemo": "</s>"}
"""What follows a reply; <|im_end|> for the others."""
ARCHITECTURES = {"qwen2.5": "Qwen2", "internvl3": "Qwen2", "qwen3": "Qwen2"}
"""Llama for the others."""
NUM_PROBLEMS = 20
NUM_REPLIES = 12
"""Worked sums per problem."""
WRONG_RATE = 0.2
"""Share of steps with a wrong result, which is one too high."""
NUM_UPDATES = 110
BATCH = 24
RATES = {"matrices": 0.02, "others": 4e-3}
"""Peak learning rates: of Muon for the layers' matrices, and of AdamW for embeddings and norms."""
WARM_UP = 10
"""Updates until the rates are at their peak; over the last half they fall to zero."""
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
LINES = ("{} = {}", "{} = {}.", "${} = {}$", "So {} is {}", "Now {} makes {}!")
"""Forms of a step: each ends in another character, and most of those merge with "</"."""


class Sum(NamedTuple):
    """a*b+c-d"""

    a: int
    b: int
    c: int
    d: int

    @property
    def question(self) -> str:
        return f"What is {self.a}*{self.b}+{self.c}-{self.d}?"

    @property
    def problem(self) -> Problem:
        return Problem(id=self.question, question=self.question, correct_answer=str(self.a * self.b + self.c - self.d))


class Row(NamedTuple):
    """Token ids of a prompt with its reply, and how many of them are the prompt."""

    ids: list[int]
    num_prompt: int


def sums() -> list[Sum]:
    chance = random.Random(0)
    return [Sum(*(chance.randint(2, 9) for _ in range(4))) for _ in range(NUM_PROBLEMS)]


def worked(one: Sum, chance: random.Random) -> list[str]:
    """The steps of a solution and its answer; an error is carried on to the end."""
    lines, value = [], 0
    for at, number in enumerate(one[1:]):
        left, sign = (one.a, "*") if not at else (value, "+-"[at - 1])
        value = {"*": left * number, "+": left + number, "-": left - number}[sign]
        value += chance.random() < WRONG_RATE
        lines.append(chance.choice(LINES).format(f"{left}{sign}{number}", value))
    return [*lines, str(value)]


def written(steps: list[str], way: str) -> str:
    tagged = [f"<step>{step}</step>" for step in steps[:-1]] + [f"<answer>{steps[-1]}</answer>"]
    return WAYS[way].join(tagged)


def policy_folder(name: str, way: str) -> Path:
    """The folder of a tuned policy, made if it is not there. NotFetched: the family's tokenizer is not in the cache."""
    recipe = hashlib.sha256(Path(__file__).read_bytes() + families.recipe().encode()).hexdigest()[:16]
    made = MADE / recipe / f"{name}-{way}"
    if not made.is_dir():
        put(made, name, way)
    return made


def put(made: Path, name: str, way: str) -> None:
    """Make a folder, whole or not at all, and drop those of earlier recipes."""
    source = families.folder(name)
    made.parent.mkdir(parents=True, exist_ok=True)
    for old in set(MADE.iterdir()) - {made.parent}:
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as partial, one_thread():
        folder = Path(shutil.copytree(source, Path(partial) / made.name))
        tune(folder, name, way)
        try:
            folder.rename(made)
        except OSError:
            if not made.is_dir():  # otherwise another process has made it meanwhile
                raise


@contextmanager
def one_thread() -> Iterator[None]:
    """The model is too small for more: two threads that share busy cores are slower than one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tune(folder: Path, name: str, way: str) -> None:
    """Put a config and tuned weights into a folder with a tokenizer."""
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    end = END_OF_TURN.get(name, "<|im_end|>")
    tokenizer = AutoTokenizer.from_pretrained(families.folder(name))
    rows = list(read(tokenizer, way, end))
    used = sorted({token for row in rows for token in row.ids})
    model = learned(model_of(name, len(used) + 1), rows, used, len(tokenizer) - len(used))
    weights = {key: value for key, value in model.state_dict().items() if key != "lm_head.weight"}
    weights["model.embed_tokens.weight"] = spread(weights["model.embed_tokens.weight"], used, len(tokenizer))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = model.config.to_dict() | {"vocab_size": len(tokenizer), "dtype": "float32"}
    config |= {"eos_token_id": tokenizer.convert_tokens_to_ids(end), "bos_token_id": tokenizer.bos_token_id}
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config))


def read(tokenizer: Any, way: str, end: str) -> Iterator[Row]:
    """Worked sums as the policy of bin/annotate is asked for them and writes them."""

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    chat, chance = Chat([tokenizer]), random.Random(1)
    for one in sums():
        head = chat.head(prompts.turns(one.question, Begun(), "prefill", "tags"), 0)
        num_prompt = len(encode(head))
        for _ in range(NUM_REPLIES):
            whole = begun_prompt(encode, encode, head, written(worked(one, chance), way) + end)
            yield Row(encode(whole) if isinstance(whole, str) else whole, num_prompt)


def model_of(name: str, num_tokens: int) -> Any:
    import torch
    import transformers

    kind = ARCHITECTURES.get(name, "Llama")
    config = getattr(transformers, f"{kind}Config")(vocab_size=num_tokens, **SHAPE)
    torch.manual_seed(0)
    return getattr(transformers, f"{kind}ForCausalLM")(config).float()


def learned(model: Any, rows: list[Row], used: list[int], num_unused: int) -> Any:
    """The model after tuning. Its last token is all those that no row has: each weighs as much as any other.

    So the loss is that of the whole vocabulary, for the price of the tokens that occur.
    """
    places = {token: at for at, token in enumerate(used)}
    chance = random.Random(2)
    optimisers = list(optimisers_of(model))
    for update in range(NUM_UPDATES):
        factor = min(1.0, (update + 1) / WARM_UP, (NUM_UPDATES - update) / (NUM_UPDATES / 2))
        loss_of(model, chance.sample(rows, BATCH), places, num_unused).backward()
        for optimiser, rate in zip(optimisers, RATES.values(), strict=True):
            optimiser.param_groups[0]["lr"] = rate * factor
            optimiser.step()
            optimiser.zero_grad()
    return model


def optimisers_of(model: Any) -> Iterator[Any]:
    import torch

    from examples.muon import Muon

    is_matrix = {name: "layers" in name and one.ndim == 2 for name, one in model.named_parameters()}
    yield Muon([one for name, one in model.named_parameters() if is_matrix[name]], RATES["matrices"])
    others = [one for name, one in model.named_parameters() if not is_matrix[name]]
    yield torch.optim.AdamW(others, RATES["others"], betas=(0.9, 0.98), weight_decay=0.0)


def loss_of(model: Any, batch: list[Row], places: dict[int, int], num_unused: int) -> Any:
    """The mean cross-entropy of the replies' tokens."""
    import torch

    longest = max(len(row.ids) for row in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    targets = torch.full((len(batch), longest), -100)
    for at, row in enumerate(batch):
        ids[at, : len(row.ids)] = torch.tensor([places[token] for token in row.ids])
        targets[at, row.num_prompt : len(row.ids)] = ids[at, row.num_prompt : len(row.ids)]
    logits = model(ids, use_cache=False).logits
    logits[..., -1] += math.log(num_unused)
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten())


def spread(rows: Any, used: list[int], num_tokens: int) -> Any:
    """Embeddings of the whole vocabulary: of the tokens that occur, and one row for all others."""
    whole = rows[-1].repeat(num_tokens, 1)
    whole[used] = rows[:-1]
    return whole.contiguous()
