"""Completions split into steps and an answer in every format; what cannot be split is not guessed at."""

from __future__ import annotations

import pytest

from engine.prompts import Solution, join, parse, turns, whole


@pytest.mark.parametrize(
    ("text", "step_format", "expected"),
    [
        ("<step>a</step><step> b </step><answer>7</answer>", "tags", Solution(("a", "b", "7"), "7")),
        ("noise <step>a\nb</step>\n<answer>7</answer> tail", "tags", Solution(("a\nb", "7"), "7")),
        ("<answer>7</answer>", "tags", Solution(("7",), "7")),
        ("<step>a</step>", "tags", None),
        ("<step></step><answer>7</answer>", "tags", None),
        ("<answer>7</answer><step>a</step>", "tags", None),
        ("<answer>7</answer><answer>8</answer>", "tags", None),
        ("", "tags", None),
        ("first\nline\n\nsecond\n\nAnswer: 7", "paragraphs", Solution(("first\nline", "second", "Answer: 7"), "7")),
        ("first\nThe end", "lines", None),
        ("first\nThe answer is 7.", "lines", Solution(("first", "The answer is 7."), "7")),
        ("first\n**Answer:** 7", "lines", Solution(("first", "**Answer:** 7"), "7")),
        ("first\nFinal answer: 7.5", "lines", Solution(("first", "Final answer: 7.5"), "7.5")),
        ("first\nThe final answer is: 7.", "lines", Solution(("first", "The final answer is: 7."), "7")),
        ("first\nAnswer: The final answer is 7", "lines", Solution(("first", "Answer: The final answer is 7"), "7")),
        ("first\nTherefore, the answer is 7.", "lines", Solution(("first", "Therefore, the answer is 7."), "7")),
        ("first\n#### 7", "lines", Solution(("first", "#### 7"), "7")),
        ("first\n### Answer: 7", "lines", Solution(("first", "### Answer: 7"), "7")),
        (
            "so $x=\\boxed{\\frac{1}{2}}$.",
            "lines",
            Solution(("so $x=\\boxed{\\frac{1}{2}}$.",), "\\boxed{\\frac{1}{2}}"),
        ),
        ("\\boxed{1} or \\boxed{2}", "lines", None),
        ("first\nNo answer isn't known", "lines", None),
        ("first\nAnswering: 7", "lines", None),
        ("first\n\nIt adds up.\nAnswer: 7", "paragraphs", Solution(("first", "It adds up.\nAnswer: 7"), "7")),
    ],
)
def test_parse(text: str, step_format, expected: Solution | None):
    assert parse(text, step_format) == expected


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
    assert (read == parse(written, step_format)) == (step_format != "paragraphs")


@pytest.mark.parametrize("step_format", ["tags", "paragraphs", "lines"])
def test_a_joined_prefix_reads_back_as_its_steps(step_format):
    steps = ("one", "two")
    end = "<answer>7</answer>" if step_format == "tags" else "Answer: 7"
    solution = parse(join(steps, step_format) + end, step_format)
    assert solution is not None
    assert solution.steps[:2] == steps


def test_prefill_and_bare_begin_the_reply_and_mmprm_repeats_the_steps_in_the_question():
    prefill = turns("Q?", ("a",), "prefill", "tags")
    assert (prefill.user, prefill.reply) == ("Q?", "<step>a</step>")
    assert prefill.system
    bare = turns("Q?", ("a",), "bare", "tags")
    assert (bare.system, bare.user, bare.reply) == (None, "Q?", "<step>a</step>")
    mmprm = turns("Q?", ("a",), "mmprm", "tags")
    assert mmprm.reply == ""
    assert mmprm.user.endswith("Question: Q?\nPrevious Steps:<step>a</step>")
