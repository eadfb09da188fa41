"""A chat template that writes today's date writes the same one on every day, and what has a date keeps it."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from transformers import AutoProcessor

from omegaprm.engine import template_date
from omegaprm.engine.annotate import annotate
from omegaprm.engine.config import AnnotateConfig, RolloutConfig
from omegaprm.engine.errors import ConfigurationError, UsageError
from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.opening import start_policy
from omegaprm.engine.policy.chat import Chat
from omegaprm.engine.policy.endpoint_policy import EndpointPolicy
from omegaprm.engine.prompt_date import settled
from omegaprm.engine.prompts import Turns
from omegaprm.engine.rollout import run
from omegaprm.engine.store import Store
from tests.fakes.dated import CALLS_NOW, FIRST, FIXED_DEFAULT, LATER, TAKES_STRING, model, pass_to
from tests.fakes.policy import ScriptedPolicy
from tests.fakes.policy_server import serving

TURNS = Turns("Think.", "What?", "<step>a</step>")
DATE = datetime.date(2025, 12, 24)


@pytest.fixture(scope="module")
def processor(policy_folder: Path) -> Any:
    return AutoProcessor.from_pretrained(policy_folder)


def rendered(source: Any, template: str, date: datetime.date | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompt under a template on two days."""
    monkeypatch.setattr(source, "chat_template", template)
    found = []
    for day in (FIRST, LATER):
        pass_to(day, monkeypatch)
        found.append(Chat([source], date=date).render(TURNS, 0))
    return found


def sources(processor: Any) -> dict[str, Any]:
    return {"processor": processor, "tokenizer": processor.tokenizer}


@pytest.mark.parametrize("kind", ["processor", "tokenizer"])
@pytest.mark.parametrize(("template", "shown"), [(CALLS_NOW, "24 December 2025"), (TAKES_STRING, "24 Dec 2025")])
def test_a_prompt_has_its_date_on_every_day_and_nothing_warns(kind, template, shown, processor, monkeypatch, capfd):
    source = sources(processor)[kind]
    first, later = rendered(source, template, DATE, monkeypatch)
    assert first == later
    assert shown in first
    assert first.endswith("[user]What?<step>a</step>")
    (undated, again) = rendered(source, template, None, monkeypatch)
    assert undated == again
    assert "26 Jul" in undated
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("template", [CALLS_NOW, TAKES_STRING])
def test_a_fixed_date_changes_nothing_else_in_a_prompt(template, processor, monkeypatch):
    monkeypatch.setattr(processor, "chat_template", template)
    pass_to(LATER, monkeypatch)
    said = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    plain = processor.apply_chat_template(said, tokenize=False)
    assert processor.apply_chat_template(said, tokenize=False, **template_date.fixed(processor, LATER)) == plain
    assert processor.apply_chat_template(said, tokenize=False, **template_date.fixed(processor, FIRST)) != plain


def test_a_template_with_a_default_of_its_own_keeps_it_until_a_date_is_given(processor, monkeypatch):
    assert "Today Date: 26 Jul 2024[" in rendered(processor, FIXED_DEFAULT, None, monkeypatch)[0]
    assert "Today Date: 24 Dec 2025[" in rendered(processor, FIXED_DEFAULT, DATE, monkeypatch)[0]
    assert template_date.chosen(frozenset({"date_string"}), None) is None
    assert template_date.chosen(frozenset({"date_string"}), DATE) == DATE


def test_a_template_without_a_date_is_left_as_it_is(processor, policy_folder):
    assert template_date.fixed(processor, DATE) == {}
    assert template_date.named(policy_folder) == frozenset()


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        ("chat_template.jinja", CALLS_NOW, {"strftime_now"}),
        ("chat_template.json", json.dumps({"chat_template": TAKES_STRING}), {"strftime_now", "date_string"}),
        ("tokenizer_config.json", json.dumps({"chat_template": FIXED_DEFAULT}), {"date_string"}),
        ("tokenizer_config.json", json.dumps({"chat_template": "{{ my_date_string }}"}), set()),
        ("README.md", CALLS_NOW, set()),
    ],
)
def test_a_folder_says_what_its_template_asks_for(file, text, names, tmp_path):
    (tmp_path / file).write_text(text)
    assert template_date.named(tmp_path) == names


