"""How a question is put to the policy, and how what it writes is split into steps and a final answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from omegaprm.engine.seams import Begun, Seams, StepFormat, begun_seams, begun_text, finished_seams, text_of

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

OutsideTags = Literal["unparsed", "steps"]
"""What text outside the tags makes of a completion: unparsed, or every paragraph of it is a step, too."""

_TAG = re.compile(r"</?(?:step|answer)>")
_TAGGED = re.compile(r"<(step|answer)>([^<]*(?:<(?!/?(?:step|answer)>)[^<]*)*)</\1>")
_OUTSIDE_BREAK = re.compile(r"\n\s*\n|</?(?:step|answer)>")
_BREAKS: dict[StepFormat, re.Pattern[str]] = {
    "paragraphs": re.compile(r"\n\s*\n"),
    "lines": re.compile(r"\n"),
}
_ANSWER_LEAD = re.compile(
    r"^\W{0,6}(?:(?:so|thus|hence|therefore)\W+)?(?:the )?(?:final |correct )?answer(?:\*\*)?\s*"
    r"(?:is\b\s*:?|[:\uff1a=])\s*(?:\*\*)?\s*|^####\s*",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\boxed\s*\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}")


class Solution(msgspec.Struct, frozen=True):
    """A parsed completion: its steps, the last one holding the answer, that answer without its step's other words,
    and the seams where they are not canonical (see omegaprm.engine.seams)."""

    steps: tuple[str, ...]
    answer: str
    seams: Seams = ()


class Step(msgspec.Struct, frozen=True):
    """One step as it was written: its text, whether it is the answer, and what was written before and after it."""

    text: str
    is_answer: bool
    before: str = ""
    after: str = ""


class _Piece(NamedTuple):
    """Where in a text a step lies, without the whitespace around it, and whether it is in answer tags."""

    start: int
    end: int
    is_answer: bool


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


def folded(turns: Turns) -> Turns:
    """The same without a system turn: its text begins the first user's turn."""
    if not turns.system:
        return turns
    if not turns.shown:
        return msgspec.structs.replace(turns, system=None, user=f"{turns.system}\n\n{turns.user}")
    (asked, replied), *others = turns.shown
    shown = ((f"{turns.system}\n\n{asked}", replied), *others)
    return msgspec.structs.replace(turns, system=None, shown=shown)


