"""Numbers with their units, read exactly: an int, decimal, fraction, percentage or money is a rational.

Nothing is evaluated: only the listed written forms are read, and digits and exponents are bounded.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

import msgspec

from omegaprm.engine.judge import number_words
from omegaprm.engine.judge.units import Unit, unit_named

_MAX_DIGITS = 300
_MAX_EXPONENT = 300

_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?P<money>[$€£¥]?)(?P<sign2>-?)(?:"
    r"(?P<whole>\d+)[ ]?\\frac\{(?P<mixed_top>\d+)\}\{(?P<mixed_bottom>\d+)\}"
    r"|(?P<whole2>\d+) (?P<mixed_top2>\d+)/(?P<mixed_bottom2>\d+)"
    r"|\\frac\{(?P<top>-?\d+)\}\{(?P<bottom>\d+)\}"
    r"|(?P<top2>\d+)/(?P<bottom2>\d+)"
    r"|(?P<digits>\d+(?:\.\d*)?|\.\d+)(?:(?:e|E|\*10\^)\{?(?P<exponent>[-+]?\d{1,5})\}?)?"
    r")(?![\d.,])"
)
_POWER = re.compile(r"(\d{1,6})\^\{?(-?\d{1,3})\}?")
_PART = re.compile(r"(?:^|(?<=[a-z]))(?:,?\s*and|,)?\s*(\d+(?:\.\d+)?\s?[a-z]+)(?=$|[\s,])")
_APPROXIMATE = re.compile(r"(?:\\approx|about|approximately|approx\.?|around|roughly|exactly|just|only|=)\s*")
_CURRENCY = re.compile(r"(usd ?|us ?(?=\$))|(?:rs\.? ?|inr |eur |gbp |cny |rmb )(?=\d)", re.IGNORECASE)
_SUFFIX = re.compile(r"[A-Za-z°'\"%][A-Za-z°'\"%./ ^\d-]{0,40}")
_COUNTED = re.compile(r"[a-z]{3,}(?: [a-z]{3,}){0,2}", re.IGNORECASE)
_COUNTED_OF = re.compile(r"[a-z]{3,} of [a-z]{3,}")
_OPERATIONS = (
    "or and not no to but than times of plus minus is are more less if remainder with over under above below "
    "out squared cubed factorial choose mod sqrt sin cos tan log exp only million thousand hundred half "
    "halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth "
    "eighths ninth ninths tenth tenths hundredth hundredths thousandth thousandths"
)
_SCALES = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_NOT_UNITS = frozenset(_OPERATIONS.split()) | number_words.WORDS


_SHORT_SCALE = re.compile(r"[$€£¥]?(\d{1,12}(?:\.\d{1,12})?) ?([kKMB])")
_SHORT_SCALES = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9}


class Quantity(msgspec.Struct, frozen=True):
    """A number as read: value, decimals it was written with (None: exact), percent sign, scale word, unit."""

    value: Fraction
    decimals: int | None = None
    percent: bool = False
    scale: str = ""
    unit: Unit | None = None

    @property
    def scaled(self) -> Fraction:
        return self.value * _SCALES.get(self.scale, 1) / (100 if self.percent else 1)


@lru_cache(maxsize=8192)
def read(text: str) -> Quantity | None:
    """The quantity that a normalised answer is, whole; None where it is anything else."""
    lead = _APPROXIMATE.match(text)
    if lead:
        text = text[lead.end() :]
    currency = _CURRENCY.match(text)
    if currency:
        return read("$" + text[currency.end() :]) if currency[1] else read(text[currency.end() :])
    spelt = number_words.read(text)
    if spelt is not None:
        return _with_suffix(spelt[0], None, spelt[1], "")
    power = _POWER.fullmatch(text)
    if power and len(power[1]) * abs(int(power[2])) <= _MAX_DIGITS and int(power[1]):
        return Quantity(Fraction(int(power[1])) ** int(power[2]))
    return _of_parts(text) or _of_one(text)


def abbreviated(text: str) -> Fraction | None:
    """The value of "70k" and "$1.5M", should the letter stand for thousands, millions or billions."""
    match = _SHORT_SCALE.fullmatch(text)
    return Fraction(match[1]) * _SHORT_SCALES[match[2]] if match else None


def _of_parts(text: str) -> Quantity | None:
    """Several numbers with units of one kind, large ones first: "5 feet 3 inches", "2 hours and 30 minutes"."""
    parts = _PART.findall(text)
    if len(parts) < 2 or _PART.sub("", text).strip():
        return None
    found = [_of_one(part) for part in parts]
    quantities = [one for one in found if one is not None and one.unit is not None and one.unit.dimension]
    units = [one.unit for one in quantities if one.unit is not None]
    if len(units) != len(parts) or len({unit.dimension for unit in units}) != 1:
        return None
    factors = [unit.factor for unit in units]
    if factors != sorted(set(factors), reverse=True):
        return None
    whole = sum((one.value * factor for one, factor in zip(quantities, factors, strict=True)), Fraction(0))
    return Quantity(whole / factors[0], None, False, "", units[0])


def _of_one(text: str) -> Quantity | None:
    match = _NUMBER.match(text)
    if not match or match.end() - match.start() > _MAX_DIGITS:
        return None
    value, decimals = _value(match)
    if value is None:
        return None
    return _with_suffix(value, decimals, text[match.end() :].strip(), match["money"])


def _value(match: re.Match[str]) -> tuple[Fraction | None, int | None]:
    """Value and decimals of a matched number; no value where it divides by zero or its exponent is huge."""
    sign = -1 if "-" in match["sign"] + match["sign2"] else 1
    if match["digits"]:
        exponent = int(match["exponent"] or "0")
        if abs(exponent) > _MAX_EXPONENT:
            return None, None
        _, point, after = match["digits"].partition(".")
        value = sign * Fraction("0" + match["digits"] + ("0" if point else "")) * Fraction(10) ** exponent
        return value, max(len(after) - exponent, 0) if point and after else None
    top, bottom = match["top"] or match["top2"], match["bottom"] or match["bottom2"]
    whole = 0
    if top is None:
        whole = int(match["whole"] or match["whole2"])
        top, bottom = (
            match["mixed_top"] or match["mixed_top2"],
            match["mixed_bottom"] or match["mixed_bottom2"],
        )
    if int(bottom) == 0:
        return None, None
    return sign * (whole + Fraction(int(top), int(bottom))), None


def _with_suffix(value: Fraction, decimals: int | None, suffix: str, money: str) -> Quantity | None:
    """The number with what stands behind it; None where that is not a unit."""
    suffix = suffix.partition(" of ")[0] if _COUNTED_OF.fullmatch(suffix) else suffix
    percent = suffix in ("%", "percent", "per cent", "pct")
    if percent or not suffix:
        return Quantity(value, decimals, percent, "", unit_named(money) if money else None)
    if suffix.startswith("(") and suffix.endswith(")"):
        suffix = suffix[1:-1]
    if not _SUFFIX.fullmatch(suffix):
        return None
    scale, _, rest = suffix.partition(" ")
    if scale.removesuffix("s") not in _SCALES:
        scale, rest = "", suffix
    unit = unit_named(money or rest) if money or rest else None
    if rest and not _is_unit(rest):
        return None
    return Quantity(value, decimals, False, scale.removesuffix("s"), unit)


def _is_unit(text: str) -> bool:
    """Known, or up to three plain words that things are counted in; a letter alone is a variable."""
    if not _NOT_UNITS.isdisjoint(text.lower().split()):
        return False
    return bool(unit_named(text).dimension or _COUNTED.fullmatch(text))