def test_a_date_that_is_none_is_refused():
    with pytest.raises(UsageError, match=r"--prompt-date 24\.12\.2025: must be a date, written as 2026-01-31"):
        AnnotateConfig(seeds=("s",), model="m", store="s", prompt_date="24.12.2025")


@pytest.fixture
def annotating(tmp_path: Path) -> Callable[..., str | None]:
    """Runs the daemon and gives the date that its policy was started with."""
    (tmp_path / "seeds.json").write_text(json.dumps([{"id": "p", "question": "What is 1?", "correct_answer": 1}]))

    def once(folder: Path, **flags: Any) -> str | None:
        started: list[AnnotateConfig] = []

        async def policy_of(config: AnnotateConfig) -> ScriptedPolicy:
            started.append(config)
            return ScriptedPolicy()

        seeds, store = (str(tmp_path / "seeds.json"),), str(tmp_path / "store")
        annotate(AnnotateConfig(seeds=seeds, model=str(folder), store=store, rollout_budget=48, **flags), policy_of)
        return started[0].prompt_date

    return once


def recorded(tmp_path: Path) -> str | None:
    with Store.open_reader(tmp_path / "store") as store:
        return store.fingerprint().get("prompt_date")


def test_a_store_goes_on_with_the_date_it_was_made_on(annotating, policy_folder, tmp_path, monkeypatch):
    folder = model(policy_folder, tmp_path / "model", CALLS_NOW)
    pass_to(FIRST, monkeypatch)
    assert annotating(folder) == recorded(tmp_path) == "2026-03-01"
    pass_to(LATER, monkeypatch)
    assert annotating(folder) == recorded(tmp_path) == "2026-03-01"
    assert annotating(folder, prompt_date="2026-03-01") == "2026-03-01"
    with pytest.raises(ConfigurationError, match="made with prompt_date = 2026-03-01, this command has 2026-03-02"):
        annotating(folder, prompt_date="2026-03-02")


def test_shards_that_name_a_date_have_it_whenever_they_start(annotating, policy_folder, tmp_path, monkeypatch):
    folder = model(policy_folder, tmp_path / "model", TAKES_STRING)
    pass_to(LATER, monkeypatch)
    assert annotating(folder, prompt_date="2026-03-01") == recorded(tmp_path) == "2026-03-01"


def test_a_store_of_a_template_without_a_date_records_none(annotating, policy_folder, tmp_path):
    assert annotating(policy_folder, prompt_date="2026-03-01") is None
    assert recorded(tmp_path) is None


def test_a_store_from_before_dates_were_recorded_goes_on_unless_a_date_is_named(
    annotating, policy_folder, tmp_path, monkeypatch
):
    folder = model(policy_folder, tmp_path / "model", CALLS_NOW)
    pass_to(FIRST, monkeypatch)
    with monkeypatch.context() as earlier:
        earlier.setattr("omegaprm.engine.fingerprint.sampled_under", without_date())
        annotating(folder)
    assert recorded(tmp_path) is None
    pass_to(LATER, monkeypatch)
    assert annotating(folder) == "2026-03-02"
    with pytest.raises(ConfigurationError, match="without prompt_date, this command has 2026-03-01"):
        annotating(folder, prompt_date="2026-03-01")


def without_date() -> Callable[..., dict[str, object]]:
    from omegaprm.engine.fingerprint import sampled_under

    return lambda *given: {name: value for name, value in sampled_under(*given).items() if name != "prompt_date"}


async def judge_of(config: RolloutConfig) -> Cascade:
    return await Cascade.start(config.math_verify_workers, config.math_verify_seconds)


