"""A tiny randomly initialised model of each family, with a processor that needs no model hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SIDE, PATCH = 32, 8
HIDDEN, LAYERS, HEADS = 32, 2, 2
PAD, TURN, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTEXT = 512

TEMPLATE = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}"
    "{%- for part in message['content'] -%}{%- if part['type'] == 'image' -%}{{ 'IMAGE' }}"
    "{%- else -%}{{ part['text'] }}{%- endif -%}{%- endfor -%}{%- endif -%}{{ '<|im_end|>\\n' }}{%- endfor -%}"
)
TEXT = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 1,
    "head_dim": HIDDEN // HEADS,
    "intermediate_size": 64,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": False,
}


def tokenizer(**roles: str) -> PreTrainedTokenizerFast:
    """Bytes as tokens, beside "Yes", "No" and special ones; roles name tokens as a family's processor wants them."""
    vocabulary = {byte: at for at, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    plain = Tokenizer(models.BPE(vocabulary, []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(False)
    plain.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token=END, pad_token=PAD, model_max_length=CONTEXT, extra_special_tokens=roles
    )
    fast.add_special_tokens({"additional_special_tokens": [TURN, *roles.values()]})
    fast.add_tokens(["Yes", "No"])
    for role, token in roles.items():
        setattr(fast, role, token)
        setattr(fast, f"{role}_id", fast.convert_tokens_to_ids(token))
        fast.init_kwargs[role] = token
    return fast


def text_family(config_type: Any, model_type: Any) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        tokens = tokenizer()
        tokens.chat_template = TEMPLATE
        config = config_type(**TEXT, vocab_size=len(tokens), **_special(tokens))
        model_type(config).save_pretrained(folder)
        tokens.save_pretrained(folder)

    return save


def _special(tokens: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {"eos_token_id": tokens.eos_token_id, "pad_token_id": tokens.pad_token_id, "bos_token_id": None}


def internvl(folder: Path) -> None:
    tokens = tokenizer(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>"
    )
    images = transformers.GotOcr2ImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, crop_to_patches=False, min_patches=1, max_patches=1
    )
    processor = transformers.InternVLProcessor(
        image_processor=images,
        tokenizer=tokens,
        video_processor=transformers.InternVLVideoProcessor(),
        image_seq_length=(SIDE // PATCH // 2) ** 2,
        chat_template=TEMPLATE.replace("IMAGE", "<IMG_CONTEXT>\\n"),
    )
    config = transformers.InternVLConfig(
        text_config={"model_type": "qwen2", **TEXT, "vocab_size": len(tokens), **_special(tokens)},
        vision_config={
            "hidden_size": HIDDEN,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "intermediate_size": 64,
            "image_size": [SIDE, SIDE],
            "patch_size": [PATCH, PATCH],
        },
        image_token_id=tokens.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=(SIDE // PATCH // 2) ** 2,
        downsample_ratio=0.5,
    )
    _save(folder, transformers.InternVLForConditionalGeneration(config), processor)


def qwen_vl(version: str, vision: dict[str, Any]) -> Callable[[Path], None]:
    """Qwen2-VL, Qwen2.5-VL and Qwen3-VL name all alike."""

    def save(folder: Path) -> None:
        tokens = tokenizer(
            image_token="<|image_pad|>",
            video_token="<|video_pad|>",
            vision_start_token="<|vision_start|>",
            vision_end_token="<|vision_end|>",
        )
        videos = getattr(transformers, f"{'Qwen3' if version == 'Qwen3' else 'Qwen2'}VLVideoProcessor")
        sizes = {"patch_size": PATCH, "merge_size": 2, "temporal_patch_size": 2}
        pixels = {"shortest_edge": SIDE * SIDE, "longest_edge": SIDE * SIDE}
        processor = getattr(transformers, f"{version}VLProcessor")(
            image_processor=transformers.Qwen2VLImageProcessorPil(**sizes, size=pixels),
            tokenizer=tokens,
            video_processor=videos(**sizes, size=pixels),
            chat_template=TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
        )
        rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
        ids = {name: tokens.convert_tokens_to_ids(f"<|{name}|>") for name in ("image_pad", "video_pad")}
        config = getattr(transformers, f"{version}VLConfig")(
            text_config={**TEXT, "vocab_size": len(tokens), "rope_parameters": rope, **_special(tokens)},
            vision_config={"patch_size": PATCH, "spatial_merge_size": 2, "temporal_patch_size": 2, **vision},
            image_token_id=ids["image_pad"],
            video_token_id=ids["video_pad"],
            vision_start_token_id=tokens.convert_tokens_to_ids("<|vision_start|>"),
            vision_end_token_id=tokens.convert_tokens_to_ids("<|vision_end|>"),
        )
        _save(folder, getattr(transformers, f"{version}VLForConditionalGeneration")(config), processor)

    return save


def gemma3(folder: Path) -> None:
    tokens = tokenizer(boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>")
    num_tokens = (SIDE // PATCH // 2) ** 2
    processor = transformers.Gemma3Processor(
        image_processor=transformers.Gemma3ImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        tokenizer=tokens,
        chat_template=TEMPLATE.replace("IMAGE", "<start_of_image>"),
        image_seq_length=num_tokens,
    )
    config = transformers.Gemma3Config(
        text_config={**TEXT, "vocab_size": len(tokens), "sliding_window": 64, **_special(tokens)},
        vision_config={
            "hidden_size": HIDDEN,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "intermediate_size": 64,
            "image_size": SIDE,
            "patch_size": PATCH,
        },
        mm_tokens_per_image=num_tokens,
        boi_token_index=tokens.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokens.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=tokens.convert_tokens_to_ids("<image_soft_token>"),
    )
    _save(folder, transformers.Gemma3ForConditionalGeneration(config), processor)


def _save(folder: Path, model: Any, processor: Any) -> None:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


QWEN2_VISION = {"depth": 2, "embed_dim": HIDDEN, "hidden_size": HIDDEN, "num_heads": HEADS, "mlp_ratio": 2}
QWEN25_VISION = {
    **{"depth": 2, "hidden_size": HIDDEN, "out_hidden_size": HIDDEN, "num_heads": HEADS, "intermediate_size": 64},
    **{"window_size": 2 * SIDE, "fullatt_block_indexes": [1]},
}
QWEN3_VISION = {
    **{"depth": 2, "hidden_size": HIDDEN, "out_hidden_size": HIDDEN, "num_heads": HEADS, "intermediate_size": 64},
    **{"deepstack_visual_indexes": [0], "num_position_embeddings": 16},
}

FAMILIES: dict[str, Callable[[Path], None]] = {
    "InternVL": internvl,
    "Qwen2-VL": qwen_vl("Qwen2", QWEN2_VISION),
    "Qwen2.5-VL": qwen_vl("Qwen2_5_", QWEN25_VISION),
    "Qwen3-VL": qwen_vl("Qwen3", QWEN3_VISION),
    "Gemma 3": gemma3,
    "Qwen2": text_family(transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "Qwen3": text_family(transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
    "Llama": text_family(transformers.LlamaConfig, transformers.LlamaForCausalLM),
}
TEXT_ONLY = ("Qwen2", "Qwen3", "Llama")
