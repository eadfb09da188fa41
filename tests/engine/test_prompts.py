"""Completions split into steps and an answer in every format; what cannot be split is not guessed at."""

from __future__ import annotations

import pytest

from omegaprm.engine.prompts import Turns, folded, join, outside_tags, parse, turns, whole
from omegaprm.engine.seams import Begun, StepFormat, finished_seams, text_of

A = Begun(("a",))


@pytest.mark.parametrize(
    ("text", "step_format", "steps", "answer"),
    [
        ("<step>a</step><step> b </step><answer>7</answer>", "tags", ("a", "b", "7"), "7"),
        ("\n<step>a\nb</step>\n<answer>7</answer> ", "tags", ("a\nb", "7"), "7"),
        ("<answer>7</answer>", "tags", ("7",), "7"),
        ("<step>a < b</step><answer>7</answer>", "tags", ("a < b", "7"), "7"),
        ("first\nline\n\nsecond\n\nAnswer: 7", "paragraphs", ("first\nline", "second", "Answer: 7"), "7"),
        ("first\nThe answer is 7.", "lines", ("first", "The answer is 7."), "7"),
        ("first\n**Answer:** 7", "lines", ("first", "**Answer:** 7"), "7"),
        ("first\nFinal answer: 7.5", "lines", ("first", "Final answer: 7.5"), "7.5"),
        ("first\nThe final answer is: 7.", "lines", ("first", "The final answer is: 7."), "7"),
        ("first\nAnswer: The final answer is 7", "lines", ("first", "Answer: The final answer is 7"), "7"),
        ("first\nTherefore, the answer is 7.", "lines", ("first", "Therefore, the answer is 7."), "7"),
        ("first\n#### 7", "lines", ("first", "#### 7"), "7"),
        ("first\n### Answer: 7", "lines", ("first", "### Answer: 7"), "7"),
        ("so $x=\\boxed{\\frac{1}{2}}$.", "lines", ("so $x=\\boxed{\\frac{1}{2}}$.",), "\\boxed{\\frac{1}{2}}"),
        ("first\n\nIt adds up.\nAnswer: 7", "paragraphs", ("first", "It adds up.\nAnswer: 7"), "7"),
    ],
)
def test_a_completion_is_split_and_nothing_of_it_is_lost(
    text: str, step_format: StepFormat, steps: tuple[str, ...], answer: str
) -> None:
    solution = parse(text, step_format)
    assert solution is not None
    assert (solution.steps, solution.answer) == (steps, answer)
    assert text_of(steps, solution.seams or finished_seams(len(steps), step_format)) == text


@pytest.mark.parametrize(
    ("text", "step_format"),
    [
        ("<step>a</step>", "tags"),
        ("<step></step><answer>7</answer>", "tags"),
        ("<answer>7</answer><step>a</step>", "tags"),
        ("<answer>7</answer><answer>8</answer>", "tags"),
        ("<step>a<step>b</step><answer>7</answer>", "tags"),
        ("", "tags"),
        ("first\nThe end", "lines"),
        ("\\boxed{1} or \\boxed{2}", "lines"),
        ("first\nNo answer isn't known", "lines"),
        ("first\nAnswering: 7", "lines"),
    ],
)
def test_what_cannot_be_split_is_not_guessed_at(text: str, step_format: StepFormat) -> None:
    assert parse(text, step_format) is None


OUTSIDE = [
    ("So 140 / 2 = 70 rows.</step><answer>70</answer>", ("So 140 / 2 = 70 rows.", "70")),
    ("First 4*2 = 8.\n\nThen 3+8 = 11.\n\n<answer>11</answer>", ("First 4*2 = 8.", "Then 3+8 = 11.", "11")),
    ("Sure.\n<step>4*2 = 8</step> and\n<step>3+8 = 11</step><answer>11</answer>", None),
    ("<step>4*2 = 8\n\nor so</step>3+8 = 11<answer>11</answer>", ("4*2 = 8\n\nor so", "3+8 = 11", "11")),
    ("<step>a</step><answer>7</answer> tail", None),
]


@pytest.mark.parametrize(("text", "steps"), OUTSIDE)
def test_text_outside_the_tags_is_a_step_only_where_the_user_chose_so(text: str, steps: tuple[str, ...] | None) -> None:
    assert parse(text, "tags") is None
    assert outside_tags(text) > 0
    solution = parse(text, "tags", "steps")
    if text.endswith("tail"):
        assert solution is None
        return
    assert solution is not None
    assert solution.steps == (steps or ("Sure.", "4*2 = 8", "and", "3+8 = 11", "11"))
    assert text_of(solution.steps, solution.seams) == text


def test_a_text_in_tags_has_nothing_outside_of_them() -> None:
    assert outside_tags("\n<step>a</step>\n\n<answer>7</answer>") == 0


STEPS = ("3 + 4 = 7,\nwhich is odd", "7 * 2 = 14", "Answer: 14")


@pytest.mark.parametrize(
    ("step_format", "num_steps"), [("tags", 3), ("lines", 4), ("paragraphs", 1)], ids=["tags", "lines", "paragraphs"]
)
def test_without_its_blank_lines_a_completion_reads_the_same_but_for_paragraphs(step_format, num_steps: int):
    """As an endpoint gives it that strips; paragraphs then run into one step, which docs/daemon.md says."""
    written = "\n " + whole(STEPS, step_format) + "\n\n"
    stripped = "\n".join(line.strip() for line in written.splitlines() if line.strip())
    read = parse(stripped, step_format)
    assert read is not None
    assert len(read.steps) == num_steps
    as_written = parse(written, step_format)
    assert as_written is not None
    assert (read.steps == as_written.steps) == (step_format != "paragraphs")


@pytest.mark.parametrize("step_format", ["tags", "paragraphs", "lines"])
def test_a_joined_prefix_reads_back_as_its_steps(step_format):
    steps = ("one", "two")
    end = "<answer>7</answer>" if step_format == "tags" else "Answer: 7"
    solution = parse(join(steps, step_format) + end, step_format)
    assert solution is not None
    assert solution.steps[:2] == steps


def test_prefill_and_bare_begin_the_reply_and_mmprm_repeats_the_steps_in_the_question():
    prefill = turns("Q?", A, "prefill", "tags")
    assert (prefill.user, prefill.reply) == ("Q?", "<step>a</step>")
    assert prefill.system
    bare = turns("Q?", A, "bare", "tags")
    assert (bare.system, bare.user, bare.reply) == (None, "Q?", "<step>a</step>")
    mmprm = turns("Q?", A, "mmprm", "tags")
    assert mmprm.reply == ""
    assert mmprm.user.endswith("Question: Q?\nPrevious Steps:<step>a</step>")


def test_a_folded_chat_says_the_same_in_its_first_turn() -> None:
    plain = folded(Turns("Think.", "Q?", "<step>"))
    assert (plain.system, plain.user, plain.reply) == (None, "Think.\n\nQ?", "<step>")
    shown = folded(Turns("Think.", "Q?", "", (("A?", "7"), ("B?", "8"))))
    assert (shown.user, shown.shown) == ("Q?", (("Think.\n\nA?", "7"), ("B?", "8")))
    assert folded(plain) == plain
