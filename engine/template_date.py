"""Gives chat templates that write today's date one fixed date, so that the same text is the same prompt on every day.

Llama 3.2, Mistral Small, SmolLM3 and others ask strftime_now for the day; what they write changes rollouts and scores.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import msgspec

from omegaprm.engine.errors import ConfigurationError, UsageError
from omegaprm.engine.files import write_whole

FLAG = "--prompt-date"
UNRECORDED = datetime.date(2024, 7, 26)
"""Written where nothing says which date a model's inputs had; the one that Llama's templates fall back on."""
RECORD = "prompt_date.json"
"""In the folder of a PRM: the date of its inputs, in training and ever after."""

NOW, DATE_STRING = "strftime_now", "date_string"
"""What a template calls for today's date, and the name under which Llama's take a date instead."""
STRING_FORMAT = "%d %b %Y"
_NAMES = re.compile(rf"\b(?:{NOW}|{DATE_STRING})\b")
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json", "processor_config.json")

_FIXED_NOW = "{% macro strftime_now(format) %}{{ prompt_date.strftime(format) }}{% endmacro %}\n"
_FIXED_STRING = "{% set date_string = prompt_date.strftime('" + STRING_FORMAT + "') %}\n"


class _Record(msgspec.Struct):
    prompt_date: datetime.date


def parse(text: str | None) -> datetime.date | None:
    """A date as 2026-01-31. UsageError."""
    try:
        return None if text is None else datetime.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{FLAG} {text}: must be a date, written as 2026-01-31") from error


def today() -> datetime.date:
    return datetime.date.today()


def as_string(date: datetime.date) -> str:
    """As Llama's templates write it."""
    return date.strftime(STRING_FORMAT)


def named(folder: str | Path) -> frozenset[str]:
    """Which of NOW and DATE_STRING the chat template of a model's folder names, found without loading it."""
    files = (Path(folder) / name for name in _TEMPLATE_FILES)
    texts = (file.read_text("utf-8", "replace") for file in files if file.is_file())
    return frozenset(name for text in texts for name in _NAMES.findall(text))


def chosen(names: frozenset[str], given: datetime.date | None) -> datetime.date | None:
    """The date that a template with these names is to write: the given one, else today's; None where it writes none.

    One with DATE_STRING alone has a default of its own, the same on every day, which stands unless a date is given.
    """
    if given is not None:
        return given if names else None
    return today() if NOW in names else None


def fixed(source: Any, date: datetime.date | None) -> dict[str, Any]:
    """What apply_chat_template of a tokenizer or processor is given beside its usual arguments, to write this date.

    None: UNRECORDED where the template asks for today's, and its own default otherwise. The names are defined in front
    of the template itself: processors warn of an argument strftime_now, which their templates know as a global.
    """
    template = source.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    names = set(_NAMES.findall(template or ""))
    if not names or (date is None and NOW not in names):
        return {}
    defined = _FIXED_NOW if NOW in names else _FIXED_STRING
    return {"chat_template": defined + str(template), "prompt_date": date or UNRECORDED}


def recorded(folder: str | Path) -> datetime.date | None:
    """The date that a PRM's folder names. ConfigurationError where its record cannot be read."""
    path = Path(folder) / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Record).prompt_date
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(
            f'{path}: must be {{"prompt_date": "2026-01-31"}}, the date that this PRM was trained under: {error}'
        ) from error


def record(folder: Path, date: datetime.date | None) -> None:
    """Write the date into a PRM's folder; None leaves no record there. StoreFailed."""
    if date is None:
        (folder / RECORD).unlink(missing_ok=True)
    else:
        write_whole(folder / RECORD, msgspec.json.encode(_Record(date)) + b"\n")
