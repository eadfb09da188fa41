"""How a question is put to the policy, and how what it writes is split into steps and a final answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

StepFormat = Literal["tags", "paragraphs", "lines"]
Template = Literal["prefill", "bare", "mmprm"]

INSTRUCTIONS: dict[StepFormat, str] = {
    "tags": (
        "Reason step by step before you answer. Put every reasoning step in <step></step> and, at the end, "
        "the final answer alone in <answer></answer>."
    ),
    "paragraphs": (
        "Reason step by step before you answer. Separate steps by a blank line. The last paragraph is "
        '"Answer: " followed by the final answer alone.'
    ),
    "lines": (
        "Reason step by step before you answer. Write one step a line. The last line is "
        '"Answer: " followed by the final answer alone.'
    ),
}

MMPRM_REQUEST = (
    "Your task is to answer the question below. Give complete reasoning steps before you answer, and when you are "
    "ready to answer, use Answer: The final answer is ..\n\nQuestion: {question}"
)
"""MM-PRM's own prompt; earlier steps follow it as "Previous Steps:" in the user's turn."""

_TAGS = re.compile(r"<step>(.*?)</step>|<answer>(.*?)</answer>", re.DOTALL)
_ANSWER_LEAD = re.compile(
    r"^\W{0,6}(?:(?:so|thus|hence|therefore)\W+)?(?:the )?(?:final |correct )?answer(?:\*\*)?\s*"
    r"(?:is\b\s*:?|[:\uff1a=])\s*(?:\*\*)?\s*|^####\s*",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\boxed\s*\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}")


class Solution(msgspec.Struct, frozen=True):
    """A parsed completion: its steps, the last one holding the answer, and that answer alone."""

    steps: tuple[str, ...]
    answer: str


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A solved problem to show: its steps without the answer, and the answer alone."""

    question: str
    steps: tuple[str, ...]
    answer: str


Exchange = tuple[str, str]
"""What was asked and what was replied, whole."""


class Turns(msgspec.Struct, frozen=True):
    """A chat to render: an optional system turn, the user's text (images stand before it), a begun reply.

    shown are whole exchanges that go before the user's text.
    """

    system: str | None
    user: str
    reply: str
    shown: tuple[Exchange, ...] = ()

    def before(self) -> Iterator[tuple[str, str]]:
        """Role and text of what goes before the user's text."""
        for asked, replied in self.shown:
            yield "user", asked
            yield "assistant", replied


def turns(
    question: str,
    prefix: tuple[str, ...],
    template: Template,
    step_format: StepFormat,
    examples: tuple[Example, ...] = (),
) -> Turns:
    """The chat for one state; examples went before it, asked and answered in the same form.

    "prefill" leaves the steps so far as the beginning of the assistant's own turn, so that all estimates of one
    tree share their prefix in the KV cache; "bare" does too, and asks the question alone, for a policy that was tuned
    to its form without being told; "mmprm" repeats MM-PRM's prompt.
    """
    shown = tuple(_exchange(one, template, step_format) for one in examples)
    user = _asked(question, template)
    if template == "mmprm":
        if prefix:
            user += "\nPrevious Steps:" + join(prefix, "tags")
        return Turns(None, user, "", shown)
    system = INSTRUCTIONS[step_format] if template == "prefill" else None
    return Turns(system, user, join(prefix, step_format), shown)


def _asked(question: str, template: Template) -> str:
    return MMPRM_REQUEST.format(question=question) if template == "mmprm" else question


def _exchange(example: Example, template: Template, step_format: StepFormat) -> Exchange:
    return _asked(example.question, template), whole(shown_steps(example, step_format), step_format)


def shown_steps(example: Example, step_format: StepFormat) -> tuple[str, ...]:
    """The steps of an example with its answer as the last one, said as the format wants it."""
    return (*example.steps, example.answer if step_format == "tags" else f"Answer: {example.answer}")


def join(steps: tuple[str, ...], step_format: StepFormat) -> str:
    """Steps as the policy would have written them so far, ready to be gone on from."""
    if step_format == "tags":
        return "".join(f"<step>{step}</step>" for step in steps)
    separator = "\n\n" if step_format == "paragraphs" else "\n"
    return "".join(step + separator for step in steps)


def whole(steps: tuple[str, ...], step_format: StepFormat) -> str:
    """A finished solution as the policy would have written it; its last step is the answer."""
    if step_format == "tags":
        return f"{join(steps[:-1], step_format)}<answer>{steps[-1]}</answer>"
    return join(steps, step_format).rstrip()


def read_step(text: str, step_format: StepFormat) -> tuple[str, bool] | None:
    """The one step that a text is, and whether it is the answer; None where it is no step."""
    if step_format == "tags":
        match = _TAGS.fullmatch(text.strip())
        step = (match[1] if match[1] is not None else match[2]).strip() if match else ""
        return (step, match[1] is None) if match and step else None
    step = text.strip()
    return (step, _parse_plain(step, step_format) is not None) if step else None


def parse(text: str, step_format: StepFormat) -> Solution | None:
    """Split a completion; None where it has no readable steps or no final answer at its end."""
    return _parse_tags(text) if step_format == "tags" else _parse_plain(text, step_format)


def _parse_tags(text: str) -> Solution | None:
    found = [(match[1], match[2]) for match in _TAGS.finditer(text)]
    steps = tuple((step if step is not None else answer).strip() for step, answer in found)
    if not found or found[-1][1] is None or any(step is None for step, _ in found[:-1]) or not all(steps):
        return None
    return Solution(steps, steps[-1])


def _parse_plain(text: str, step_format: StepFormat) -> Solution | None:
    pieces = re.split(r"\n\s*\n" if step_format == "paragraphs" else r"\n", text.strip())
    steps = tuple(piece.strip() for piece in pieces if piece.strip())
    if not steps:
        return None
    answer = _stated(steps[-1]) or _stated(steps[-1].rpartition("\n")[2]) or _boxed(steps[-1])
    return Solution(steps, answer) if answer else None


def _stated(text: str) -> str:
    """What stands behind "Answer:", "The final answer is" or "####"; "" where the text begins with none of them."""
    rest = text
    while lead := _ANSWER_LEAD.match(rest):
        rest = rest[lead.end() :]
    return rest.rstrip("*. ") if rest != text else ""


def _boxed(text: str) -> str:
    """The one \\boxed{...} of a text; "" where it has none or several, of which nobody says which is meant."""
    found = _BOXED.findall(text)
    return found[0] if len(found) == 1 else ""
