"""The tokens of every prefix prompt begin those that the policy itself writes, for the tokenizers of published models.

What a policy writes are the tokens of its own chat template's head and of a whole reply after it, in each of the forms
that models write: tags with and without line breaks between and inside of them, paragraphs and lines with more breaks
than one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from omegaprm.engine import prompts
from omegaprm.engine.config import AnnotateConfig
from omegaprm.engine.policy.base import Prompt
from omegaprm.engine.policy.boundary import begun_prompt, by_tokens
from omegaprm.engine.policy.chat import Chat
from omegaprm.engine.policy.endpoint_policy import EndpointPolicy
from omegaprm.engine.prompts import Example, Template, parse
from omegaprm.engine.records import Problem
from omegaprm.engine.seams import Begun, StepFormat, begun_text, extended
from tests.fakes.policy_server import serving
from tests.real.families import FAMILIES

Load = Callable[[str], Any]

QUESTION = "What is 3+4*2?"
NUM_REPLIES = 25
NUM_STEPS = 3
LEADS = {"llama2": " "}
"""What a model writes first because its template puts it before every reply."""
SOLVED = Example("What is 1+2*3?", ("2*3 = 6.", "1+6 = 7."), "7")
STEPS = (
    "4*2 = 8",
    "So 3 + 8 = 11.",
    "Let $x = \\frac{1}{2}$, so $2x = 1$",
    "140 / 2 = 70 rows.",
    "**Multiply** first: (4*2)",
    "It follows that a < b and b > c!",
    "12,345.6 apples",
    "x_1 = \\boxed{5}",
    "3. The total is 11%",
    "das heißt: größer als „10“",
    "因此 x=7。",
    'f(x) = "y"',
    "then it's `11`",
)


class Marks(NamedTuple):
    """How a model writes a format: what is between two steps, and inside of a tag."""

    step_format: StepFormat
    between: str
    inside: str = ""
    lead: str = ""


FORMS = (
    Marks("tags", ""),
    Marks("tags", "\n"),
    Marks("tags", "\n\n"),
    Marks("tags", " "),
    Marks("tags", "\n", "\n"),
    Marks("tags", "", " "),
    Marks("tags", "\n", "", "\n"),
    Marks("paragraphs", "\n\n"),
    Marks("paragraphs", "\n\n\n"),
    Marks("paragraphs", " \n\n"),
    Marks("lines", "\n"),
    Marks("lines", "\n\n"),
    Marks("lines", "\n  "),
)


def reply_of(marks: Marks, steps: list[str], lead: str) -> str:
    if marks.step_format == "tags":
        tagged = [f"<step>{marks.inside}{step}{marks.inside}</step>" for step in steps] + ["<answer>11</answer>"]
        return lead + marks.lead + marks.between.join(tagged)
    return lead + marks.between.join([*steps, "Answer: 11"])


def replies(marks: Marks, lead: str) -> Iterator[tuple[str, list[Begun]]]:
    """Whole replies, and the states inside each."""
    chance = random.Random(f"{marks}")
    for _ in range(NUM_REPLIES):
        text = reply_of(marks, chance.sample(STEPS, NUM_STEPS), lead)
        solution = parse(text, marks.step_format)
        assert solution is not None
        assert len(solution.steps) == NUM_STEPS + 1
        states = range(1, NUM_STEPS)
        yield text, [extended(Begun(), solution.steps, solution.seams, k, marks.step_format) for k in states]


class Side:
    """A model's tokenizer and template, as the policy in this process uses them."""

    def __init__(self, tokenizer: Any, step_format: StepFormat) -> None:
        self.tokenizer = tokenizer
        self.chat = Chat([tokenizer])
        self.step_format: StepFormat = step_format
        self.end = by_tokens(self.encode, step_format)
        self.head = cache(lambda turns: self.chat.head(msgspec.structs.replace(turns, reply=""), 0))

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def ids(self, prompt: str | list[int]) -> list[int]:
        return self.encode(prompt) if isinstance(prompt, str) else prompt

    def written(self, head: str, reply: str) -> list[int]:
        """The head as it was read, then the reply's tokens as a model writes them, one after the other."""
        return self.ids(begun_prompt(self.encode, self.encode, head, reply))

    def shown(self, state: Begun, template: Template, examples: tuple[Example, ...]) -> tuple[str, list[int]]:
        """The head of a state's prompt, and the ids of all of it."""
        turns = prompts.turns(QUESTION, state, template, self.step_format, examples)
        head = self.head(msgspec.structs.replace(turns, reply=""))
        return head, self.ids(begun_prompt(self.encode, self.encode, head, self.end(turns.reply).text))


