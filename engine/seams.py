"""What a policy writes between its steps, kept to the character, so that a prefix is shown as it was written. Pure.

A text of n steps has n + 1 seams: what comes before the first step, between two steps, and after the last one. Seams
hold the marks of the format and the whitespace around them. The seams that the format's instructions ask for are
canonical and are stored as (): most policies that were tuned to a format write no others.

A state ends where its last step is closed: after </step>, or after the line break that separates two steps. What
follows is the policy's own choice in every rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Literal, NamedTuple

StepFormat = Literal["tags", "paragraphs", "lines"]
Seams = tuple[str, ...]

SEPARATORS: dict[StepFormat, str] = {"tags": "", "paragraphs": "\n\n", "lines": "\n"}
_CLOSE = "</step>"


class Begun(NamedTuple):
    """The steps of a state, and their seams; () where those are canonical."""

    steps: tuple[str, ...] = ()
    seams: Seams = ()


def begun_seams(num_steps: int, step_format: StepFormat) -> Seams:
    """The canonical seams of a state after so many steps."""
    if not num_steps:
        return ("",)
    if step_format == "tags":
        return ("<step>", *["</step><step>"] * (num_steps - 1), _CLOSE)
    return ("", *[SEPARATORS[step_format]] * num_steps)


def finished_seams(num_steps: int, step_format: StepFormat) -> Seams:
    """The canonical seams of a solution, or of a rollout from a state; the last of the steps is the answer."""
    if step_format == "tags":
        openings = ("<step>", *["</step><step>"] * (num_steps - 2), "</step><answer>")
        return (*(openings if num_steps > 1 else ("<answer>",)), "</answer>")
    return ("", *[SEPARATORS[step_format]] * (num_steps - 1), "")


def text_of(steps: Sequence[str], seams: Seams) -> str:
    """Steps and seams as one text; seams must be given in full."""
    return "".join(chain.from_iterable(zip_longest(seams, steps, fillvalue="")))


def begun_text(begun: Begun, step_format: StepFormat) -> str:
    """A state as the policy wrote it."""
    return text_of(begun.steps, begun.seams or begun_seams(len(begun.steps), step_format))


def extended(begun: Begun, steps: Sequence[str], seams: Seams, num_steps: int, step_format: StepFormat) -> Begun:
    """The state after the first num_steps steps, at least one, of a rollout from a state."""
    before = begun.seams or begun_seams(len(begun.steps), step_format)
    written = seams or finished_seams(len(steps), step_format)
    inner = (before[-1] + written[0], *written[1:num_steps], closing(written[num_steps]))
    return begun_state((*begun.steps, *steps[:num_steps]), (*before[:-1], *inner), step_format)


def begun_state(steps: tuple[str, ...], seams: Seams, step_format: StepFormat) -> Begun:
    """A state with its seams as they are stored."""
    return Begun(steps, () if seams == begun_seams(len(steps), step_format) else seams)


def closing(seam: str) -> str:
    """The part of a seam that ends the step before it: through </step>, else through the last line break."""
    marked = seam.find(_CLOSE) + len(_CLOSE)
    if marked >= len(_CLOSE):
        return seam[:marked]
    blank = seam[: len(seam) - len(seam.lstrip())]
    return blank[: blank.rfind("\n") + 1]
