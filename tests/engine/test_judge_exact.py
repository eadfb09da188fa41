from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omegaprm.engine.judge import choices, quantities, units
from omegaprm.engine.judge.answers import MAX_ANSWER_CHARS, normalise
from omegaprm.engine.judge.exact import decide
from omegaprm.engine.records import Verdict

MIN_PAIRS_PER_SECOND = 20_000
"""A floor for a loaded machine; an idle core does several times as many."""

MAX_DECISION_SECONDS = 0.05


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        ("x+1", "$x + 1$", Verdict("correct", "exact")),
        ("5", "5.0", Verdict("correct", "number")),
        ("5", "6", Verdict("incorrect", "number")),
        ("B", "(B)", Verdict("correct", "choice")),
        ("yes", "No.", Verdict("incorrect", "yes-no")),
        ("5", " ", Verdict("unknown", "empty")),
        ("5", "1" * 10**6, Verdict("unknown", "too-long")),
        ("5", " " * 10**6, Verdict("unknown", "empty")),
        ("3", "3 or 4", Verdict("incorrect", "several-answers")),
        ("5", "cannot be determined", Verdict("incorrect", "no-answer")),
        ("cat", "dog", Verdict("incorrect", "other-word")),
        ("a fat cat", "a thin dog", Verdict("unknown", "words")),
        ("5 cm", "5 kg", Verdict("incorrect", "number")),
        ("5 cm", "5 cm^2", Verdict("unknown", "unit")),
        ("2\\sqrt{3} cm", "2\\sqrt{3} m", Verdict("unknown", "unit")),
        ("1/3", "0.33", Verdict("unknown", "rounded")),
        ("\\sqrt{8}", "2\\sqrt{2}", None),
    ],
)
def test_a_verdict_names_the_rule_that_gave_it(reference, answer, verdict):
    assert decide("", reference, answer) == verdict


@pytest.mark.parametrize(
    "answer",
    [
        "3 or 4",
        "4 or 3",
        "3 and 4",
        "3, 4",
        "3/4",
        "3 4",
        "$3$ or $4$",
        "3; 4",
        "\\{3,4\\}",
        "x=3 or x=4",
        "3-4",
        "no fish are left after removal of 3, which means the total is zero",
    ],
)
def test_two_answers_in_one_are_never_correct(answer):
    verdict = decide("", "3", answer)
    assert verdict is None or verdict.outcome != "correct"


@pytest.mark.parametrize("answer", ["3x", "3 x", "3!", "3 squared", "3 halves", "3\\pi", "3i", "3^2", "three halves"])
def test_a_number_times_something_is_not_that_number(answer):
    verdict = decide("", "3", answer)
    assert verdict is None or verdict.outcome != "correct"


@settings(deadline=None)
@given(st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18))
def test_integers_are_equal_exactly_when_their_values_are(one, other):
    assert decide("", str(one), f"${other:,}$").outcome == ("correct" if one == other else "incorrect")


@settings(deadline=None)
@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_fractions_are_compared_exactly(one, other):
    written = f"\\frac{{{other.numerator}}}{{{other.denominator}}}"
    verdict = decide("", f"{one.numerator}/{one.denominator}", written)
    assert verdict.outcome == ("correct" if one == other else "incorrect")


@settings(deadline=None)
@given(st.decimals(-10000, 10000, places=4), st.decimals(-10000, 10000, places=2))
def test_both_ways_to_compare_decimals_agree(answer, reference):
    assert decide("", str(reference), str(answer)).outcome == decide("", f"${reference}$", f"{answer} ").outcome


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_normalised_and_judged_without_an_error(text):
    once = normalise(text)
    assert once == once.strip()
    decide(text, "5", text)
    decide("", text, "5 cm")


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("The answer is $\\boxed{5}$.", "5"),
        ("$\\$5$", "$5"),
        ("$5", "$5"),
        ("30^{\\circ}", "30°"),
        ("30^\\circ C", "30°C"),
        ("50\\%", "50%"),
        ("1,234,567.5", "1234567.5"),
        ("(1,234)", "(1,234)"),
        ("1½", "1 1/2"),
        ("x²", "x^2"),
        ("\\left( 1 , 2 \\right)", "(1,2)"),
        ("\\text{Blue}", "blue"),
        ("A", "A"),
        ("AB", "AB"),
        ("$x$ = $5$", "x=5"),
    ],
)
def test_normalisation_keeps_the_meaning(written, normal):
    assert normalise(written) == normal


def test_options_are_read_in_their_usual_forms():
    for question in (
        "Which? (A) 10 (B) 12 (C) 14",
        "Which?\nA. 10\nB. 12\nC. 14",
        "Which?\nA) 10\nB) 12\nC) 14",
        "Which? \\textbf{(A)} 10 \\textbf{(B)} 12 \\textbf{(C)} 14",
    ):
        assert choices.options(question) == {"A": "10", "B": "12", "C": "14"}, question
    assert choices.options("Let A. be a point and C. another") == {}


def test_quantities_are_read_exactly():
    assert quantities.read("1.50").decimals == 2
    assert quantities.read("1.5*10^3").value == 1500
    assert quantities.read("8/0") is None
    assert quantities.read("1e999999") is None
    assert quantities.read("9" * 500) is None
    assert quantities.read("12 square feet").unit == units.unit_named("ft^2")


BOMBS = [
    "\\frac{1}{",
    "{",
    "$",
    "9**",
    "A ",
    "(A),",
    "3 or ",
    "a",
    "aA",
    "x_",
    "\\text{",
    "1,",
    "^",
    "\\left(",
    "e",
    "ﷺ",
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_answer_holds_the_rules_up(bomb):
    answer = (bomb * MAX_ANSWER_CHARS)[: MAX_ANSWER_CHARS - 2]
    for question, reference in (("", "5"), ("(A) 1 (B) 2 cm", "A"), ("", "5 cm"), ("", "x+1"), ("", "yes")):
        normalise.cache_clear()
        start = time.process_time()
        verdict = decide(question, reference, answer + "=!")
        assert time.process_time() - start < MAX_DECISION_SECONDS
        assert verdict is None or verdict.outcome != "correct"


def test_number_pairs_are_decided_at_speed():
    answers = [str(number) for number in range(20_000)]
    start = time.process_time()
    for answer in answers:
        decide("How many?", "12", answer)
    assert len(answers) / (time.process_time() - start) > MIN_PAIRS_PER_SECOND