def turns(
    question: str,
    begun: Begun,
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
        if begun.steps:
            user += "\nPrevious Steps:" + join(begun.steps, "tags")
        return Turns(None, user, "", shown)
    system = INSTRUCTIONS[step_format] if template == "prefill" else None
    return Turns(system, user, begun_text(begun, step_format), shown)


def _asked(question: str, template: Template) -> str:
    return MMPRM_REQUEST.format(question=question) if template == "mmprm" else question


def _exchange(example: Example, template: Template, step_format: StepFormat) -> Exchange:
    return _asked(example.question, template), whole(shown_steps(example, step_format), step_format)


def shown_steps(example: Example, step_format: StepFormat) -> tuple[str, ...]:
    """The steps of an example with its answer as the last one, said as the format wants it."""
    return (*example.steps, example.answer if step_format == "tags" else f"Answer: {example.answer}")


def join(steps: Sequence[str], step_format: StepFormat) -> str:
    """Steps as the instructions ask a policy to write them, ready to be continued."""
    return text_of(steps, begun_seams(len(steps), step_format))


def whole(steps: Sequence[str], step_format: StepFormat) -> str:
    """A finished solution as the instructions ask for it; its last step is the answer."""
    return text_of(steps, finished_seams(len(steps), step_format))


def read_step(text: str, step_format: StepFormat) -> Step | None:
    """The one step that a text is; None where it is no step."""
    if step_format == "tags":
        pieces = _tagged(text)
        return _step(text, pieces[0], pieces[0].is_answer) if pieces is not None and len(pieces) == 1 else None
    pieces = [piece for piece in [_stripped(text, 0, len(text))] if piece.start < piece.end]
    return _step(text, pieces[0], _parse_plain(text, step_format) is not None) if pieces else None


def _step(text: str, piece: _Piece, is_answer: bool) -> Step:
    start, end, _ = piece
    return Step(text[start:end], is_answer, text[:start], text[end:])


def parse(text: str, step_format: StepFormat, outside: OutsideTags = "unparsed") -> Solution | None:
    """Split a completion; None where it has no readable steps or no final answer at its end.

    outside: what text outside the tags makes of a completion in tags; it is never left out in silence.
    """
    return _parse_tags(text, outside) if step_format == "tags" else _parse_plain(text, step_format)


def _parse_tags(text: str, outside: OutsideTags) -> Solution | None:
    pieces = _tagged(text) if outside == "unparsed" else _with_outside(text)
    if not pieces or not pieces[-1].is_answer or any(piece.is_answer for piece in pieces[:-1]):
        return None
    return _solution(text, pieces, "tags", text[pieces[-1].start : pieces[-1].end])


def _tagged(text: str) -> list[_Piece] | None:
    """The steps of a text that is all in tags; None where a tag is empty or holds one, or text is outside of them."""
    pieces, at = [], 0
    for match in _TAGGED.finditer(text):
        piece = _stripped(text, *match.span(2), is_answer=match[1] == "answer")
        if text[at : match.start()].strip() or piece.start == piece.end:
            return None
        pieces.append(piece)
        at = match.end()
    return pieces if pieces and not text[at:].strip() else None


def _with_outside(text: str) -> list[_Piece]:
    """The steps of a text in tags, and between them every paragraph outside the tags."""
    pieces: list[_Piece] = []
    at = 0
    for match in _TAGGED.finditer(text):
        pieces += _split(text, at, match.start(), _OUTSIDE_BREAK)
        pieces.append(_stripped(text, *match.span(2), is_answer=match[1] == "answer"))
        at = match.end()
    pieces += _split(text, at, len(text), _OUTSIDE_BREAK)
    return [piece for piece in pieces if piece.start < piece.end]


def outside_tags(text: str) -> int:
    """Characters of a text, whitespace not counted, that are neither tags nor inside of them."""
    return sum(not character.isspace() for character in _TAG.sub("", _TAGGED.sub("", text)))


def _parse_plain(text: str, step_format: StepFormat) -> Solution | None:
    pieces = [piece for piece in _split(text, 0, len(text), _BREAKS[step_format]) if piece.start < piece.end]
    if not pieces:
        return None
    last = text[pieces[-1].start : pieces[-1].end]
    answer = _stated(last) or _stated(last.rpartition("\n")[2]) or _boxed(last)
    return _solution(text, pieces, step_format, answer) if answer else None


def _split(text: str, start: int, end: int, breaks: re.Pattern[str]) -> Iterator[_Piece]:
    """What lies between breaks in a part of a text; some pieces may be empty."""
    for match in breaks.finditer(text, start, end):
        yield _stripped(text, start, match.start())
        start = match.end()
    yield _stripped(text, start, end)


def _stripped(text: str, start: int, end: int, is_answer: bool = False) -> _Piece:
    inner = text[start:end]
    blank = len(inner) - len(inner.lstrip())
    return _Piece(start + blank, start + max(blank, len(inner.rstrip())), is_answer)


def _solution(text: str, pieces: Sequence[_Piece], step_format: StepFormat, answer: str) -> Solution:
    steps = tuple(text[start:end] for start, end, _ in pieces)
    starts, ends = [start for start, _, _ in pieces], [end for _, end, _ in pieces]
    seams = tuple(text[end:start] for end, start in zip([0, *ends], [*starts, len(text)], strict=True))
    return Solution(steps, answer, () if seams == finished_seams(len(steps), step_format) else seams)


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
