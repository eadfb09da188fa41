"""Times of day and dates in their usual written forms, read from normalised answers. Pure."""

from __future__ import annotations

import re

import msgspec

_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH = "|".join(f"{month[:3]}(?:{month[3:]}|{month[3:4]})?\\.?" if len(month) > 3 else month for month in _MONTHS)
_CLOCK = re.compile(
    r"(?:at )?(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))?\s*(?P<half>[ap]\.?m\.?)?(?P<clock> ?o'?clock)?", re.IGNORECASE
)
_NAMED = {"noon": 720, "midday": 720, "12 noon": 720, "midnight": 0, "12 midnight": 0}
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?P<month>{_MONTH}) ?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? ?(?P<year>\d{{4}}))?",
        rf"(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ?(?P<month>{_MONTH})(?:,? ?(?P<year>\d{{4}}))?",
        r"(?P<year>\d{4})[-/](?P<number>\d{1,2})[-/](?P<day>\d{1,2})",
    )
)


class Time(msgspec.Struct, frozen=True):
    """Minutes from midnight, of 12 hours where the half of the day is not known; plain: could be a ratio as well."""

    minutes: int
    half_known: bool
    plain: bool


def time_of(text: str) -> Time | None:
    """A time of day; None where a text is none."""
    if text.casefold() in _NAMED:
        return Time(_NAMED[text.casefold()], True, False)
    match = _CLOCK.fullmatch(text)
    if not match or not (match["minute"] or match["half"] or match["clock"]):
        return None
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    if hour > 23 or minute > 59 or (match["half"] and not 1 <= hour <= 12):
        return None
    if match["half"]:
        return Time((hour % 12 + 12 * (match["half"][0] in "pP")) * 60 + minute, True, False)
    return Time(hour * 60 + minute, hour > 12, not match["clock"])


def same_time(one: Time, other: Time) -> bool:
    """Equal; or equal within half a day where one does not say which half."""
    if one.half_known and other.half_known:
        return one.minutes == other.minutes
    return one.minutes % 720 == other.minutes % 720


def date_of(text: str) -> tuple[int | None, int, int] | None:
    """(year, month, day), the year None where it is not given; None where a text is no date."""
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match:
            parts = match.groupdict()
            month = int(parts["number"]) if parts.get("number") else _month_number(parts["month"])
            return int(parts["year"]) if parts.get("year") else None, month, int(parts["day"])
    return None


def same_date(one: tuple[int | None, int, int], other: tuple[int | None, int, int]) -> bool:
    """Equal; a year that one leaves off is not compared."""
    years = {one[0], other[0]} - {None}
    return one[1:] == other[1:] and len(years) < 2


def _month_number(name: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(name[:3].lower()))
