"""The answer that a sentence states: what is boxed, led in, set as mathematics alone, or said of its subject.

Pure. Where a text states no answer in one of these ways it is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_LEAD = re.compile(
    r"(?:\bfinal|\bcorrect)?\s*\b(?:answer|option|choice|result)\b[*\s]*"
    r"(?::|=|\bis\b\s*:?|\bwould be\b|\bequals\b)[*\s]*"
    r"(?:\boption\b|\bchoice\b)?\s*|答案(?:是|为|:|：)\s*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\n|(?<=[^\s.])\.\s+(?=[A-Z])")
_BOLD_END = re.compile(r"\*\*(?=[.\s]*$)")
_FORMULA = re.compile(r"(?<!\\)\$(?=\S)([^$]+?)(?<=\S)\$(?!\d)|\\\((.+?)\\\)")
_SUBJECT = re.compile(
    r"(?:(?:so|thus|hence|therefore|we (?:find|get|have|see)(?: that)?),? )?(?P<subject>[A-Za-z][A-Za-z' $]{0,80}?) "
    r"(?:is|are|was|were|equals?|measures?|must be|will be|would be|should be|arrives at)(?: exactly| equal to)?:? "
    r"(?P<said>.+)",
    re.IGNORECASE | re.DOTALL,
)
_THERE = re.compile(r"there (?:is|are) (?=no\b|infinitely\b|not\b)", re.IGNORECASE)
_DENIED = re.compile(r"\b(?:not|never|neither|isn't|aren't|if|because|which|that|when|or)\b", re.IGNORECASE)
_VERDICT_ON_LETTER = re.compile(
    r"\b(?:option |choice )?\(?([A-J])\)? is (?:the )?(?:correct|right|answer)\b(?! (?:only|if))"
)
_NAMED_LETTER = re.compile(r"\b(?:option|choice|answer) \(?([A-J])\b")
_DENIED_LETTER = re.compile(r"\b(?:not|never|isn't|wrong|incorrect|or)\b", re.IGNORECASE)
_MIN_WORDS = 3


def stated(text: str) -> str:
    """The answer within a text; the text itself where it is an answer alone, or states none plainly."""
    boxes = list(dict.fromkeys(_boxes(text)))
    if boxes:
        return " or ".join(boxes)
    if "####" in text and text.rpartition("####")[2].strip():
        return text.rpartition("####")[2].strip()
    leads = list(_LEAD.finditer(text))
    if leads:
        rest = _BOLD_END.sub("", _SENTENCE_END.split(text[leads[-1].end() :].strip())[0])
        if rest:
            return rest
    return _of_prose(text)


def _of_prose(text: str) -> str:
    if len(re.findall(r"[A-Za-z]{2,}", _FORMULA.sub("", text))) < _MIN_WORDS - 1 or "\\begin" in text:
        return text
    letters: set[str] = set(_VERDICT_ON_LETTER.findall(text)) or set(_NAMED_LETTER.findall(text))
    if len(letters) == 1 and not _DENIED_LETTER.search(text):
        return letters.pop()
    there = _THERE.match(text)
    if there:
        return text[there.end() :]
    formulas = {found for match in _FORMULA.finditer(text) if not (found := match[1] or match[2]).isalpha()}
    if len(formulas) == 1 and not re.search(r"\d", _FORMULA.sub("", text)) and not _DENIED.search(text):
        return formulas.pop()
    match = _SUBJECT.fullmatch(text.strip())
    if match and not _DENIED.search(text):
        return match["said"]
    return text


def _boxes(text: str) -> Iterator[str]:
    """What stands in every box, braces balanced."""
    for match in _BOX.finditer(text):
        depth = 1
        for at in range(match.end(), len(text)):
            depth += (text[at] == "{") - (text[at] == "}")
            if depth == 0:
                if text[match.end() : at].strip():
                    yield text[match.end() : at].strip()
                break


_NUMBER = re.compile(r"[$€£]?-?(?:\d+/\d+|\\frac\{\d+\}\{\d+\}|\d+(?:\.\d+)?)(?:%|°)?")
_BOUND = re.compile(
    r"\b(?:not|never|than|least|most|between|from|under|over|above|below|or|n't|either|except|approximately)\b|[<>^_*\\]"
    r"|\b(?:squared|cubed|factorial|hal(?:f|ves)|thirds?|quarters?|fourths?|fifths?|times|plus|minus|out|remainder"
    r"|choose|mod|dozen|hundred|thousand|million|billion|trillion|zero)\b",
    re.IGNORECASE,
)


def numbers(text: str) -> list[str]:
    """The numbers of a normalised sentence with what they are counted in, in order, behind its last "=".

    Empty where the sentence speaks of bounds, alternatives or formulas, so that a number in it may not be its answer.
    """
    tail = text.rpartition("=")[2] if "=" in text else text
    if _BOUND.search(re.sub(r"\\frac", "", tail)):
        return []
    return [match[0] for match in _NUMBER.finditer(tail)]
