"""Rules that decide by form and by value alone, in microseconds, and leave the rest to the next judge.

Everything here is pure. `decide` gives correct or incorrect only where the rule is sure; "unknown" is final
too (nothing was answered, or no rule of this kind could ever tell); None hands the pair on to math-verify.
"""

from __future__ import annotations

import re
from functools import lru_cache

from omegaprm.engine.judge import choices, lists, quantities, sentences, units, verbal
from omegaprm.engine.judge.answers import MAX_ANSWER_CHARS, normalise
from omegaprm.engine.judge.quantities import Quantity
from omegaprm.engine.judge.values import UNIT, compare_quantities, same_value
from omegaprm.engine.records import Verdict

__all__ = ["MAX_ANSWER_CHARS", "compared", "decide", "form", "normalise", "same_value"]

EXACT = Verdict("correct", "exact")
EMPTY = Verdict("unknown", "empty")
TOO_LONG = Verdict("unknown", "too-long")
AMBIGUOUS = Verdict("unknown", "ambiguous")
SEVERAL_UNKNOWN = Verdict("unknown", "several-answers")
CHOICE_UNKNOWN = Verdict("unknown", "choice")
ORDER = Verdict("unknown", "order")
_VERDICTS = {
    (same, rule): Verdict("correct" if same else "incorrect", rule)
    for same in (True, False)
    for rule in ("number", "choice", "several-answers", "list", "sentence")
}
NO_ANSWER = Verdict("incorrect", "no-answer")

_PLAIN = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_ALTERNATIVES = re.compile(r"(?:,\s*|(?<![a-z\\]))(?:or|and)(?![a-z])|\\text\{or\}|\\lor(?![a-z])", re.IGNORECASE)
_OR = re.compile(r"(?<![a-z])or(?![a-z])")
_AXIS = re.compile(r"([xyz])=")
_NAME = re.compile(r"\\?[A-Za-z]+(?:_\{?\w+\}?)?(?:\([a-z]\))?(?:(?: |(?=\\))\\?[A-Za-z]+){0,3} ?")
_MAX_NAME_CHARS = 60
_REFUSAL = re.compile(
    r"(?:(?:it|this|the (?:answer|question|problem|value)) )?(?:cannot|can't|can not|could not) be "
    r"(?:determined|found|solved|answered|calculated)\b[^\d=]*"
    r"|(?:(?:i|we) )?(?:cannot|can't|can not|(?:am|are) unable to) (?:determine|answer|solve|find|tell|say)\b[^\d=]*"
    r"|(?:(?:it|this) is )?(?:impossible|not possible) to (?:determine|find|solve|answer|calculate|tell|say)\b[^\d=]*"
    r"|i (?:do not|don't) know|i(?: am|'m) not sure|unknown|undefined|indeterminate|no (?:solution|answer)|none|n/a"
    r"|(?:there is )?(?:not enough|insufficient) information[^\d=]*"
    r"|(?:more|further|additional) information (?:is|would be) (?:needed|required|necessary)[^\d=]*",
    re.IGNORECASE,
)
_LETTER_UNIT = re.compile(r"[\d\s)}][mgslh](?:\^[23])?$")
"""A letter behind a formula: metres, or a variable."""
_CHAINED_POWERS = re.compile(r"\^(?:\w+|\{[^{}]*\})\^")
_SIDE_BY_SIDE = re.compile(r"[\d)}] [\d(]")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")


def decide(question: str, reference: str, answer: str) -> Verdict | None:
    """Judge an answer against its reference; None where neither form nor value settles it.

    Decimals are equal where the answer rounds to every digit the reference gives: their difference is less
    than half a unit of its last place. Integers and fractions are compared exactly.
    """
    if len(answer) > MAX_ANSWER_CHARS or len(reference) > MAX_ANSWER_CHARS:
        return EMPTY if not answer.strip() else TOO_LONG
    if _PLAIN.fullmatch(answer) and _PLAIN.fullmatch(reference):
        return EXACT if answer == reference else _VERDICTS[_same_plain(reference, answer), "number"]
    return _decide(question, reference, answer)


