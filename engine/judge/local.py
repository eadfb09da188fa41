"""Asks a model in an engine of this process: a second vLLM beside the policy's, or the only one of bin/judge.

A chat has a place among the engine's sequences before its deadline begins. What is drawn follows from the chat and the
number of its asking, so that the same model says the same again.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaprm.engine.config import EngineOptions
from omegaprm.engine.errors import ConfigurationError, EngineDied, JudgeUnreachable
from omegaprm.engine.judge.chatting import Reply, Spent, Unanswered
from omegaprm.engine.judge.circuit import Circuit, Pace
from omegaprm.engine.judge.flags import MODEL_PATH_FLAG
from omegaprm.engine.policy import vllm_engine
from omegaprm.engine.prompts import Turns


class LocalModel:
    """A Hugging Face model that answers chats of text. Made by start().

    >>> model = await LocalModel.start("models/small-instruct", EngineOptions(max_num_seqs=32))
    >>> reply = await model.chat([{"role": "user", "content": "2+2?"}], max_tokens=8, temperature=0.0)
    >>> await model.close()
    """

    def __init__(
        self,
        engine: Any,
        concurrency: int,
        patience_seconds: float = 600.0,
        request_seconds: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spent = Spent()
        self._engine = engine
        self._chat = vllm_engine.chat(engine)
        self._permits = asyncio.Semaphore(concurrency)
        self._patience_seconds = patience_seconds
        self._request_seconds = request_seconds
        self._clock = clock
        self._circuit = Circuit(Pace())
        self._numbers = itertools.count()

    @classmethod
    async def start(
        cls, path: str, options: EngineOptions, patience_seconds: float = 600.0, request_seconds: float = 120.0
    ) -> LocalModel:
        """Load the model, in 10 to 60 seconds. ConfigurationError where vLLM refuses it or does not start."""
        try:
            engine = await vllm_engine.start(Path(path), options, MODEL_PATH_FLAG)
        except EngineDied as error:
            raise ConfigurationError(
                f"{MODEL_PATH_FLAG} {path}: {error}; a second engine needs memory that the first leaves free: give "
                "both less (see docs/judge.md), or serve the judge elsewhere and name it by --judge-url"
            ) from error
        return cls(engine, options.max_num_seqs, patience_seconds, request_seconds)

    async def chat(self, messages: list[dict[str, Any]], max_tokens: int, temperature: float, draw: int = 0) -> Reply:
        """The reply to a chat of one turn. Unanswered: too long, or past its deadline while others were answered.

        JudgeUnreachable: nothing was answered for all our patience; EngineDied.
        """
        (message,) = messages
        text = self._chat.render(Turns(None, message["content"], ""), 0)
        params = self._sampling_params(text, max_tokens, temperature, draw)
        async with self._permits:
            since, replies_before = self._clock(), self.spent.num_replies
            while True:
                try:
                    async with asyncio.timeout(self._request_seconds) as scope:
                        return await self._generate(text, params)
                except TimeoutError:
                    if not scope.expired():
                        raise
                self.spent.num_failures += 1
                if self._circuit.waited(since, self._clock()) >= self._patience_seconds:
                    raise JudgeUnreachable(
                        f"{MODEL_PATH_FLAG}: the engine answered nothing for --judge-patience-seconds "
                        f"{self._patience_seconds:g}; run the same command again to go on"
                    )
                if self.spent.num_replies > replies_before:
                    raise Unanswered("failed", f"no reply within --judge-request-seconds {self._request_seconds:g}")

    async def close(self) -> None:
        """Stop the engine and see its processes gone."""
        await vllm_engine.stop(self._engine)

    async def _generate(self, text: str, params: Any) -> Reply:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        self.spent.num_requests += 1
        output = None
        try:
            rendered = await self._rendered(text)
            async for piece in self._engine.generate(rendered, params, f"judge-{next(self._numbers)}"):
                output = piece
        except (VLLMClientError, ValueError) as error:
            raise Unanswered("refused", str(error)) from error
        except (EngineDeadError, EngineGenerateError) as error:
            if self._engine.errored:
                raise EngineDied(f"{MODEL_PATH_FLAG}: the judge's engine died") from error
            raise Unanswered("failed", str(error.__cause__ or error)) from error
        if output is None or output.outputs[0].finish_reason in ("abort", "error"):
            raise EngineDied(f"{MODEL_PATH_FLAG}: the judge's engine is shutting down")
        self._note_reply(output)
        return Reply(output.outputs[0].text, output.outputs[0].finish_reason == "length")

    async def _rendered(self, text: str) -> Any:
        """Token ids; special tokens come first where no chat template has put them there."""
        renderer = self._engine.renderer
        tokenisation = renderer.default_cmpl_tok_params.with_kwargs(add_special_tokens=not self._chat.has_template)
        (rendered,) = await renderer.render_cmpl_async([{"prompt": text}], tokenisation)
        return rendered

    def _note_reply(self, output: Any) -> None:
        self.spent.num_replies += 1
        self.spent.num_prompt_tokens += len(output.prompt_token_ids or ())
        self.spent.num_completion_tokens += len(output.outputs[0].token_ids)
        self._circuit.on_answer(self._clock())

    def _sampling_params(self, text: str, max_tokens: int, temperature: float, draw: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=temperature,
            seed=seed_of(text, draw),
            max_tokens=min(max_tokens, self._engine.model_config.max_model_len),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )


def seed_of(text: str, draw: int) -> int:
    """What the asking of that number of a text is drawn from, below 2**63."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=b"%d" % draw).digest()
    return int.from_bytes(digest, "big") >> 1
