"""What an endpoint says of its model before anything is asked of it, as far as it says anything."""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec

from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.policy.boundary import CONTINUATIONS, MAX_REST_CHARACTERS, ending

SECONDS = 10.0
"""Time that an endpoint has to say it."""


class _Model(msgspec.Struct):
    id: str
    max_model_len: int | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


class _Tokens(msgspec.Struct):
    tokens: list[int]


_CLOSED_STEP = "<step>6 + 1 = 7 apples.</step>"


async def rest_after_a_step(url: str, model: str, key: str | None) -> str | None:
    """What is left to the model of "</step>" (see omegaprm.engine.policy.boundary), by vLLM's /tokenize, or None."""
    texts = [_CLOSED_STEP + more for more in CONTINUATIONS["tags"]]
    texts += [_CLOSED_STEP[:-cut] for cut in range(1, min(MAX_REST_CHARACTERS, len(_CLOSED_STEP)))] + [_CLOSED_STEP]
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    address = url.rstrip("/").removesuffix("/v1") + "/tokenize"
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS), headers=headers) as session:
            ids = await asyncio.gather(*(_tokens(session, address, model, text) for text in texts))
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
        return None
    return ending(dict(zip(texts, ids, strict=True)).__getitem__, "tags", _CLOSED_STEP).rest


async def _tokens(session: aiohttp.ClientSession, address: str, model: str, text: str) -> list[int]:
    body = {"model": model, "prompt": text, "add_special_tokens": False}
    async with session.post(address, json=body, allow_redirects=False, raise_for_status=True) as response:
        return msgspec.json.decode(await response.read(), type=_Tokens).tokens


async def context_length(url: str, model: str, key: str | None) -> int | None:
    """Tokens of a prompt and its completion together, as vLLM tells them under /models; None where none are told."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS), headers=headers) as session,
            session.get(url.rstrip("/") + "/models", allow_redirects=False) as response,
        ):
            models = msgspec.json.decode(await response.read(), type=_Models)
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
        return None
    return next((one.max_model_len for one in models.data if one.id == model), None)


def require_room(max_new_tokens: int, length: int | None) -> None:
    """ConfigurationError where the endpoint would refuse every prompt, since completions take all of its context."""
    if length is not None and max_new_tokens >= length:
        raise ConfigurationError(
            f"--max-new-tokens {max_new_tokens}: leaves no room for a prompt in the endpoint's context of {length}"
        )
