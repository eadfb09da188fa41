"""What a model that is asked looks like, wherever it runs: a chat in, a whole reply out, or none."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """The text of a reply, "" where it is none, and whether it ran into the token limit."""

    text: str
    cut: bool


class Unanswered(Exception):
    """This one request gets no reply, while the model works: "refused", or "failed" every time."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Spent(msgspec.Struct):
    """What a model was asked so far."""

    num_requests: int = 0
    num_replies: int = 0
    num_failures: int = 0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0


class Chatting(Protocol):
    """What answers a chat: an endpoint, or a model in an engine here.

    Errors: Unanswered; JudgeUnreachable and EngineDied where nothing further is answered.
    """

    @property
    def spent(self) -> Spent: ...

    async def chat(self, messages: list[dict[str, Any]], max_tokens: int, temperature: float, draw: int = 0) -> Reply:
        """draw: which asking of the very same chat this is, from 0; another one may be answered otherwise."""
        ...

    async def close(self) -> None: ...
