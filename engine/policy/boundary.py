"""Where the prompt of a prefix ends, so that the policy continues from its own tokens. Pure.

Byte-pair tokenizers write "><" as one token. A prompt that ends in "</step>" ends inside it: the policy is asked to
continue a text that it never writes, and goes astray. So the prompt ends at the last place where its tokens begin
every text that may follow, and the policy writes the rest of the mark itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from omegaprm.engine.policy.base import Completion
from omegaprm.engine.seams import StepFormat

Encode = Callable[[str], Sequence[int]]
"""A tokenizer's ids of a text, without the special tokens that begin a prompt."""

_WORDS = ("A", "1", " A", "  -", "$", "\\", "(", "<")
CONTINUATIONS: dict[StepFormat, tuple[str, ...]] = {
    "tags": ("<step>", "<answer>", "\n<step>", "\n\n<step>", " <step>"),
    "paragraphs": _WORDS,
    "lines": _WORDS,
}
"""What a policy may write after a closed step."""
TAIL_CHARACTERS = 64
"""Tokens depend on what is near: this much of a text decides where its last token ends, whatever its length."""
MAX_REST_CHARACTERS = 32
"""A mark is not longer; where no boundary is found within it, the prompt ends where the state ends."""
UNKNOWN_REST: dict[StepFormat, str] = {"tags": ">", "paragraphs": "", "lines": ""}
"""What is left to the policy where its tokenizer is not at hand: right for byte-pair tokenizers without tag tokens."""


class Ending(NamedTuple):
    """A begun reply as a prompt shows it, and the rest of the state, which the policy writes first."""

    text: str
    rest: str = ""


End = Callable[[str], Ending]


def ending(encode: Encode, step_format: StepFormat, reply: str, keeps_space: bool = True) -> Ending:
    """The longest beginning of a reply whose tokens begin those of the reply with anything after it.

    keeps_space: whether the prompt may end in whitespace; some chat templates trim it.
    """
    start = max(0, len(reply) - TAIL_CHARACTERS)
    tail = reply[start:]
    following = [list(encode(tail + more)) for more in CONTINUATIONS[step_format]] if tail else []
    for end in range(len(tail), max(0, len(tail) - MAX_REST_CHARACTERS), -1):
        ids = list(encode(tail[:end]))
        fits = all(one[: len(ids)] == ids for one in following)
        if fits and (keeps_space or not tail[end - 1].isspace()):
            return Ending(reply[: start + end], tail[end:])
    return Ending(reply)


def by_tokens(encode: Encode, step_format: StepFormat, keeps_space: bool = True) -> End:
    return partial(ending, encode, step_format, keeps_space=keeps_space)


def by_rest(rest: str) -> End:
    """Leave this text to the policy wherever a reply ends in it."""
    return lambda reply: Ending(reply.removesuffix(rest), rest) if rest and reply.endswith(rest) else Ending(reply)


def joins(encode: Encode, head: str, reply: str) -> bool:
    """Whether the tokens of a prompt begin those of the prompt with a reply: no token spans both."""
    end = head[-TAIL_CHARACTERS:]
    ids = list(encode(end))
    return list(encode(end + reply[:TAIL_CHARACTERS]))[: len(ids)] == ids


def begun_prompt(encode: Encode, encode_head: Encode, head: str, reply: str) -> str | list[int]:
    """A prompt with a begun reply: as text, or as ids where one text would join the head's last token with the reply.

    encode_head: ids of a head, with the special tokens that begin a prompt.
    """
    if not reply or joins(encode, head, reply):
        return head + reply
    return [*encode_head(head), *encode(reply)]


def first_step(completion: Completion, stops: Sequence[str]) -> Completion:
    """A completion cut after its first step, for a request whose stop texts would have met the rest of its state."""
    start = len(completion.text) - len(completion.text.lstrip())
    found = [at + len(stop) for stop in stops if (at := completion.text.find(stop, start)) >= 0]
    if not found:
        return completion
    return msgspec.structs.replace(completion, text=completion.text[: min(found)], truncated=False)


def meets(rest: str, stops: Sequence[str]) -> bool:
    """Whether a policy that writes this rest first would stop in it."""
    return any(stop in rest for stop in stops)


def continued(completion: Completion, rest: str) -> Completion:
    """A completion as text after its state, whose rest it wrote first; strayed where it wrote something else."""
    if not rest or (completion.truncated and not completion.text.startswith(rest)):
        return completion
    if completion.text.startswith(rest):
        return msgspec.structs.replace(completion, text=completion.text[len(rest) :])
    return msgspec.structs.replace(completion, strayed=True)
