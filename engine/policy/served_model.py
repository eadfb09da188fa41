"""What an endpoint says of its model before anything is asked of it, as far as it says anything."""

from __future__ import annotations

import aiohttp
import msgspec

from engine.errors import ConfigurationError

SECONDS = 10.0
"""Time that an endpoint has to say it."""


class _Model(msgspec.Struct):
    id: str
    max_model_len: int | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


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