def test_candidates_go_on_with_the_date_they_were_begun_on(policy_folder, tmp_path, monkeypatch):
    rows = [{"id": f"p{at}", "question": f"What is {at}?", "correct_answer": at} for at in range(3)]
    (tmp_path / "seeds.json").write_text(json.dumps(rows))
    folder = model(policy_folder, tmp_path / "model", CALLS_NOW)
    config = RolloutConfig(
        seeds=(str(tmp_path / "seeds.json"),), model=str(folder), out=str(tmp_path / "out.json"), num_candidates=2
    )
    started = []

    async def policy_of(config: RolloutConfig) -> ScriptedPolicy:
        started.append(config.prompt_date)
        return ScriptedPolicy()

    def once(**flags: str) -> str:
        asyncio.run(run(msgspec.structs.replace(config, **flags), policy_of, judge_of))
        return json.loads((tmp_path / "out.json.settings.json").read_text())["prompt_date"]

    pass_to(FIRST, monkeypatch)
    assert once() == "2026-03-01"
    pass_to(LATER, monkeypatch)
    assert once() == "2026-03-01"
    lines = (tmp_path / "out.json").read_text().splitlines()
    settings = json.loads((tmp_path / "out.json.settings.json").read_text())
    begun = [json.dumps({"settings": settings}), lines[1].rstrip(",")]
    (tmp_path / "out.json.partial").write_text("\n".join(begun) + "\n")
    (tmp_path / "out.json").unlink()
    assert once() == "2026-03-01"
    assert started == ["2026-03-01", "2026-03-01"]
    with pytest.raises(ConfigurationError, match="prompt_date was 2026-03-01, now 2026-03-02"):
        once(prompt_date="2026-03-02")
    del settings["prompt_date"]
    (tmp_path / "out.json.settings.json").write_text(json.dumps(settings))
    asyncio.run(run(config, policy_of, judge_of))
    assert len(started) == 2, "a file from before dates were recorded is complete"


def by_url(url: str, folder: Path | str, **flags: Any) -> AnnotateConfig:
    return AnnotateConfig(
        seeds=("s",), store="s", model=str(folder), policy_url=url, policy_model="m", prompt_date="2025-12-24", **flags
    )


async def test_an_endpoint_is_sent_the_date_in_the_prompt_or_beside_the_chat(policy_folder, tmp_path):
    from tests.engine.test_endpoint_policy import prompt

    folder = model(policy_folder, tmp_path / "model", TAKES_STRING)
    async with serving() as server:
        for api in ("completions", "chat"):
            policy = await start_policy(by_url(server.url, folder, policy_api=api))
            assert isinstance(policy, EndpointPolicy)
            await policy.sample(prompt(), 1, 5)
            await policy.close()
            body = server.requests[-1]
            if api == "chat":
                assert body["chat_template_kwargs"] == {"date_string": "24 Dec 2025"}
            else:
                assert "Today Date: 24 Dec 2025[" in body["prompt"]
                assert "chat_template_kwargs" not in body


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_a_policy_by_url_keeps_a_date_without_a_flag_too(api, policy_folder, tmp_path, monkeypatch):
    folder = model(policy_folder, tmp_path / "model", TAKES_STRING)
    config = msgspec.structs.replace(by_url("http://host/v1", folder, policy_api=api), prompt_date=None)
    pass_to(LATER, monkeypatch)
    assert settled(config).prompt_date == "2026-03-02"
    assert settled(config, {"prompt_date": "2026-03-01"}).prompt_date == "2026-03-01"


@pytest.mark.parametrize(
    ("template", "flags"),
    [
        (CALLS_NOW, {"policy_api": "chat"}),
        (None, {"policy_api": "completions"}),
        (TAKES_STRING, {"policy_api": "chat", "policy_dialect": "openai", "top_k": 0, "repetition_penalty": 1.0}),
    ],
)
def test_a_date_that_an_endpoint_would_not_write_is_refused_and_never_recorded(
    template, flags, policy_folder, tmp_path
):
    folder = model(policy_folder, tmp_path / "model", template) if template else ""
    config = by_url("http://host/v1", folder, **flags)
    with pytest.raises(ConfigurationError, match="--prompt-date 2025-12-24: the endpoint writes prompts by its own"):
        settled(config)
    assert settled(msgspec.structs.replace(config, prompt_date=None)).prompt_date is None
