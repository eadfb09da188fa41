"""A model folder whose model judges by one character: what it says follows from how the student's answer ends.

An even digit is "Yes", an odd one "No", anything else "hm". Its layers add nothing; its head reads the last token,
which its chat template repeats behind the prompt of the template "mmprm".
"""

from __future__ import annotations

import json
import string
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

VOCABULARY = ("<unk>", "<end>", "Yes", "No", "hm", *string.printable)
TEMPLATE = """\
{%- for message in messages -%}
{{ message['content'] }}
{%- set parts = message['content'].split("Model's Answer:\\n") -%}
{%- if parts | length > 1 -%}{{ parts[1].split("\\n")[0][-1] }}{%- endif -%}
{%- endfor -%}
"""
SAID = ("Yes", "No", "hm", "<end>")
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "dtype": "float32",
    "vocab_size": len(VOCABULARY),
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": VOCABULARY.index("<end>"),
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "unk_token": "<unk>",
    "eos_token": "<end>",
    "pad_token": "<end>",
    "chat_template": TEMPLATE,
}


def next_token(token: str) -> str:
    """What the model says behind a token."""
    if token in ("Yes", "No", "hm"):
        return "<end>"
    return ("Yes", "No")[int(token) % 2] if token.isdigit() else "hm"


def write(folder: Path) -> Path:
    """Make the folder, of 300 kB; returned."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(_weights(), folder / "model.safetensors")
    characters = Tokenizer(models.WordLevel({token: at for at, token in enumerate(VOCABULARY)}, unk_token="<unk>"))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    characters.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG))
    return folder


def _weights() -> dict[str, np.ndarray]:
    """A head that says next_token() of the token before it: a dimension for each word, and layers that add nothing."""
    size, words = CONFIG["hidden_size"], len(VOCABULARY)
    zeros, ones = np.zeros((size, size), np.float32), np.ones(size, np.float32)
    embeddings, head = (np.zeros((words, size), np.float32) for _ in range(2))
    for at, token in enumerate(VOCABULARY):
        embeddings[at, SAID.index(next_token(token))] = 1.0
    for number, token in enumerate(SAID):
        head[VOCABULARY.index(token), number] = 10.0
    attention = {f"self_attn.{name}_proj.weight": zeros for name in "qkvo"}
    biases = {f"self_attn.{name}_proj.bias": ones * 0 for name in "qkv"}
    mlp = {f"mlp.{name}_proj.weight": zeros for name in ("gate", "up", "down")}
    norms = {f"{name}_layernorm.weight": ones for name in ("input", "post_attention")}
    layer = {f"model.layers.0.{name}": value for name, value in (attention | biases | mlp | norms).items()}
    return {"model.embed_tokens.weight": embeddings, "lm_head.weight": head, "model.norm.weight": ones, **layer}
