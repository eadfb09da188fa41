"""The policy on vLLM's AsyncLLM in this process; the engine core is vLLM's own child process.

One call of sample() is one request with n completions. Its image decoding, preprocessing and tokenisation
run in threads, off the event loop. The engine core is gone when close() has returned.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine import prompts
from omegaprm.engine.config import EngineOptions, Sampling
from omegaprm.engine.errors import EngineDied
from omegaprm.engine.images import ImageError, resolve
from omegaprm.engine.load import PolicyLoad
from omegaprm.engine.policy import checkpoint, vllm_engine
from omegaprm.engine.policy.base import Completion, ProblemFailed, Prompt
from omegaprm.engine.policy.boundary import Ending, begun_prompt, by_tokens, continued, first_step, meets
from omegaprm.engine.policy.chat import Chat
from omegaprm.engine.policy.checkpoint import model_digest
from omegaprm.engine.policy.ends import ENDS
from omegaprm.engine.policy.gauge import Hear
from omegaprm.engine.policy.picture_cache import PictureCache
from omegaprm.engine.policy.special_tokens import STEP_TAGS as STEP_TAGS
from omegaprm.engine.policy.special_tokens import hidden_tokens
from omegaprm.engine.prompts import Example, Template, Turns
from omegaprm.engine.seams import StepFormat

__all__ = ["VllmPolicy", "model_digest"]

MAX_RESENDS = 3
"""Times a request is sent again after vLLM lost its image between its two caches, which mends itself."""


class Ends(msgspec.Struct, frozen=True):
    """Where a completion stops: behind one of these tokens, or else behind one of these texts."""

    texts: tuple[str, ...] = ()
    tokens: tuple[int, ...] = ()

    @classmethod
    def of(cls, tokenizer: Any, step_format: StepFormat, one_step: bool) -> Ends:
        texts = ENDS.get((step_format, one_step), ())
        tokens = [_token_of(tokenizer, text) for text in texts] if step_format == "tags" else [None]
        known = tuple(token for token in tokens if token is not None)
        return cls(tokens=known) if len(known) == len(texts) else cls(texts=texts)


class VllmPolicy:
    """Completes states with a Hugging Face model on vLLM. Made by start()."""

    def __init__(
        self,
        engine: Any,
        chat: Chat,
        sampling: Sampling,
        template: Template,
        step_format: StepFormat,
        examples: tuple[Example, ...] = (),
    ) -> None:
        self._engine = engine
        self._chat = chat
        self._sampling = sampling
        self._template: Template = template
        self._step_format: StepFormat = step_format
        self._examples = examples
        self._pictures = PictureCache()
        self._numbers = itertools.count()
        self._tokenizer = engine.renderer.tokenizer
        self._hidden = hidden_tokens(self._tokenizer)
        self._end = by_tokens(self._encode, step_format)
        self._ends = {one_step: Ends.of(self._tokenizer, step_format, one_step) for one_step in (False, True)}
        self._description: dict[str, str] = {}

    @classmethod
    async def start(
        cls,
        model: str,
        options: EngineOptions,
        sampling: Sampling,
        template: Template,
        step_format: StepFormat,
        examples: tuple[Example, ...] = (),
        date: datetime.date | None = None,
    ) -> VllmPolicy:
        """Load the model; takes 15 to 60 seconds. ConfigurationError, EngineDied."""
        description = checkpoint.describe(model)
        engine = await vllm_engine.start(Path(model), options)
        policy = cls(engine, vllm_engine.chat(engine, date), sampling, template, step_format, examples)
        policy._description = description
        return policy

    def tell(self, hear: Hear) -> None:
        """Let hear know of each of the engine's steps."""
        self._engine.logger_manager.hearers.append(hear)

    def description(self) -> dict[str, str]:
        """What tells this model from another (see checkpoint.describe)."""
        return dict(self._description)

    def policy_load(self) -> PolicyLoad:
        return self._engine.logger_manager.load() if self._engine.logger_manager else PolicyLoad()

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        """num completions of a state. EngineDied, ProblemFailed; cancelling aborts the request."""
        return await self._sample(prompt, num, seed, one_step=False)

    async def sample_step(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        """num continuations of a state that end behind their first step."""
        return await self._sample(prompt, num, seed, one_step=True)

    async def _sample(self, prompt: Prompt, num: int, seed: int, one_step: bool) -> list[Completion]:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            turns, end = self._turns(prompt)
            ends = self._ends[one_step]
            whole = meets(end.rest, ends.texts)
            params = self._sampling_params(num, seed, Ends() if whole else ends)
            for _ in range(MAX_RESENDS + 1):
                output = await self._generate(prompt, turns, end, params)
                reasons = {completion.finish_reason for completion in output.outputs}
                if "abort" in reasons:
                    raise EngineDied("the inference engine is shutting down")
                if "error" not in reasons:
                    drawn = await asyncio.to_thread(self._completions, output, num, end.rest)
                    return [first_step(one, ends.texts) for one in drawn] if whole else drawn
        except EngineDeadError as error:
            raise EngineDied("the inference engine died") from error
        raise ProblemFailed("the inference engine lost this request's images repeatedly")

    async def close(self) -> None:
        """Stop the engine and see its processes gone."""
        await vllm_engine.stop(self._engine)

    def _turns(self, prompt: Prompt) -> tuple[Turns, Ending]:
        question = prompt.problem.question
        turns = prompts.turns(question, prompt.begun, self._template, self._step_format, self._examples)
        return turns, self._end(turns.reply)

    async def _generate(self, prompt: Prompt, turns: Turns, end: Ending, params: Any) -> Any:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineGenerateError

        rendered = await self._render(prompt, turns, end)
        output = None
        try:
            async for piece in self._engine.generate(rendered, params, f"{prompt.problem.id}-{next(self._numbers)}"):
                output = piece
        except (VLLMClientError, ValueError) as error:
            raise ProblemFailed(str(error)) from error
        except EngineGenerateError as error:
            if self._engine.errored:
                raise EngineDied("the inference engine died") from error
            raise ProblemFailed(str(error.__cause__ or error)) from error
        if output is None:
            raise EngineDied("the inference engine gave no output")
        return output

    async def _render(self, prompt: Prompt, turns: Turns, end: Ending) -> Any:
        """The engine's own input: token ids, and the images preprocessed."""
        from vllm.exceptions import VLLMClientError

        problem = prompt.problem
        text = self._begun(self._chat.head(turns, len(problem.image_paths)), end.text)
        try:
            if problem.image_paths:
                text["multi_modal_data"] = {"image": await self._images(prompt)}
                if prompt.image_digests:
                    text["multi_modal_uuids"] = {"image": list(prompt.image_digests)}
            renderer = self._engine.renderer
            tokenisation = renderer.default_cmpl_tok_params.with_kwargs(add_special_tokens=not self._chat.has_template)
            (rendered,) = await renderer.render_cmpl_async([text], tokenisation)
        except (VLLMClientError, ValueError, TypeError, RuntimeError) as error:
            if self._engine.errored:
                raise EngineDied("the inference engine died") from error
            raise ProblemFailed(str(error)) from error
        return rendered

    def _begun(self, head: str, reply: str) -> dict[str, Any]:
        prompt = begun_prompt(self._encode, self._encode_head, head, reply)
        return {"prompt" if isinstance(prompt, str) else "prompt_token_ids": prompt}

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _encode_head(self, head: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(head, add_special_tokens=not self._chat.has_template)
        return ids

    async def _images(self, prompt: Prompt) -> list[Any]:
        if not self._engine.model_config.is_multimodal_model:
            raise ImageError(f"{prompt.problem.image_paths[0]}: this model reads no images")
        root = Path(prompt.problem.image_root)
        return await asyncio.to_thread(
            lambda: [self._pictures.get(resolve(root, name)) for name in prompt.problem.image_paths]
        )

    def _sampling_params(self, num: int, seed: int, ends: Ends) -> Any:
        """Where every end is a token of its own, vLLM need not look at text while it samples.

        Elsewhere the text is vLLM's: it knows the prompt, and keeps a blank that a tokenizer hides before a first word.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        sampling = self._sampling
        return SamplingParams(
            n=1 if sampling.temperature == 0 else num,
            seed=seed,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            repetition_penalty=sampling.repetition_penalty,
            max_tokens=min(sampling.max_new_tokens, self._engine.model_config.max_model_len),
            stop=list(ends.texts) or None,
            stop_token_ids=list(ends.tokens) or None,
            include_stop_str_in_output=bool(ends.texts),
            detokenize=not ends.tokens,
            output_kind=RequestOutputKind.FINAL_ONLY,
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
        )

    def _completions(self, output: Any, num: int, rest: str) -> list[Completion]:
        drawn = [
            Completion(
                text=self._hidden.sub("", one.text or self._text(one.token_ids)),
                num_tokens=len(one.token_ids),
                truncated=one.finish_reason == "length",
            )
            for one in output.outputs
        ]
        completions = [continued(one, rest) for one in drawn]
        return completions if len(completions) == num else completions * num

    def _text(self, token_ids: Any) -> str:
        text: str = self._tokenizer.decode(
            list(token_ids), skip_special_tokens=False, spaces_between_special_tokens=False
        )
        return text


def _token_of(tokenizer: Any, text: str) -> int | None:
    """The token that is this text and nothing else, if there is one."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    return int(ids[0]) if len(ids) == 1 else None
