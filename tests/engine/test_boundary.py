"""A prompt ends at a token boundary, and what the policy writes of the mark is not part of its next step."""

from __future__ import annotations

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from omegaprm.engine.policy.base import Completion
from omegaprm.engine.policy.boundary import Ending, by_rest, by_tokens, continued, ending, first_step, joins, meets
from omegaprm.engine.seams import StepFormat

PIECES = Regex(r"[A-Za-z]+|\d+| ?[^\sA-Za-z\d]+\n*|\s*\n+|\s+")
"""Letters, digits, punctuation with the line breaks after it: as the pre-tokenizers of published models split."""


def byte_pairs(*merges: str) -> list[tuple[str, str]]:
    return [(merge[0], merge[1:]) if len(merge) == 2 else (merge[:-1], merge[-1]) for merge in merges]


def tokenizer(*merges: str, tags: bool = False) -> Tokenizer:
    """A byte-pair tokenizer with these merges, and the tags as tokens if asked for."""
    alphabet = [chr(code) for code in range(32, 127)] + ["\n"]
    vocabulary = {text: at for at, text in enumerate([*alphabet, *merges])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=byte_pairs(*merges)))
    made.pre_tokenizer = pre_tokenizers.Split(PIECES, "isolated")
    if tags:
        made.add_tokens(["<step>", "</step>", "<answer>", "</answer>"])
    return made


def ids(made: Tokenizer):
    return lambda text: made.encode(text, add_special_tokens=False).ids


MERGED = tokenizer("</", "><", ".<", ".</", ".\n", ".\n\n", "\n\n", "\n\n\n")


def test_a_tag_whose_end_joins_the_next_one_is_left_to_the_policy() -> None:
    end = ending(ids(MERGED), "tags", "<step>4*2=8.</step>")
    assert end == Ending("<step>4*2=8.</step", ">")


def test_tags_that_are_tokens_are_shown_whole() -> None:
    assert ending(ids(tokenizer(tags=True)), "tags", "<step>8</step>") == Ending("<step>8</step>")


@pytest.mark.parametrize("mark", ["\n\n", "\n\n\n", " \n\n"])
def test_a_separator_stays_in_the_prompt_as_it_was_written(mark: str) -> None:
    assert ending(ids(MERGED), "paragraphs", f"It is 8.{mark}") == Ending(f"It is 8.{mark}")


def test_whitespace_that_a_template_trims_is_left_to_the_policy_with_the_token_it_is_part_of() -> None:
    assert ending(ids(MERGED), "paragraphs", "It is 8.\n\n", keeps_space=False) == Ending("It is 8", ".\n\n")


@pytest.mark.parametrize(
    ("step_format", "reply", "mores"),
    [
        ("tags", "<step>4*2=8.</step>", ["<step>a", "<answer>", "\n<step>", "\n\n<answer>7"]),
        ("tags", "\n<step>4*2=8.</step>\n<step>8+1</step>", ["<step>a", "\n<answer>"]),
        ("paragraphs", "It is 8.\n\n", ["So", "$x$", "- 7", "1."]),
        ("lines", "It is 8.\n", ["So", "$x$", "- 7", "1."]),
    ],
)
def test_the_tokens_of_a_prompt_begin_those_of_what_may_be_written(
    step_format: StepFormat, reply: str, mores: list[str]
) -> None:
    encode = ids(MERGED)
    shown = encode(by_tokens(encode, step_format)(reply).text)
    assert shown
    assert all(encode(reply + more)[: len(shown)] == shown for more in mores)


def test_a_long_reply_ends_as_its_tail_does() -> None:
    long = "<step>4*2=8.</step>" * 400
    assert ending(ids(MERGED), "tags", long) == Ending(long[:-1], ">")


def test_the_root_has_nothing_to_end() -> None:
    assert ending(ids(MERGED), "tags", "") == Ending("")
    assert by_rest(">")("") == Ending("")


def test_without_a_tokenizer_the_rest_is_a_fixed_text() -> None:
    assert by_rest(">")("<step>a</step>") == Ending("<step>a</step", ">")
    assert by_rest("")("<step>a</step>") == Ending("<step>a</step>")
    assert by_rest(">")("a\n\n") == Ending("a\n\n")


def test_a_reply_that_would_join_the_head_is_seen() -> None:
    assert joins(ids(MERGED), "assistant\n", "<step>")
    assert not joins(ids(MERGED), "assistant\n", "\n<step>")


def test_a_completion_is_what_follows_the_state() -> None:
    assert continued(Completion("><step>a", 4), ">") == Completion("<step>a", 4)
    assert continued(Completion("<step>a", 4), "") == Completion("<step>a", 4)
    assert continued(Completion("ping>a", 4), ">") == Completion("ping>a", 4, strayed=True)
    assert continued(Completion("", 1, truncated=True), ">") == Completion("", 1, truncated=True)


def test_a_step_is_cut_out_where_the_rest_holds_the_text_that_ends_it() -> None:
    end = ending(ids(MERGED), "paragraphs", "It is 8.\n\n", keeps_space=False)
    assert meets(end.rest, ("\n\n",))
    assert not meets(end.rest, ())
    drawn = continued(Completion(f"{end.rest}Then 9.\n\nAnswer: 9", 9, truncated=True), end.rest)
    assert first_step(drawn, ("\n\n",)) == Completion("Then 9.\n\n", 9)
    assert first_step(Completion("\nThen 9", 4, truncated=True), ("\n",)) == Completion("\nThen 9", 4, truncated=True)