@lru_cache(maxsize=16384)
def _decide(question: str, reference: str, answer: str) -> Verdict | None:
    """Most rollouts of a problem give one of a few answers in one of a few forms."""
    wanted, given = normalise(reference), normalise(answer)
    if not given:
        return EMPTY
    if given == wanted:
        return EXACT
    said, wanted, given = given, form(reference), form(answer)
    if given == wanted:
        return EXACT
    if _REFUSAL.fullmatch(said) and _number(wanted):
        return NO_ANSWER
    return _by_rules(question, wanted, given)


def _by_rules(question: str, wanted: str, given: str) -> Verdict | None:
    return (
        verbal.by_moment(question, wanted, given)
        or _by_number(question, wanted, given)
        or _by_choice(question, wanted, given)
        or verbal.by_yes_no(wanted, given)
        or _by_list(question, wanted, given)
        or _by_alternatives(question, wanted, given)
        or _by_unit(wanted, given)
        or _by_sentence(question, wanted, given)
        or _by_notation(given)
        or verbal.by_words(wanted, given)
    )


@lru_cache(maxsize=8192)
def form(answer: str) -> str:
    """The answer that a text states, normalised: what rules and math-verify compare, and verdicts are kept by."""
    return normalise(sentences.stated(answer))


def _same_plain(reference: str, answer: str) -> bool:
    """same_value of plain numbers, in integers: "4.36" and "4.357" as 4360 and 4357 with a place of 10."""
    wanted, _, wanted_decimals = reference.partition(".")
    given, _, given_decimals = answer.partition(".")
    num_decimals = max(len(wanted_decimals), len(given_decimals))
    difference = int(wanted + wanted_decimals.ljust(num_decimals, "0")) - int(
        given + given_decimals.ljust(num_decimals, "0")
    )
    if not wanted_decimals:
        return difference == 0
    return bool(2 * abs(difference) < 10 ** (num_decimals - len(wanted_decimals)))


def _by_number(question: str, wanted: str, given: str) -> Verdict | None:
    target = _number(wanted)
    if target is None:
        return None
    if _DECIMAL_COMMA.fullmatch(given) and "," not in wanted:
        given = given.replace(",", ".")
    if quantities.abbreviated(given) == target.scaled and not target.percent:
        return _VERDICTS[True, "number"]
    axes = _AXIS.match(wanted), _AXIS.match(given)
    if axes[0] and axes[1] and axes[0][1] != axes[1][1]:
        return None
    found = _number(given)
    if found is None:
        return NO_ANSWER if _REFUSAL.fullmatch(given) else None
    return compare_quantities(question, target, found)


def _number(text: str) -> Quantity | None:
    """The quantity that a text is, a name before it left off."""
    return quantities.read(text) or quantities.read(without_name(text))


def without_name(text: str) -> str:
    """ "x=5" and "area=5" as "5"; other texts as they are."""
    name, _, value = text.replace("\\approx ", "=").partition("=")
    is_name = len(name) <= _MAX_NAME_CHARS and _NAME.fullmatch(name)
    return value if is_name and value and "=" not in value else text


def _by_choice(question: str, wanted: str, given: str) -> Verdict | None:
    listed = choices.options(question)
    letter = choices.reference_letter(wanted)
    if letter is None:
        return _by_letters(listed, wanted, given) or _by_option_text(listed, wanted, given)
    if listed and letter not in listed:
        return None
    several = choices.letters(given)
    if several:
        return _VERDICTS[several == {letter}, "several-answers"]
    choice = choices.picked(given, listed)
    if choice is not None:
        return _VERDICTS[choice == letter, "choice"]
    resolved = _resolved(listed, wanted, given)
    if resolved is None or (verbal.has_prose(given) and not verbal.has_prose(resolved[0])):
        return CHOICE_UNKNOWN
    return _by_rules("", *resolved)


def _by_letters(listed: dict[str, str], wanted: str, given: str) -> Verdict | None:
    """Several options at once; without a list of them letters may be the points of a figure."""
    target, found = choices.together(wanted), choices.together(given)
    if not target or not found or not (found <= set(listed) or target == found):
        return None
    return _VERDICTS[target == found, "choice"] if listed or wanted == "".join(sorted(target)) else None


