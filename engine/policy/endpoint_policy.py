"""The policy behind an OpenAI-compatible endpoint, such as `vllm serve`: one request an estimate, where it takes n.

Failed requests are sent again with the same seed, by the same client that asks the judge's endpoint.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine import log, prompts, template_date
from omegaprm.engine.config import PolicyFlags, Sampling
from omegaprm.engine.errors import ConfigurationError, PolicyUnreachable
from omegaprm.engine.few_shot import read_examples
from omegaprm.engine.images import ImageError, data_url, resolve
from omegaprm.engine.judge.chatting import Unanswered
from omegaprm.engine.judge.endpoint import Endpoint, Subject
from omegaprm.engine.policy.asking import Completions, chat_fields, completions, dated_fields, sampling_fields
from omegaprm.engine.policy.base import Completion, ProblemFailed, Prompt
from omegaprm.engine.policy.boundary import (
    UNKNOWN_REST,
    End,
    begun_prompt,
    by_rest,
    by_tokens,
    continued,
    first_step,
    meets,
)
from omegaprm.engine.policy.chat import Chat
from omegaprm.engine.policy.endpoint_flags import POLICY_KEY_VARIABLE
from omegaprm.engine.policy.ends import ENDS
from omegaprm.engine.policy.served_model import context_length, require_room, rest_after_a_step
from omegaprm.engine.policy.special_tokens import hidden_tokens
from omegaprm.engine.prompts import Example, Turns
from omegaprm.engine.records import Problem

POLICY = Subject("the policy", "--policy-patience-seconds", PolicyUnreachable)
MAX_BODY_BYTES = 64 << 20
"""n completions of some thousand tokens each are well below it."""
PATHS = {"completions": "/completions", "chat": "/chat/completions"}
PROBES: dict[str, dict[str, Any]] = {
    "completions": {"prompt": "Say OK."},
    "chat": {"messages": [{"role": "user", "content": "Say OK."}]},
}


class EndpointPolicy:
    """A StepPolicy; made by start()."""

    def __init__(
        self, config: PolicyFlags, endpoint: Endpoint, tokenizer: Any = None, examples: tuple[Example, ...] = ()
    ) -> None:
        """tokenizer: the model's own, where its folder is at hand."""
        self._config = config
        self._endpoint = endpoint
        self._sampling: Sampling = config.part(Sampling)
        self._vllm = config.policy_dialect == "vllm"
        self._tokenizer = tokenizer
        date = template_date.parse(config.prompt_date)
        self._chat = Chat([tokenizer] if tokenizer is not None else [], date=date)
        self._dated = dated_fields(date) if self._vllm else {}
        self._hidden = hidden_tokens(tokenizer) if tokenizer is not None else re.compile(r"(?!)")
        self._examples = examples
        self._keeps_system = self._chat.keeps_system()
        self._end = self._end_by_tokenizer() if tokenizer is not None else by_rest(UNKNOWN_REST[config.step_format])
        self._takes_n = True

    @classmethod
    async def start(cls, config: PolicyFlags, **options: Any) -> EndpointPolicy:
        """Ask for two completions of a word. ConfigurationError where the endpoint refuses; one that is down is
        waited for."""
        assert config.policy_url is not None
        assert config.policy_model is not None
        log.tell("loading", f"asking the policy at {config.policy_url}, model {config.policy_model}")
        tokenizer = await asyncio.to_thread(_tokenizer, config.model) if config.model else None
        examples = read_examples(config.few_shot, config.step_format)
        probe = {**PROBES[config.policy_api], "max_tokens": 1, "n": 2}
        endpoint = await Endpoint.start(
            config.policy_url,
            config.policy_model,
            os.environ.get(POLICY_KEY_VARIABLE),
            concurrency=config.concurrency,
            patience_seconds=config.policy_patience_seconds,
            request_seconds=config.request_seconds or None,
            path=PATHS[config.policy_api],
            probe=probe,
            subject=POLICY,
            max_body_bytes=MAX_BODY_BYTES,
            **options,
        )
        policy = cls(config, endpoint, tokenizer, examples)
        try:
            key = os.environ.get(POLICY_KEY_VARIABLE)
            require_room(config.max_new_tokens, await context_length(config.policy_url, config.policy_model, key))
            if tokenizer is None and config.policy_dialect == "vllm" and config.step_format == "tags":
                rest = await rest_after_a_step(config.policy_url, config.policy_model, key)
                policy._end = policy._end if rest is None else by_rest(rest)
            policy._takes_n = len((await endpoint.ask(probe, Completions)).choices) == 2
        except BaseException:
            await endpoint.close()
            raise
        return policy

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        """num completions of a state. PolicyUnreachable, ProblemFailed."""
        return await self._sample(prompt, num, seed, one_step=False)

    async def sample_step(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        """num continuations that end behind their first step; vLLM's dialect alone tells where that is."""
        if not self._vllm:
            raise ConfigurationError("--policy-dialect openai: a beam search needs vllm, which shows where a step ends")
        return await self._sample(prompt, num, seed, one_step=True)

    async def close(self) -> None:
        await self._endpoint.close()

    async def _sample(self, prompt: Prompt, num: int, seed: int, one_step: bool) -> list[Completion]:
        stops = ENDS.get((self._config.step_format, one_step), ())
        config = self._config
        turns = prompts.turns(
            prompt.problem.question, prompt.begun, config.prompt_template, config.step_format, self._examples
        )
        end = self._end(turns.reply)
        asked = await self._prompt_fields(prompt.problem, msgspec.structs.replace(turns, reply=end.text))
        whole = one_step and meets(end.rest, stops)
        drawn = await self._draw_all(asked, num, seed, () if whole else stops)
        completions = [continued(one, end.rest) for one in drawn]
        return [first_step(one, stops) for one in completions] if whole else completions

    async def _draw_all(self, asked: dict[str, Any], num: int, seed: int, stops: Sequence[str]) -> list[Completion]:
        if self._sampling.temperature == 0:
            return (await self._draw(asked, 1, seed, stops)) * num
        sizes = [num] if self._takes_n else [1] * num
        drawn = await asyncio.gather(*(self._draw(asked, n, seed + at, stops) for at, n in enumerate(sizes)))
        return [completion for part in drawn for completion in part]

    async def _draw(self, asked: dict[str, Any], num: int, seed: int, stops: Sequence[str]) -> list[Completion]:
        fields = sampling_fields(self._sampling, num, seed, stops, self._vllm)
        try:
            body = await self._endpoint.ask({**asked, **fields}, Completions)
        except Unanswered as error:
            raise ProblemFailed(f"the policy's endpoint: {error}") from error
        if len(body.choices) != num:
            raise ProblemFailed(f"the policy's endpoint gave {len(body.choices)} of {num} completions")
        return [
            Completion(self._hidden.sub("", one.text), one.num_tokens, one.truncated)
            for one in completions(body, stop_is_shown=self._vllm)
        ]

    def _end_by_tokenizer(self) -> End:
        keeps_space = self._config.policy_api == "completions" or self._chat.keeps_space()
        return by_tokens(self._encode, self._config.step_format, keeps_space)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _encode_head(self, head: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(head, add_special_tokens=not self._chat.has_template)
        return ids

    async def _prompt_fields(self, problem: Problem, turns: Turns) -> dict[str, Any]:
        """What a request says of its prompt."""
        config = self._config
        special = {"skip_special_tokens": False} if self._vllm and self._tokenizer is not None else {}
        if config.policy_api == "chat":
            images = await asyncio.to_thread(data_urls, Path(problem.image_root), problem.image_paths)
            return {
                **chat_fields(turns if self._keeps_system else prompts.folded(turns), images),
                **self._dated,
                **special,
            }
        if problem.image_paths:
            raise ConfigurationError(
                f"problem {problem.id} has images, which --policy-api completions cannot send; give --policy-api chat"
            )
        if self._vllm:
            special["add_special_tokens"] = not self._chat.has_template
        return {"prompt": self._prompt(turns), **special}

    def _prompt(self, turns: Turns) -> str | list[int]:
        head = self._chat.head(turns, 0)
        if not self._vllm or self._tokenizer is None:
            return head + turns.reply
        return begun_prompt(self._encode, self._encode_head, head, turns.reply)


def data_urls(root: Path, names: Sequence[str]) -> list[str]:
    """Images as data URLs. ProblemFailed where one cannot be used."""
    try:
        return [data_url(resolve(root, name)) for name in names]
    except (ImageError, OSError) as error:
        raise ProblemFailed(str(error)) from error


def _tokenizer(folder: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--model {folder}: holds no tokenizer that can be loaded: {error}") from error
