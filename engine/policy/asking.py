"""What a policy's endpoint is sent, and its body read back as completions. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import msgspec

from omegaprm.engine.config import Sampling
from omegaprm.engine.judge.chatting import Usage
from omegaprm.engine.policy.base import Completion
from omegaprm.engine.prompts import Turns
from omegaprm.engine.template_date import DATE_STRING, as_string


class Message(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    """One completion, of either API: text of completions, message of chats."""

    text: str | None = None
    message: Message | None = None
    finish_reason: str | None = None

    @property
    def written(self) -> str:
        return (self.message.content if self.message else self.text) or ""


class Completions(msgspec.Struct):
    choices: list[Choice]
    usage: Usage | None = None


def sampling_fields(sampling: Sampling, num: int, seed: int, stops: Sequence[str], vllm: bool) -> dict[str, Any]:
    """How to draw; vllm adds the fields that are vLLM's own."""
    fields: dict[str, Any] = {
        "n": num,
        "seed": seed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_new_tokens,
        **({"stop": list(stops)} if stops else {}),
    }
    if vllm:
        fields |= {
            "top_k": sampling.top_k,
            "repetition_penalty": sampling.repetition_penalty,
            "include_stop_str_in_output": bool(stops),
        }
    return fields


def chat_fields(turns: Turns, images: Sequence[str]) -> dict[str, Any]:
    """A chat: images (URLs) before the user's text; a begun reply is vLLM's to go on with."""
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    user = [*pictures, {"type": "text", "text": turns.user}] if pictures else turns.user
    messages: list[dict[str, Any]] = [{"role": "system", "content": turns.system}] if turns.system else []
    messages += [{"role": role, "content": text} for role, text in turns.before()]
    messages.append({"role": "user", "content": user})
    if not turns.reply:
        return {"messages": messages}
    messages.append({"role": "assistant", "content": turns.reply})
    return {"messages": messages, "continue_final_message": True, "add_generation_prompt": False}


def dated_fields(date: datetime.date | None) -> dict[str, Any]:
    """vLLM's own field by which the template of a chat is given a date."""
    return {"chat_template_kwargs": {DATE_STRING: as_string(date)}} if date is not None else {}


def completions(body: Completions, stop_is_shown: bool) -> list[Completion]:
    """The completions of a body. Tokens are the body's own count, which each has a share of by its length.

    stop_is_shown: the text holds what it stopped at; otherwise the tag that it stopped in is closed.
    """
    texts = [choice.written for choice in body.choices]
    if not stop_is_shown:
        texts = [
            closed(text) if choice.finish_reason == "stop" else text
            for text, choice in zip(texts, body.choices, strict=True)
        ]
    tokens = shares(body.usage.completion_tokens if body.usage else 0, [len(text) for text in texts])
    return [
        Completion(text, num, choice.finish_reason == "length")
        for text, num, choice in zip(texts, tokens, body.choices, strict=True)
    ]


def closed(text: str) -> str:
    """With the answer's tag closed where it is open: an endpoint leaves off the text that it stops at."""
    return text + "</answer>" if text.rfind("<answer>") > text.rfind("</answer>") else text


def shares(total: int, lengths: Sequence[int]) -> list[int]:
    """Whole numbers that add up to the total, in proportion to the lengths, or even where all are 0."""
    weights = list(lengths) if any(lengths) else [1] * len(lengths)
    found, given, seen = [], 0, 0
    for weight in weights:
        seen += weight
        until = total * seen // sum(weights)
        found.append(until - given)
        given = until
    return found
