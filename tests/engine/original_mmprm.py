"""This engine against MM-PRM's own schedule: python -m tests.engine.original_mmprm CHECKOUT [--help]

CHECKOUT is a folder of MM-PRM's repository (github.com/ModalMinds/MM-PRM); its omegaprm.py and llm_utils.py run as they
are, in a process of their own. What stands between them and this machine:

- vLLM's LLM gets this engine's settings (eager, float32, KV cache, sequences at once) beside theirs;
- the tokenizer's chat template is given the question, and the steps so far as the begun reply, since the bundled policy
  was trained on that form and cannot read "Previous Steps:";
- where the installed openai has no logger of httpx, which omegaprm.py turns down when imported, it gets one;
- the judge's endpoint is omegaprm.engine.bench.endpoint, which decides by rules after so many seconds.

The sides take turns: MM-PRM's code, this bench's imitation of it, and this engine judging by rules or asking the same
endpoint.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import re
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from omegaprm.engine.bench.clock import Queues, machine
from omegaprm.engine.bench.config import BenchConfig
from omegaprm.engine.bench.endpoint import HttpJudge, JudgeEndpoint
from omegaprm.engine.bench.growing import Grown, grow, seed_problems
from omegaprm.engine.bench.run import Run
from omegaprm.engine.config import EngineOptions
from omegaprm.engine.policy import vllm_engine
from omegaprm.engine.records import Problem

ASYNC_ONLY = ("generation_config", "shutdown_timeout", "disable_log_stats", "use_tqdm_on_load", "data_parallel_size")
"""Settings of this engine that LLM does not take or that are AsyncLLM's own affair."""
OURS = "this engine"
_PROMPT = re.compile(r"Question: (.*?)(?:\nPrevious Steps:(.*))?", re.DOTALL)


class Sums(NamedTuple):
    """Of one run of MM-PRM's code: estimates, rollouts, seconds in all, and of them in its LLM and judging."""

    num_estimates: int
    num_rollouts: int
    seconds: float
    sampling_seconds: float
    judging_seconds: float
    in_line_seconds: float
    mean_root: float


