"""The bundled policy before training: a tokenizer, a processor and a small InternVL built from a config."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    PreTrainedTokenizerFast,
)

from examples.pretraining import Document, documents

PAD, TURN, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
IMAGE, IMAGE_START, IMAGE_END, VIDEO = "<IMG_CONTEXT>", "<img>", "</img>", "<video>"
FORMAT_TOKENS = ("<step>", "</step>", "<answer>", "</answer>")
PRM = "<prm>"
IMAGE_SIDE, PATCH_SIDE = 24, 4
IMAGE_TOKENS = (IMAGE_SIDE // PATCH_SIDE // 2) ** 2
VOCABULARY_SIZE = 768
CONTEXT = 512

WORD_PIECES = Regex(r"\d{1,2}|[A-Za-z]+ ?|[^\dA-Za-z] ?")
"""A number of up to two digits is one token; a word keeps the space behind it."""

CHAT_TEMPLATE = (
    "{%- for message in messages -%}{%- if message['role'] != 'system' -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{ '<IMG_CONTEXT>\\n' }}{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{ '<|im_end|>\\n' }}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
"""The policy knows one task and was trained without a system turn, so the template leaves it out."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on the pretraining mix, with the image, step and score tokens added."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(WORD_PIECES, "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[PAD, TURN, END, IMAGE, IMAGE_START, IMAGE_END, VIDEO, PRM],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rng = random.Random(0)
    texts = [_plain(document) for document in islice(documents(rng), 4000)]
    numbers = ["Yes No Yes No " + " ".join(f"{tens}{ones}" for tens in range(10) for ones in range(10))] * 50
    tokenizer.train_from_iterator(texts + numbers, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, model_max_length=CONTEXT)
    fast.add_special_tokens({"additional_special_tokens": [TURN, IMAGE, IMAGE_START, IMAGE_END, VIDEO, PRM]})
    fast.add_tokens(list(FORMAT_TOKENS))
    roles = {
        "start_image_token": IMAGE_START,
        "end_image_token": IMAGE_END,
        "context_image_token": IMAGE,
        "video_token": VIDEO,
    }
    for role, token in roles.items():
        setattr(fast, role, token)
        setattr(fast, f"{role}_id", fast.convert_tokens_to_ids(token))
        fast.init_kwargs[role] = token
    return fast


def _plain(document: Document) -> str:
    text = document.prompt + document.text
    for token in (PAD, TURN, END, IMAGE, *FORMAT_TOKENS):
        text = text.replace(token, "\n")
    return text


def build_processor(tokenizer: PreTrainedTokenizerFast) -> InternVLProcessor:
    images = GotOcr2ImageProcessorPil(
        size={"height": IMAGE_SIDE, "width": IMAGE_SIDE}, crop_to_patches=False, min_patches=1, max_patches=1
    )
    return InternVLProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(),
        image_seq_length=IMAGE_TOKENS,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, hidden: int, layers: int) -> InternVLForConditionalGeneration:
    """A randomly initialised InternVL with a Qwen2 text model; hidden is a multiple of 32."""
    config = InternVLConfig(
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // 32,
            "num_key_value_heads": hidden // 32,
            "intermediate_size": 3 * hidden,
            "max_position_embeddings": CONTEXT,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": None,
            "tie_word_embeddings": True,
        },
        vision_config={
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 192,
            "image_size": [IMAGE_SIDE, IMAGE_SIDE],
            "patch_size": [PATCH_SIDE, PATCH_SIDE],
            "use_qk_norm": False,
        },
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=IMAGE_TOKENS,
        downsample_ratio=0.5,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    return InternVLForConditionalGeneration(config)


def warm(model: InternVLForConditionalGeneration, temperature: float) -> None:
    """Make temperature 1 sample what this temperature sampled before, by dividing all logits by it."""
    norm = model.model.language_model.norm
    norm.weight.data /= temperature


def save(folder: Path, model: InternVLForConditionalGeneration, processor: InternVLProcessor) -> None:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