@pytest.mark.parametrize("examples", [(), (SOLVED,)], ids=["plain", "few-shot"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_prefix_prompt_begins_what_the_policy_writes(
    real_tokenizer: Load, name: str, examples: tuple[Example, ...]
) -> None:
    num_boundaries = 0
    for marks in FORMS:
        side = Side(real_tokenizer(name), marks.step_format)
        for text, states in replies(marks, LEADS.get(name, "")):
            for state in states:
                head, shown = side.shown(state, "prefill", examples)
                assert side.written(head, text)[: len(shown)] == shown, (marks, begun_text(state, marks.step_format))
                num_boundaries += 1
    assert num_boundaries >= 400


@pytest.mark.parametrize("name", FAMILIES)
def test_little_of_a_state_is_left_to_the_policy(real_tokenizer: Load, name: str) -> None:
    """The end of a tag at the most: a longer rest would no longer hold the policy to its step."""
    for marks in FORMS:
        side = Side(real_tokenizer(name), marks.step_format)
        rests = {
            side.end(begun_text(state, marks.step_format)).rest for _, states in replies(marks, "") for state in states
        }
        assert rests <= ({">", ""} if marks.step_format == "tags" else {""}), marks


@pytest.mark.parametrize("name", FAMILIES)
def test_mmprms_prompt_ends_where_the_models_turn_begins(real_tokenizer: Load, name: str) -> None:
    side = Side(real_tokenizer(name), "tags")
    turns = prompts.turns(QUESTION, Begun(("4*2 = 8",)), "mmprm", "tags")
    assert turns.reply == ""
    _, shown = side.shown(Begun(("4*2 = 8",)), "mmprm", ())
    root = side.encode(side.chat.head(turns, 0))
    assert shown == root


@pytest.mark.parametrize("api", ["completions", "chat"])
@pytest.mark.parametrize("name", ["qwen2.5", "internvl3", "gemma3", "llama3.1", "nemo"])
async def test_by_url_it_does_so_too(
    real_tokenizer: Load, real_folder: Callable[[str], Path], tmp_path: Path, name: str, api: str
) -> None:
    tokenizer = real_tokenizer(name)
    num_boundaries = 0
    async with serving() as server:
        for step_format in ("tags", "paragraphs", "lines"):
            side = Side(tokenizer, step_format)
            config = url_config(tmp_path, server.url, str(real_folder(name)), api, step_format)
            policy = await EndpointPolicy.start(config)
            own = side.chat.head(prompts.turns(QUESTION, Begun(), "prefill", step_format), 0)
            for marks in (one for one in FORMS if one.step_format == step_format and not one.lead):
                for text, states in replies(marks, ""):
                    for state in states:
                        await policy.sample(prompt_of(state), 1, 0)
                        head, shown = ids_of(side, server.requests[-1])
                        written = side.written(head or own, text)
                        assert written[: len(shown)] == shown, (marks, begun_text(state, step_format))
                        num_boundaries += 1
            await policy.close()
    assert num_boundaries >= 400


def url_config(folder: Path, url: str, model: str, api: str, step_format: StepFormat) -> AnnotateConfig:
    (folder / "seeds.json").write_text(json.dumps([{"id": "p", "question": QUESTION, "correct_answer": "11"}]))
    return AnnotateConfig(
        seeds=(str(folder / "seeds.json"),),
        store=str(folder / "store"),
        model=model,
        policy_url=url,
        policy_model="m",
        policy_api=api,  # type: ignore[arg-type]
        step_format=step_format,
    )


def prompt_of(state: Begun) -> Prompt:
    problem = Problem(id="p", question=QUESTION, correct_answer="11")
    return Prompt(problem, state.steps, (), state.seams)


def ids_of(side: Side, body: dict[str, Any]) -> tuple[str, list[int]]:
    """What a server makes of a request, as vLLM does: the head of its own chat, and the ids up to the begun reply."""
    if "prompt" in body:
        return "", side.ids(body["prompt"])
    render = side.tokenizer.apply_chat_template
    text = render(body["messages"], tokenize=False, continue_final_message=True)
    head = render(body["messages"][:-1], tokenize=False, add_generation_prompt=True)
    return head, side.encode(text)


@pytest.mark.parametrize(("name", "keeps"), [("nemo", False), ("qwen2.5", True), ("llama3.1", True), ("gemma3", True)])
def test_a_template_that_drops_the_instruction_once_a_reply_has_begun_is_known(
    real_tokenizer: Load, name: str, keeps: bool
) -> None:
    assert Chat([real_tokenizer(name)]).keeps_system() == keeps