class Rephrased:
    """Their tokenizer, with a chat template that puts a state as the bundled policy was trained on it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def apply_chat_template(self, messages: list[dict[str, str]], **named: Any) -> str:
        found = _PROMPT.fullmatch(messages[-1]["content"].partition("\n\n")[2])
        assert found is not None
        chat = self._tokenizer.apply_chat_template([{"role": "user", "content": found[1]}], **named)
        return chat + (found[2] or "")


def theirs(pipe: Connection, checkout: Path, config: BenchConfig) -> None:
    """Load their language model, then grow the trees that are asked for, one after the other."""
    folder = Path(config.model)
    vllm_engine.prepare(folder)
    import vllm

    plain = vllm.LLM
    ours = vllm_engine.arguments(folder, config.part(EngineOptions))
    settings = {name: value for name, value in ours.items() if name not in ASYNC_ONLY and value is not None}
    vllm.LLM = lambda **their: plain(**{**settings, **their})
    import openai._utils._logs as openai_logs

    vars(openai_logs).setdefault("httpx_logger", logging.getLogger("httpx"))
    sys.path.insert(0, str(checkout / "data_pipeline"))
    import llm_utils  # type: ignore[import-not-found]

    from omegaprm import OmegaPRM  # type: ignore[import-not-found]

    logging.basicConfig(level=logging.DEBUG, handlers=[logging.FileHandler(f"{tempfile.mkdtemp()}/log.txt")])
    model = llm_utils.LanguageModel(
        model=config.model,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
    )
    model.tokenizer = Rephrased(model.tokenizer)
    print("[theirs] loaded", file=sys.stderr, flush=True)
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        model.model.reset_prefix_cache()
        pipe.send(grow_theirs(OmegaPRM, model, config, *asked))


def grow_theirs(kind: Any, model: Any, config: BenchConfig, problems: list[Problem], url: str) -> Sums:
    """As their run_data_pipeline.py does it, with the parameters of its shell script but k and budget."""
    sampling, estimating, roots, num_rollouts = [], [], [], 0
    generate, estimate = model.generate_results, kind.monte_carlo_estimation

    def timed_generate(*arguments: Any) -> Any:
        began = time.perf_counter()
        results = generate(*arguments)
        sampling.append(time.perf_counter() - began)
        return results

    def timed_estimate(self: Any, state: Any) -> None:
        began = time.perf_counter()
        estimate(self, state)
        estimating.append(time.perf_counter() - began)
        if state.parent is None:
            roots.append(state.mc_value)

    model.generate_results, kind.monte_carlo_estimation = timed_generate, timed_estimate
    queues, began = Queues([os.getpid()]), time.perf_counter()
    for problem in problems:
        tree = kind(
            LLM=model,
            question=problem.question,
            image_path=None,
            correct_answer=problem.correct_answer,
            c_puct=config.c_puct,
            alpha=config.alpha,
            beta=config.beta,
            length_scale=config.length_scale,
            num_rollouts=config.num_rollouts,
            max_search_count=config.max_searches,
            rollout_budget=config.rollout_budget,
            api_endpoint=url,
        )
        json.dumps(tree.run(), indent=4, ensure_ascii=False)
        num_rollouts += tree.total_rollouts
    seconds = time.perf_counter() - began
    model.generate_results, kind.monte_carlo_estimation = generate, estimate
    return Sums(
        len(estimating),
        num_rollouts,
        seconds,
        sum(sampling),
        sum(estimating) - sum(sampling),
        max(queues.read().values()),
        sum(roots) / len(roots),
    )


def line(name: str, seconds: float | None, grown: Sums | Grown) -> dict[str, Any]:
    """One measurement, shown as it comes. Alone: without the time in line for a core of what is waited for: of all that
    works in turn where one question is open, and of the engine where many are."""
    in_line = grown.in_line_seconds if name != OURS else 0.0
    if isinstance(grown, Grown):
        in_line += grown.engine_in_line_seconds
    row = {
        "side": name,
        "judge_seconds": seconds,
        "labels_per_s_alone": round(grown.num_estimates / (grown.seconds - in_line), 3),
        "labels_per_s": round(grown.num_estimates / grown.seconds, 3),
        **grown._asdict(),
    }
    print(json.dumps(row), flush=True)
    return row


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    config = BenchConfig(
        num_problems=options.problems,
        num_serial_problems=options.serial_problems,
        rollout_budget=options.budget,
        num_rollouts=options.k,
    )
    ours_end, theirs_end = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=theirs, args=(theirs_end, options.checkout.resolve(), config), daemon=True
    )
    process.start()
    theirs_end.close()
    endpoint, rows = JudgeEndpoint(), []
    with tempfile.TemporaryDirectory() as folder:
        run = Run(config, Path(folder))
        recorder = await run.recorder()
        problems = seed_problems(run, config.num_problems)
        few = problems[: config.num_serial_problems]
        await asyncio.to_thread(ours_end.recv)
        await grow(run, recorder.policy, problems[:8], 8)
        ours_end.send((problems[-2:], endpoint.url(0.0)))
        await asyncio.to_thread(ours_end.recv)
        for _ in range(options.repeats):
            for seconds in options.seconds:
                ours_end.send((few, endpoint.url(seconds)))
                rows.append(line("MM-PRM's code", seconds, await asyncio.to_thread(ours_end.recv)))
                await recorder.forget()
                imitation = await grow(run, recorder.policy, few, 1, HttpJudge(endpoint, seconds))
                rows.append(line("imitation", seconds, imitation))
            for asked in (None, *options.asked):
                await recorder.forget()
                judge = None if asked is None else HttpJudge(endpoint, asked)
                ours = await grow(run, recorder.policy, problems, config.concurrency, judge)
                rows.append(line(OURS, asked, ours))
        await run.close()
    ours_end.send(None)
    process.join(30)
    process.terminate()
    endpoint.close()
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--problems", type=int, default=256, help="of this engine, all open at once")
    parser.add_argument("--serial-problems", type=int, default=12, help="the first of them, for the serial sides")
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--budget", type=int, default=48)
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.0, 0.05, 0.2, 1.0], help="of the judge")
    parser.add_argument("--asked", type=float, nargs="*", default=[0.2], help="also with this engine asking it")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    measured = asyncio.run(measure(chosen))
    if chosen.out:
        chosen.out.write_text(json.dumps({"machine": machine(), "rows": measured}, indent=1))
