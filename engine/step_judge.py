"""bin/judge-steps: a step judge's opinion on every stored step, beside the counts; the same command resumes."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from omegaprm.engine.display import shown_line
from omegaprm.engine.errors import Drained
from omegaprm.engine.judge.flags import KEY_VARIABLE, EndpointFlags, check_url
from omegaprm.engine.lifecycle import drain_on_signal
from omegaprm.engine.scheduler import run_all
from omegaprm.engine.store import Store

Asked = Literal["all", "rows"]


class JudgeStepsConfig(EndpointFlags, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask a model about the steps in a store and keep its opinions there. The same command resumes after a stop."""

    store: Annotated[str, tyro.conf.Positional]
    """Store folder; no other process may write to it meanwhile."""
    judge_url: str
    """Base of an OpenAI-compatible endpoint, as http://host:8000/v1; its key comes from the environment variable
    OMEGAPRM_JUDGE_KEY."""
    judge_model: str
    """Model that the endpoint is asked for; it must read images where problems have any."""
    steps: Asked = "all"
    """"all": every step of every rollout; "rows": those of the rows that bin/export writes by default."""
    judge_max_tokens: int = 512
    """Tokens of a reply at the most."""
    drain_seconds: float = 20.0
    """Time that requests under way are given to finish after a signal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.judge_url, str):
            check_url(self.judge_url)


def judge_steps(config: JudgeStepsConfig) -> None:
    """Run to the end; Drained where a signal came first, JudgeUnreachable where the endpoint stays away."""
    asyncio.run(run_judge_steps(config))


async def run_judge_steps(config: JudgeStepsConfig, **options: Any) -> None:
    """The command in a running loop; options go to the endpoint."""
    from omegaprm.engine.judge.endpoint import Endpoint
    from omegaprm.engine.judge.step_rule import StepRule
    from omegaprm.engine.step_asking import Asking, steps_of

    draining = asyncio.Event()
    with drain_on_signal(draining):
        async with AsyncExitStack() as opened:
            store = opened.enter_context(Store.open(Path(config.store), create=False))
            endpoint = await Endpoint.start(
                config.judge_url,
                config.judge_model,
                os.environ.get(KEY_VARIABLE),
                concurrency=config.judge_concurrency,
                patience_seconds=config.judge_patience_seconds,
                request_seconds=config.judge_request_seconds,
                **options,
            )
            opened.push_async_callback(endpoint.close)
            rule = StepRule(endpoint, config.judge_max_asks, config.judge_max_tokens)
            run = Asking(store, rule, config.judge_model, steps_of(config.steps, store))
            try:
                async with shown_line(run.line):
                    await run_all(run.questions(), run.ask, config.judge_concurrency, draining, config.drain_seconds)
            finally:
                await run.keep_cost(endpoint.spent)
    if not run.is_through:
        raise Drained(f"stopped on a signal with everything saved ({run.line()}); run the same command again")
    print(run.report(endpoint.spent))