def _by_option_text(listed: dict[str, str], wanted: str, given: str) -> Verdict | None:
    """A reference that is an option's text, or a value, against an answer that is a letter or another option's text."""
    matching = {letter for letter, text in listed.items() if choices.same_text(text, wanted)}
    choice = choices.picked(given, listed) if listed else None
    if choice is not None and matching:
        return _VERDICTS[choice in matching, "choice"]
    if not choices.is_letter(given.strip("()[]. ")):
        return None
    resolved = _resolved(listed, wanted, given)
    if resolved is not None:
        return _by_rules("", *resolved)
    return CHOICE_UNKNOWN if quantities.read(wanted) else None


def compared(question: str, reference: str, answer: str) -> tuple[str, str]:
    """The two formulas that a comparison is about: a letter of an option, on one side, stands for its text."""
    wanted, given = form(reference), form(answer)
    return _resolved(choices.options(question), wanted, given) or (wanted, given)


def _resolved(listed: dict[str, str], wanted: str, given: str) -> tuple[str, str] | None:
    """Reference and answer with the one letter among them replaced by its option; None where there is no such option.

    An option that is a letter itself names a picture, and letters alone, as "bd", are not told from letters of options.
    """
    letter, other = choices.reference_letter(wanted), given
    if letter is None:
        letter, other = given.strip("()[]. ").upper(), wanted
    text = listed.get(letter, "")
    if not text or choices.is_letter(text) or choices.names_a_letter(other) or (other.isalpha() and len(other) <= 4):
        return None
    return (text, other) if other is given else (other, text)


def _by_list(question: str, wanted: str, given: str) -> Verdict | None:
    same = lists.same(wanted, given)
    if same and lists.misordered(question, wanted, given):
        return ORDER
    return None if same is None else _VERDICTS[same, "list"]


def _by_sentence(question: str, wanted: str, given: str) -> Verdict | None:
    """A number against a sentence that holds one number, or one that the question does not hold already."""
    target = _number(wanted)
    if target is None or not verbal.has_prose(given):
        return None
    found = {one.scaled: one for text in sentences.numbers(given) if (one := quantities.read(text))}
    asked = {one.scaled for text in sentences.numbers(normalise(question)) if (one := quantities.read(text))}
    new = [one for value, one in found.items() if value not in asked]
    if len(found) == 1 or len(new) == 1:
        verdict = compare_quantities(question, target, new[0] if len(new) == 1 else next(iter(found.values())))
        is_told = verdict.outcome == "correct" or (verdict.outcome == "incorrect" and target.scaled not in found)
        return _VERDICTS[verdict.outcome == "correct", "sentence"] if is_told else verbal.WORDS
    return verbal.WORDS


def _by_alternatives(question: str, wanted: str, given: str) -> Verdict | None:
    """An answer that offers several: right only if each of them is, wrong if a rule says so of one."""
    parts = [part.strip() for part in _ALTERNATIVES.split(given)]
    if len(parts) < 2 or _ALTERNATIVES.search(wanted) or quantities.read(wanted) is None:
        return None
    if not all(parts):
        return SEVERAL_UNKNOWN
    verdicts = [decide(question, wanted, part) for part in parts]
    outcomes = {verdict.outcome if verdict else "unknown" for verdict in verdicts}
    if outcomes == {"correct"}:
        return _VERDICTS[True, "several-answers"]
    is_choice_of_values = bool(_OR.search(given)) or all(_PLAIN.fullmatch(part) for part in parts)
    return _VERDICTS[False, "several-answers"] if "incorrect" in outcomes and is_choice_of_values else SEVERAL_UNKNOWN


def _by_unit(wanted: str, given: str) -> Verdict | None:
    """Formulas in different units, or an angle in degrees against one in radians, are not compared."""
    (target, one), (found, other) = units.split_unit(wanted), units.split_unit(given)
    in_radians = "\\pi" in target + found and "°" in wanted + given
    differ = one and other and one != other
    may_differ = bool(_LETTER_UNIT.search(target)) != bool(_LETTER_UNIT.search(found))
    return UNIT if in_radians or differ or may_differ else None


def _by_notation(given: str) -> Verdict | None:
    """Notation with two readings is not compared: "2^3^2", and numbers side by side."""
    return AMBIGUOUS if _CHAINED_POWERS.search(given) or _SIDE_BY_SIDE.search(given) else None
