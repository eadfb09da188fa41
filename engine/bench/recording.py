"""The policy on the real engine, with every request it sends written down so that it can be sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from omegaprm.engine.config import AnnotateConfig, EngineOptions, Sampling
from omegaprm.engine.few_shot import read_examples
from omegaprm.engine.policy import vllm_engine
from omegaprm.engine.policy.base import Policy
from omegaprm.engine.policy.bounded import Bound
from omegaprm.engine.policy.vllm_policy import VllmPolicy


class Request(NamedTuple):
    """A request as the engine got it: token ids, and the sampling with its number of completions and its seed."""

    prompt: Any
    sampling: Any


class RecordingEngine:
    """An AsyncLLM that keeps what it is asked in `requests`, while that is a list, and counts sampled tokens."""

    def __init__(self, engine: Any) -> None:
        self.bare = engine
        self.requests: list[Request] = []
        self.num_tokens = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)

    async def generate(self, prompt: Any, sampling: Any, request_id: str) -> AsyncIterator[Any]:
        self.requests.append(Request(prompt, sampling))
        async for output in self.bare.generate(prompt, sampling, request_id):
            self.num_tokens += sum(len(one.token_ids) for one in output.outputs)
            yield output


class Recorder(NamedTuple):
    """The policy, bounded by --in-flight, and the engine beneath it."""

    policy: Policy
    engine: RecordingEngine

    @classmethod
    async def start(cls, config: AnnotateConfig) -> Recorder:
        bound = Bound.of(config.in_flight, config.concurrency)
        engine = RecordingEngine(await vllm_engine.start(Path(config.model), config.part(EngineOptions)))
        chat = vllm_engine.chat(engine)
        sampling: Sampling = config.part(Sampling)
        examples = read_examples(config.few_shot, config.step_format)
        policy = VllmPolicy(engine, chat, sampling, config.prompt_template, config.step_format, examples)
        bound.listen_to(policy)
        return cls(bound.around(policy), engine)

    async def forget(self) -> None:
        """Empty the prefix cache and the record: the next run starts like the first."""
        await self.engine.reset_prefix_cache()
        self.engine.requests.clear()
        self.engine.num_tokens = 0
