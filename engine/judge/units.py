"""Units by their written names, with plural, square and cubic forms, sizes exact."""

from __future__ import annotations

import re
from fractions import Fraction

import msgspec


class Unit(msgspec.Struct, frozen=True):
    """A unit by its first name, its dimension ("" where the unit is not known) and size in the base unit."""

    name: str
    dimension: str
    factor: Fraction


_ROWS = (
    ("length", "1/1000", "mm millimeter millimetre"),
    ("length", "1/100", "cm centimeter centimetre"),
    ("length", "1/10", "dm decimeter decimetre"),
    ("length", "1", "m meter metre"),
    ("length", "1000", "km kilometer kilometre"),
    ("length", "0.0254", 'in inch inche "'),
    ("length", "0.3048", "ft foot feet"),
    ("length", "0.9144", "yd yard"),
    ("length", "1609.344", "mi mile"),
    ("mass", "1/1000", "mg milligram"),
    ("mass", "1", "g gram"),
    ("mass", "1000", "kg kilogram"),
    ("time", "1", "s sec second"),
    ("time", "60", "min minute"),
    ("time", "3600", "h hr hour"),
    ("time", "86400", "day"),
    ("time", "604800", "week"),
    ("volume", "1/1000", "ml milliliter millilitre"),
    ("volume", "1/100", "cl centiliter centilitre"),
    ("volume", "1/10", "dl deciliter decilitre"),
    ("volume", "1", "l liter litre"),
    ("angle", "1", "° degree deg"),
    ("money $", "1", "$ dollar usd"),
    ("money $", "1/100", "cent ¢"),
    ("money €", "1", "€ euro eur"),
    ("money £", "1", "£"),
    ("money ¥", "1", "¥ yen"),
    ("unit", "1", "unit"),
)
_UNITS = {
    name: Unit(names.split()[0], dimension, Fraction(factor))
    for dimension, factor, names in _ROWS
    for name in names.split()
}

_EVERYDAY_WORDS = {"m", "in", '"', "g", "s", "sec", "second", "min", "h", "l", "foot", "day", "mi", "¥"}
"""Names that a question may use without meaning the unit."""

_SQUARE = re.compile(r"^(?:square|sq\.?) (.+)$|^(.+?)(?:\^2|2| squared)$")
_CUBIC = re.compile(r"^(?:cubic|cu\.?) (.+)$|^(.+?)(?:\^3|3| cubed)$")
_LONG_NAMES = sorted((name for name in _UNITS if name.isalpha() and len(name) > 1 and name != "in"), reverse=True)
_TRAILING_UNIT = re.compile(
    rf"°$|(?<=[\d\s)}}])(?:(?:square|cubic|sq\.?|cu\.?) )?(?:{'|'.join(_LONG_NAMES)})s?(?:\^[23])?$"
)
UNIT_WORDS = frozenset(_LONG_NAMES) | {name + "s" for name in _LONG_NAMES} | {"square", "cubic"}


_SPEEDS = {"mph": "mi/h", "kph": "km/h", "kmph": "km/h", "kmh": "km/h", "fps": "ft/s"}


def is_rate_of(one: Unit, other: Unit) -> bool:
    """Whether a unit is the other per something: $/day and $."""
    return one.name.startswith(f"{other.name}/") or other.name.startswith(f"{one.name}/")


def are_related(one: Unit, other: Unit) -> bool:
    """Whether two units may stand for one another in a careless hand: cm for cm^2; two currencies may not."""
    return one.name.partition("^")[0] == other.name.partition("^")[0]


def unit_named(name: str) -> Unit:
    """A unit by its written name: plural, square and cubic forms known."""
    name = _SPEEDS.get(name.lower(), name)
    for pattern, power in ((_SQUARE, 2), (_CUBIC, 3)):
        match = pattern.match(name)
        if match:
            base = unit_named(match[1] or match[2])
            if base.dimension not in ("", "angle") and "^" not in base.name:
                return Unit(f"{base.name}^{power}", f"{base.dimension}^{power}", base.factor**power)
    top, _, bottom = name.replace(" per ", "/").partition("/")
    if bottom:
        one, other = unit_named(top), unit_named(bottom)
        if one.dimension and other.dimension:
            dimension = f"{one.dimension}/{other.dimension}"
            return Unit(f"{one.name}/{other.name}", dimension, one.factor / other.factor)
    for written in (name, name.lower(), name.rstrip("s."), name.lower().rstrip("s.")):
        if written in _UNITS:
            return _UNITS[written]
    return Unit(name.lower().rstrip("s."), "", Fraction(1))


def split_unit(text: str) -> tuple[str, Unit | None]:
    """A formula and the known unit behind it: "2\\sqrt{3} cm" as "2\\sqrt{3}" and cm."""
    match = _TRAILING_UNIT.search(text)
    if not match or not match.start():
        return text, None
    return text[: match.start()].rstrip(), unit_named(match[0].strip())


def is_foreign(unit: Unit, question: str) -> bool:
    """Whether the question speaks of another unit of this dimension and nowhere of this one."""
    dimension = unit.dimension.partition("^")[0]
    base = unit.name.partition("^")[0]
    if base not in _UNITS:
        return False
    words = question.lower()
    own = {name for name, known in _UNITS.items() if known == _UNITS[base]}
    others = {name for name, known in _UNITS.items() if known.dimension == dimension} - own - _EVERYDAY_WORDS
    if _names_one(words, others) and not _names_one(words, own):
        return True
    power = unit.name.partition("^")[2]
    named = {found for found in ("2", "3") if _names_power(words, own, found)}
    return bool(power and named and power not in named)


def _names_power(words: str, names: set[str], power: str) -> bool:
    """Whether a question speaks of squares, or cubes, of a unit: "cm^3", "cubic centimeters"."""
    alternatives = "|".join(re.escape(name) for name in sorted(names))
    before = {"2": r"(?:square|sq\.?)", "3": r"(?:cubic|cu\.?)"}[power]
    behind = {"2": r"(?:\^\s*\{?2|²| squared)", "3": r"(?:\^\s*\{?3|³| cubed)"}[power]
    pattern = rf"(?<![a-z])(?:{before} (?:{alternatives})(?:e?s)?(?![a-z])|(?:{alternatives})(?:e?s)?\}}?{behind})"
    return bool(names) and bool(re.search(pattern, words))


def _names_one(words: str, names: set[str]) -> bool:
    alternatives = "|".join(re.escape(name) for name in sorted(names))
    return bool(names) and bool(re.search(rf"(?<![a-z])(?:{alternatives})(?:e?s)?(?![a-z])", words))
