"""The pages that people read first use everyday words in their everyday sense, and README fits on two screens.

Add a page to PAGES once it is written in plain English.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/getting-started.md")
README_LINES = 130
COUNTED = (
    "answers|candidates|completions|examples|labels|lines|numbers|problems|records|requests|rollouts|rows|scores|"
    "searches|solutions|states|steps|tests|texts|times|tokens"
)
ONE_OF = (
    "answer|batch|candidate|family|hour|label|line|node|problem|request|rollout|row|run|search|second|solution|state|"
    "step|tree"
)


class Trap(NamedTuple):
    """Words that readers had to read twice, what to write instead, and a sentence with them."""

    pattern: str
    instead: str
    sentence: str


TRAPS = (
    Trap(r"\bbehind\b", "after", "A step behind an error is wrong."),
    Trap(r"\balone\b", "only", "This shows on digits alone."),
    Trap(r"\btold\b|\btells?\b", "reported, printed, says", "A stall is told on stderr."),
    Trap(r"\bheld against\b", "compared with", "Labels are held against the checker."),
    Trap(r"\bholds?\b", "includes, contains", "The interval holds zero."),
    Trap(r"\bgo(?:es)? on\b", "continues, resumes", "It goes on where it was."),
    Trap(r"\bends? with \d", "exits with code", "The command ends with 75."),
    Trap(rf"\b(?:{COUNTED}) an? (?:{ONE_OF})\b", "per", "It draws 16 rollouts a state."),
    Trap(r"\bof its own\b|\bby itself\b", "separate, automatically", "It resumes by itself."),
    Trap(r"\bstands?\b", "is, comes before, belongs to", "A score stands for the step."),
    Trap(r"\b(?:taken|held) (?:as|for)\b", "treated as", "Its steps are taken for right."),
    Trap(r"\bits word\b", "verdict, result", "Its word is correct or unknown."),
    Trap(r"\ba look\b|\blooks\b", "validation pass", "It ends after two looks."),
    Trap(r"\bcosts that\b", "only that ... is skipped", "A bad row costs that line only."),
    Trap(r"(?:^|[.:;] )(?-i:Where)\b", "if, when", "Where a file is missing, it is skipped."),
    Trap(r"\banother one\b|\bnobody\b|\bwhoever\b", "another process, no reader, any user", "Nobody reads it."),
    Trap(r"\bmight be\b|\bthat cannot be\b(?! \w)", "invalid", "It is a configuration that cannot be."),
    Trap(r"\bweighs?\b|\bworth\b", "weight, value, how much it helps", "What the labels are worth."),
    Trap(r"\bgives? (?:\w+ )?rows\b", "produces", "Such a problem gives no rows."),
    Trap(r"\bbound to\b", "can only be used with", "A store is bound to its model."),
    Trap(r"\bfigures?\b", "measurements, numbers, results", "The figures are below."),
)


def prose(text: str) -> str:
    """Markdown without its code, and links without their addresses, on the same lines as before."""
    text = re.sub(r"^```.*?^```$", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "`code`", re.sub(r"\]\([^)\s]*\)", "]", text))


def traps_in(text: str) -> Iterator[str]:
    """Every trap in a text, with its line and what to write instead; a trap may run over the end of a line."""
    plain = prose(text)
    for trap in TRAPS:
        over_lines = trap.pattern.replace(" ", r"\s+")
        for found in re.finditer(over_lines, plain, re.IGNORECASE | re.MULTILINE):
            at = plain.count("\n", 0, found.start()) + 1
            yield f'line {at}: write "{trap.instead}" instead of "{found[0].strip()}"'


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_words_that_trip_readers(page: str) -> None:
    assert list(traps_in((ROOT / page).read_text())) == []


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.sentence)
def test_every_trap_is_found_in_its_sentence_and_on_two_lines(trap: Trap) -> None:
    for sentence in (trap.sentence, trap.sentence.replace(" ", "\n")):
        assert [found for found in traps_in(sentence) if f'"{trap.instead}"' in found]


def test_code_and_addresses_are_not_read_as_sentences() -> None:
    text = "One.\n```sh\nbin/annotate  # goes on\n```\nUse `--weigh behind`, see [here](alone.md).\nIt stands here.\n"
    assert list(traps_in(text)) == ['line 6: write "is, comes before, belongs to" instead of "stands"']


def test_the_readme_fits_on_two_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES
