"""What every command that samples begins with: its seed problems, read and reported, and its policy, loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from omegaprm.engine import log, template_date
from omegaprm.engine.config import EngineOptions, PolicyFlags, Sampling, parse_shard
from omegaprm.engine.errors import UsageError
from omegaprm.engine.few_shot import read_examples
from omegaprm.engine.policy.base import Policy, StepPolicy
from omegaprm.engine.policy.bounded import Bound
from omegaprm.engine.policy.enduring import Deadline, Restarting
from omegaprm.engine.policy.identity import require_policy
from omegaprm.engine.problems import SeedSet, read_problems
from omegaprm.engine.prompt_date import settled

Config = TypeVar("Config", bound=PolicyFlags)


def read_seeds(config: PolicyFlags) -> SeedSet:
    """The problems of this shard; rejected rows are named on stderr. BadInput where none is usable.

    UsageError for flags that name no policy or no folder of images.
    """
    require_policy(config)
    root = Path(config.image_root) if config.image_root is not None else None
    if root is not None and not root.is_dir():
        raise UsageError(f"--image-root {root}: there is no such folder")
    seeds = read_problems([Path(path) for path in config.seeds], root, parse_shard(config.shard))
    for rejected in seeds.rejected:
        whose = "" if rejected.id is None else f" (id {rejected.id})"
        message = f"rejected {rejected.file}:{rejected.line}: {rejected.field}: {rejected.reason}{whose}"
        log.tell("rejected", message, **msgspec.structs.asdict(rejected))
    seeds.require_usable()
    return seeds


async def start_policy(config: PolicyFlags) -> StepPolicy:
    config = settled(config)
    if config.policy_url is not None:
        from omegaprm.engine.policy.endpoint_policy import EndpointPolicy

        return await EndpointPolicy.start(config)
    from omegaprm.engine.policy.vllm_policy import VllmPolicy

    examples = read_examples(config.few_shot, config.step_format)
    log.tell("loading", f"loading the policy from {config.model}")
    return await VllmPolicy.start(
        config.model,
        config.part(EngineOptions),
        config.part(Sampling),
        config.prompt_template,
        config.step_format,
        examples,
        template_date.parse(config.prompt_date),
    )


async def start_enduring(config: Config, start: Callable[[Config], Awaitable[Policy]]) -> Policy:
    """A policy by start whose requests have --request-seconds and whose engine has --engine-restarts.

    Requests wait for --in-flight outside of both: a deadline begins with a place, which outlives the engine. An
    endpoint has its own deadlines and its own patience.
    """
    if config.policy_url is not None:
        return await start(config)
    bound = Bound.of(config.in_flight, config.concurrency)

    async def one() -> Policy:
        policy = await start(config)
        bound.listen_to(policy)
        return Deadline(policy, config.request_seconds) if config.request_seconds else policy

    return bound.around(await Restarting.started(one, config.engine_restarts))
