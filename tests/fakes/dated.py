"""Chat templates that write today's date, in the two ways that published ones do, and days that pass."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import pytest
from transformers.utils import chat_template_utils

from omegaprm.engine import template_date

FIRST, LATER = datetime.date(2026, 3, 1), datetime.date(2026, 3, 2)

CALLS_NOW = """\
{%- set day = strftime_now('%d %B %Y') -%}
Today is {{ day }}.
{%- for message in messages %}
[{{ message['role'] }}]
    {%- if message['content'] is string %}{{ message['content'] }}{% else %}
        {%- for part in message['content'] -%}
            {{ part['text'] if part['type'] == 'text' else '<IMG_CONTEXT>' }}
        {%- endfor %}
    {%- endif %}
{%- endfor %}
"""
TAKES_STRING = """\
{%- if date_string is not defined %}
    {%- if strftime_now is defined %}{% set date_string = strftime_now("%d %b %Y") %}
    {%- else %}{% set date_string = "26 Jul 2024" %}{% endif %}
{%- endif -%}
Today Date: {{ date_string }}
""" + CALLS_NOW.partition("Today is {{ day }}.\n")[2]
FIXED_DEFAULT = """\
{%- if not date_string is defined %}{% set date_string = "26 Jul 2024" %}{% endif -%}
Today Date: {{ date_string }}
""" + CALLS_NOW.partition("Today is {{ day }}.\n")[2]


def pass_to(day: datetime.date, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it be that day, for templates and for what chooses a date."""

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return datetime.datetime(day.year, day.month, day.day, 12)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    monkeypatch.setattr(template_date, "today", lambda: day)


def model(policy: Path, folder: Path, template: str) -> Path:
    """The bundled policy under another chat template."""
    shutil.copytree(policy, folder)
    (folder / "chat_template.jinja").write_text(template)
    for name in ("tokenizer_config.json", "processor_config.json"):
        if (folder / name).exists():
            settings = json.loads((folder / name).read_text())
            settings.pop("chat_template", None)
            (folder / name).write_text(json.dumps(settings))
    return folder
