"""Solved problems go before every question in the form that is asked for, and belong to what a store was made under."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omegaprm.engine.annotate import annotate
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.few_shot import examples_digest, read_examples
from omegaprm.engine.policy.asking import chat_fields
from omegaprm.engine.policy.base import Prompt
from omegaprm.engine.policy.chat import Chat
from omegaprm.engine.policy.endpoint_policy import EndpointPolicy
from omegaprm.engine.prompts import Example, parse, turns
from omegaprm.engine.records import Problem
from omegaprm.engine.seams import Begun, StepFormat
from tests.engine.test_chat import NO_SYSTEM, PARTS, STRING_ONLY, Templated
from tests.fakes.policy import ScriptedPolicy
from tests.fakes.policy_server import serving

A = Begun(("a",))
SUM = Example("1+2+3?", ("1+2=3", "3+3=6"), "6")
PRODUCT = Example("2*3?", ("2*3=6",), "6")
FORMATS: tuple[StepFormat, ...] = ("tags", "paragraphs", "lines")


def written(tmp_path: Path, content: Any) -> str:
    path = tmp_path / "shots.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


ROWS = [{"question": "1+2+3?", "steps": ["1+2=3", "3+3=6"], "answer": "6"}]


def test_a_file_is_read_as_it_stands_and_none_gives_none(tmp_path: Path) -> None:
    assert read_examples(written(tmp_path, ROWS), "tags") == (SUM,)
    assert read_examples(None, "tags") == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "must be a JSON list of"),
        ([], "at least one"),
        ({"question": "?"}, "must be a JSON list of"),
        ([{"question": "?", "steps": ["a"]}], "answer"),
        ([{**ROWS[0], "solution": "x"}], "solution"),
        ([{**ROWS[0], "steps": ["two\nlines"]}], "solution 1 of 1 steps and an answer reads back as 3 steps"),
        ([{**ROWS[0], "answer": ""}], "reads back as nothing"),
    ],
)
def test_a_file_that_teaches_another_form_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match="--few-shot") as refused:
        read_examples(written(tmp_path, content), "lines")
    assert said in str(refused.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.json: No such file"):
        read_examples(str(tmp_path / "none.json"), "tags")


@pytest.mark.parametrize("step_format", FORMATS)
def test_an_example_is_answered_in_the_form_that_is_asked_for(step_format: StepFormat) -> None:
    shown = turns("Q?", A, "prefill", step_format, (SUM, PRODUCT))
    assert [asked for asked, _ in shown.shown] == [SUM.question, PRODUCT.question]
    for example, (_, reply) in zip((SUM, PRODUCT), shown.shown, strict=True):
        read = parse(reply, step_format)
        assert read is not None
        assert (read.steps[:-1], read.answer) == (example.steps, example.answer)
    without = turns("Q?", A, "prefill", step_format)
    assert (shown.system, shown.user, shown.reply) == (without.system, without.user, without.reply)


def test_mmprms_request_asks_for_the_examples_too() -> None:
    shown = turns("Q?", Begun(), "mmprm", "tags", (SUM,))
    assert shown.shown[0][0] == shown.user.replace("Q?", SUM.question)


def test_every_kind_of_template_shows_them_before_the_question() -> None:
    asked = turns("Q?", A, "prefill", "tags", (PRODUCT,))
    solved = "[user]2*3?[assistant]<step>2*3=6</step><answer>6</answer>"
    end = "[user]Q?[assistant]<step>a</step>"
    for template in (PARTS, STRING_ONLY):
        assert Chat([Templated(template)]).render(asked, 0) == f"[system]{asked.system}{solved}{end}"
    first = solved.replace("[user]", f"[user]{asked.system}\n\n")
    assert Chat([Templated(NO_SYSTEM)]).render(asked, 0) == first + end
    assert Chat([Templated(PARTS)]).render(asked, 1).endswith("[user]<image>Q?[assistant]<step>a</step>")
    plain = Chat([]).render(asked, 0)
    assert plain == f"{asked.system}\n\n2*3?\n\n<step>2*3=6</step><answer>6</answer>\n\nQ?\n\n<step>a</step>"


def test_a_chat_by_url_has_them_as_turns() -> None:
    messages = chat_fields(turns("Q?", Begun(), "bare", "tags", (PRODUCT,)), ())["messages"]
    assert [one["role"] for one in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == "<step>2*3=6</step><answer>6</answer>"


@pytest.fixture
def config(tmp_path: Path, policy_folder: Path) -> AnnotateConfig:
    rows = [{"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n} for n in range(3)]
    (tmp_path / "seeds.json").write_text(json.dumps(rows))
    return AnnotateConfig(
        seeds=(str(tmp_path / "seeds.json"),),
        model=str(policy_folder),
        store=str(tmp_path / "store"),
        rollout_budget=32,
        few_shot=written(tmp_path, ROWS),
    )


def changed(config: AnnotateConfig, **fields: Any) -> AnnotateConfig:
    kept = {name: getattr(config, name) for name in config.__struct_fields__}
    return AnnotateConfig(**{**kept, **fields})


async def scripted(_: AnnotateConfig) -> ScriptedPolicy:
    return ScriptedPolicy()


def test_a_store_goes_on_only_under_the_same_examples(config: AnnotateConfig, tmp_path: Path) -> None:
    annotate(config, scripted)
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps(ROWS, indent=2))
    annotate(changed(config, few_shot=str(moved)), scripted)
    moved.write_text(json.dumps([*ROWS, *ROWS]))
    for other in (str(moved), None):
        with pytest.raises(ConfigurationError, match=f"few_shot = {examples_digest((SUM,))}, this command has"):
            annotate(changed(config, few_shot=other), scripted)


def test_a_dry_run_shows_them_once(config: AnnotateConfig, capsys: pytest.CaptureFixture[str]) -> None:
    annotate(changed(config, dry_run=2), scripted)
    said = capsys.readouterr().out
    assert said.count("=== solved before every question, 1 of 1") == 1
    assert said.count("<step>1+2=3</step><step>3+3=6</step><answer>6</answer>") == 1


async def test_an_endpoint_is_sent_them(config: AnnotateConfig) -> None:
    async with serving() as server:
        policy = await EndpointPolicy.start(changed(config, model="", policy_url=server.url, policy_model="m"))
        await policy.sample(Prompt(Problem(id="p", question="What is 3?", correct_answer="3")), 1, 0)
        assert "1+2+3?\n\n<step>1+2=3</step>" in server.requests[-1]["prompt"]
        await policy.close()
