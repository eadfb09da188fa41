"""Asks an OpenAI-compatible endpoint: a reply is whole and well-formed, or there is none.

One session, bounded concurrency, bounded bodies, no redirects. What fails is tried again at a growing pace; while
nothing at all is answered everyone waits and one probe at a time is sent (see circuit). Once a reply has come, its
request is never sent again.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol, TypeVar

import aiohttp
import msgspec

from omegaprm.engine import log
from omegaprm.engine.errors import ConfigurationError, JudgeUnreachable, OmegaprmError
from omegaprm.engine.judge.chatting import Reply, Spent, Unanswered, Usage
from omegaprm.engine.judge.circuit import Circuit, Pace, retry_after_seconds

MAX_BODY_BYTES = 1 << 20
"""A longer body is not read to its end and is no reply."""

MAX_TRIES = 8
"""Failed tries after which a request is given up, where the endpoint answered others meanwhile."""

PACE = Pace()
_SILENT_SECONDS = 60.0
"""That the endpoint is down is said at most this often."""
_EXCERPT_CHARS = 200
_REFUSED = frozenset({400, 413, 415, 422})
"""The endpoint understands and will not: this request alone is at fault."""

_BUSY = frozenset({429, 503})
_PASSING = frozenset({408, 425, *_BUSY})
_PROBE: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Say OK."}],
    "max_tokens": 1,
    "temperature": 0.0,
}


class Subject(msgspec.Struct, frozen=True):
    """Whose endpoint it is, in messages, the flag that bounds its silence, and the error past that."""

    name: str = "the judge"
    patience_flag: str = "--judge-patience-seconds"
    unreachable: type[OmegaprmError] = JudgeUnreachable


JUDGE = Subject()


class _Failed(Exception):
    """One try failed; pause is what the endpoint asked for in seconds."""

    def __init__(self, reason: str, pause: float | None = None, busy: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        self.busy = busy


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: Usage | None = None


class _Probed(msgspec.Struct):
    choices: list[dict[str, Any]]
    usage: Usage | None = None


class Answer(Protocol):
    """What every body has that answers a request."""

    @property
    def choices(self) -> Sequence[object]: ...

    @property
    def usage(self) -> Usage | None: ...


Body = TypeVar("Body", bound=Answer)


class Endpoint:
    """An endpoint's completions. Made by start(), which names a wrong URL, key or model at once.

    >>> endpoint = await Endpoint.start("http://localhost:8000/v1", "judge", key=None)
    >>> reply = await endpoint.chat([{"role": "user", "content": "2+2?"}], max_tokens=8, temperature=0.0)
    >>> await endpoint.close()
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None,
        concurrency: int = 32,
        patience_seconds: float = 600.0,
        request_seconds: float | None = 120.0,
        pace: Pace = PACE,
        clock: Callable[[], float] = time.monotonic,
        path: str = "/chat/completions",
        probe: Mapping[str, Any] = _PROBE,
        subject: Subject = JUDGE,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """path: what is asked, under url; probe: a request there that any model can answer."""
        self.spent = Spent()
        self._url = url.rstrip("/") + path
        self._probe_request = probe
        self._subject = subject
        self._max_body_bytes = max_body_bytes
        self._model = model
        self._key = key
        self._patience_seconds = patience_seconds
        self._pace = pace
        self._clock = clock
        self._circuit = Circuit(pace)
        self._silent_until = -math.inf
        self._permits = asyncio.Semaphore(concurrency)
        self._probing = asyncio.Lock()
        self._last_failure: Exception = _Failed("not asked yet")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency + 1),
            timeout=aiohttp.ClientTimeout(total=request_seconds),
            headers=_headers(key),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    @classmethod
    async def start(cls, url: str, model: str, key: str | None, **options: Any) -> Endpoint:
        """The endpoint after one probe. ConfigurationError where it refuses; one that is down may come up later."""
        endpoint = cls(url, model, key, **options)
        try:
            await endpoint._probe()
        except BaseException:
            await endpoint.close()
            raise
        return endpoint

    async def chat(self, messages: list[dict[str, Any]], max_tokens: int, temperature: float, draw: int = 0) -> Reply:
        """The reply to a chat; errors as those of ask(). The endpoint draws as it likes, draw is not sent."""
        request = {"messages": messages, "max_tokens": max_tokens, "temperature": temperature}
        choice = (await self.ask(request, _Completion)).choices[0]
        return Reply(choice.message.content or "", choice.finish_reason == "length")

    async def ask(self, request: Mapping[str, Any], kind: type[Body]) -> Body:
        """The body that answers a request, as the struct given, with a choice at least.

        Unanswered: this request gets none; the subject's error (JudgeUnreachable): none did, for all our patience.
        """
        since, replies_before, num_tries = self._clock(), self.spent.num_replies, 0
        while True:
            await self._admitted(since)
            try:
                async with self._permits:
                    return await self._try(request, kind)
            except _Failed as failure:
                self._note_failure(failure)
                num_tries += not failure.busy
                if num_tries >= MAX_TRIES and self.spent.num_replies > replies_before:
                    raise Unanswered("failed", str(failure)) from failure
                self._check_patience(since, failure)
                if not self._circuit.is_open:
                    await asyncio.sleep(self._pace.pause(max(num_tries, 1), random.random()))

    async def close(self) -> None:
        await self._session.close()

    @property
    def _works(self) -> bool:
        return self.spent.num_replies > 0 and not self._circuit.is_open

    async def _admitted(self, since: float) -> None:
        """Wait until requests may be sent; where the endpoint does not work the waiters probe in turn."""
        while not self._works or self._circuit.wait_seconds(self._clock()) > 0:
            if self._works:
                await self._sleep_within_patience(since)
                continue
            async with self._probing:
                if not self._works:
                    await self._sleep_within_patience(since)
                    await self._probe()

    async def _sleep_within_patience(self, since: float) -> None:
        now = self._clock()
        left = self._patience_seconds - self._circuit.waited(since, now)
        await asyncio.sleep(max(min(self._circuit.wait_seconds(now), left), 0.0))
        self._check_patience(since, self._last_failure)

    async def _probe(self) -> None:
        """Send a question that any model can answer; ConfigurationError where even the first is refused."""
        try:
            await self._try(self._probe_request, _Probed)
        except _Failed as failure:
            self._note_failure(failure)
        except Unanswered as refusal:
            if self.spent.num_replies == 0:
                raise ConfigurationError(f"{self._named}, model {self._model}: {refusal}") from refusal
            self._note_failure(_Failed(str(refusal)))

    def _note_failure(self, failure: _Failed) -> None:
        self.spent.num_failures += 1
        self._last_failure = failure
        now, was_open = self._clock(), self._circuit.is_open
        if failure.pause is not None:
            self._circuit.rest(now, failure.pause)
        if not failure.busy:
            self._circuit.on_failure(now, random.random())
        if self._circuit.is_open and not was_open and now >= self._silent_until:
            self._silent_until = now + _SILENT_SECONDS
            patience = f"{self._subject.patience_flag} {self._patience_seconds:g}"
            log.tell("endpoint", f"{self._named} fails ({failure}); what needs it waits, until {patience}")

    def _check_patience(self, since: float, failure: Exception) -> None:
        if self._circuit.waited(since, self._clock()) >= self._patience_seconds:
            raise self._subject.unreachable(
                f"{self._named} answered nothing for {self._subject.patience_flag} {self._patience_seconds:g}: "
                f"{failure}; run the same command again to go on"
            )

    @property
    def _named(self) -> str:
        return f"{self._subject.name} at {self._url}"

    async def _try(self, request: Mapping[str, Any], kind: type[Body]) -> Body:
        """Send once. Raises _Failed, or Unanswered where the endpoint refuses."""
        self.spent.num_requests += 1
        data = msgspec.json.encode({"model": self._model, **request})
        try:
            async with self._session.post(self._url, data=data, allow_redirects=False) as response:
                body = await _body(response, self._max_body_bytes)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _Failed(str(error) or type(error).__name__) from error
        if response.status != 200:
            self._raise_for(response, body)
        return self._read(body, kind)

    def _raise_for(self, response: aiohttp.ClientResponse, body: bytes) -> NoReturn:
        status = response.status
        reason = f"status {status}: {self._excerpt(body)}"
        never_answered = self.spent.num_replies == 0
        if status in _REFUSED or (never_answered and 400 <= status < 500 and status not in _PASSING):
            raise Unanswered("refused", reason)
        if 300 <= status < 400:
            reason = f"status {status}: redirects are not followed; name the endpoint's own URL"
        pause = retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC))
        raise _Failed(reason, pause if status in _BUSY else None, busy=status == 429)

    def _read(self, body: bytes, kind: type[Body]) -> Body:
        try:
            completion = msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _Failed(f"no completion ({error}): {self._excerpt(body)}") from error
        if not completion.choices:
            raise _Failed("a completion without choices")
        self.spent.num_replies += 1
        usage = completion.usage or Usage()
        self.spent.num_prompt_tokens += usage.prompt_tokens
        self.spent.num_completion_tokens += usage.completion_tokens
        self._circuit.on_answer(self._clock())
        return completion

    def _excerpt(self, body: bytes) -> str:
        """The beginning of a body for a message, on one line, without the key."""
        text = " ".join(body[: 4 * _EXCERPT_CHARS].decode("utf-8", "replace").split())
        return (text.replace(self._key, "…") if self._key else text)[:_EXCERPT_CHARS]


def _headers(key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    return headers | ({"Authorization": f"Bearer {key}"} if key else {})


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The whole body, or a failure at the first byte above max_bytes."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            response.close()
            raise _Failed(f"status {response.status}: a body above {max_bytes} bytes")
    return bytes(body)
