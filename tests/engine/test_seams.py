"""A state is shown as it was written, and ends where its last step is closed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omegaprm.engine.prompts import parse
from omegaprm.engine.seams import Begun, StepFormat, begun_text, extended, finished_seams, text_of

WRITTEN: list[tuple[StepFormat, str, list[str]]] = [
    ("tags", "<step>a</step><step>b</step><answer>7</answer>", ["<step>a</step>", "<step>a</step><step>b</step>"]),
    (
        "tags",
        "\n<step> a\n</step>\n\n<step>b</step>\n<answer>7</answer>",
        ["\n<step> a\n</step>", "\n<step> a\n</step>\n\n<step>b</step>"],
    ),
    ("paragraphs", "a.\n\nb\n\n\n  Answer: 7\n", ["a.\n\n", "a.\n\nb\n\n\n"]),
    ("paragraphs", "a. \n \nb\n\nAnswer: 7", ["a. \n \n", "a. \n \nb\n\n"]),
    ("lines", " a\n\n  b \nAnswer: 7", [" a\n\n", " a\n\n  b \n"]),
]


@pytest.mark.parametrize(("step_format", "text", "states"), WRITTEN)
def test_a_state_is_the_beginning_of_what_was_written(step_format: StepFormat, text: str, states: list[str]) -> None:
    solution = parse(text, step_format)
    assert solution is not None
    for num_steps, expected in enumerate(states, 1):
        state = extended(Begun(), solution.steps, solution.seams, num_steps, step_format)
        assert (state.steps, begun_text(state, step_format)) == (solution.steps[:num_steps], expected)


@pytest.mark.parametrize(("step_format", "text", "states"), WRITTEN)
def test_a_rollout_from_a_state_continues_its_text(step_format: StepFormat, text: str, states: list[str]) -> None:
    whole = parse(text, step_format)
    assert whole is not None
    first = extended(Begun(), whole.steps, whole.seams, 1, step_format)
    rollout = parse(text.removeprefix(states[0]), step_format)
    assert rollout is not None
    second = extended(first, rollout.steps, rollout.seams, 1, step_format)
    assert second == extended(Begun(), whole.steps, whole.seams, 2, step_format)
    assert begun_text(second, step_format) == states[1]


def test_an_outside_paragraph_ends_with_its_line_break() -> None:
    solution = parse("So 4*2 = 8.\n\n<step>3+8 = 11</step>rest of it</step><answer>11</answer>", "tags", "steps")
    assert solution is not None
    states = [begun_text(extended(Begun(), solution.steps, solution.seams, at, "tags"), "tags") for at in (1, 2, 3)]
    assert states[0] == "So 4*2 = 8.\n\n"
    assert states[1] == "So 4*2 = 8.\n\n<step>3+8 = 11</step>"
    assert states[2] == "So 4*2 = 8.\n\n<step>3+8 = 11</step>rest of it</step>"


def test_seams_that_the_format_asks_for_are_not_stored() -> None:
    for step_format in ("tags", "paragraphs", "lines"):
        steps = ("a", "b", "7" if step_format == "tags" else "Answer: 7")
        solution = parse(text_of(steps, finished_seams(3, step_format)), step_format)
        assert solution is not None
        assert solution.seams == ()
        assert extended(Begun(), steps, (), 2, step_format) == Begun(("a", "b"))


BLANK = st.text(" \n\t", max_size=3)
WORDS = st.text("ab1.<>/ ", min_size=1, max_size=6).map(lambda text: f"x{text}x")


@given(st.lists(st.tuples(BLANK, BLANK, WORDS, BLANK), min_size=1, max_size=5), BLANK)
def test_no_character_of_a_completion_in_tags_is_lost(pieces: list[tuple[str, str, str, str]], end: str) -> None:
    tags = [*["step"] * (len(pieces) - 1), "answer"]
    text = "".join(
        f"{before}<{tag}>{left}{words}{right}</{tag}>"
        for tag, (before, left, words, right) in zip(tags, pieces, strict=True)
    )
    solution = parse(text + end, "tags")
    assert solution is not None
    assert solution.steps == tuple(words for _, _, words, _ in pieces)
    assert text_of(solution.steps, solution.seams or finished_seams(len(pieces), "tags")) == text + end
