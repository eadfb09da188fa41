"""Renders a state as the text the model was trained to answer, by the model's own chat template.

Templates differ in what they take: content as a string or as parts, a system turn or none, image parts or
only text. Each form is tried once on a probe when the policy starts; the first that shows the text is kept.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Literal

import jinja2
import msgspec

from omegaprm.engine import template_date
from omegaprm.engine.prompts import Turns

Content = Literal["parts", "string"]

_PROBE = "probe 4711"
_SYSTEM_PROBE = "instruction 4712"


class Form(msgspec.Struct, frozen=True):
    """What a chat template takes."""

    content: Content
    system: bool
    images: bool


class Chat:
    """A model's chat template, or plain text where it has none."""

    def __init__(self, candidates: Sequence[Any], placeholder: str = "", date: datetime.date | None = None) -> None:
        """candidates: the model's processor and tokenizer; the first that has a template counts.

        placeholder stands for an image in text where the template itself shows none; date is what a template that
        writes today's is given, template_date.UNRECORDED where there is none.
        """
        self._source = next((one for one in candidates if getattr(one, "chat_template", None)), None)
        self._dated = template_date.fixed(self._source, date) if self._source is not None else {}
        self._placeholder = placeholder
        self._form = self._find_form() if self._source is not None else None

    @property
    def has_template(self) -> bool:
        """Whether the rendered text already holds the special tokens a prompt begins with."""
        return self._form is not None

    def render(self, turns: Turns, num_images: int) -> str:
        """The prompt: exchanges that went before, the images, the user's text, the begun reply."""
        return self.head(turns, num_images) + turns.reply

    def head(self, turns: Turns, num_images: int) -> str:
        """The prompt up to where the reply begins."""
        if self._form is None:
            user = self._placeholders(num_images) + turns.user
            shown = [text for _, text in turns.before()]
            return "\n\n".join([*([turns.system] if turns.system else []), *shown, user, ""])
        return self._apply(self._form, turns, num_images)

    def keeps_space(self) -> bool:
        """Whether the template shows the whitespace at the end of a reply that is to be continued."""
        text = self._continued(Turns(None, _PROBE, f"{_PROBE}\n\n"))
        return text is None or text.endswith("\n\n")

    def keeps_system(self) -> bool:
        """Whether a begun reply leaves the system turn as it was: some templates show that only in the last turn."""
        turns = Turns(_SYSTEM_PROBE, _PROBE, _PROBE)
        text = self._continued(turns)
        return text is None or (_SYSTEM_PROBE in text) == (_SYSTEM_PROBE in self.head(turns, 0))

    def _continued(self, turns: Turns) -> str | None:
        """A chat up to the end of its begun reply, as a server renders it; None where the template takes none."""
        if self._form is None or self._source is None:
            return None
        said = self._messages(self._form, turns, 0)
        said.append({"role": "assistant", "content": _content(self._form, turns.reply, [])})
        try:
            text: str = self._source.apply_chat_template(
                said, tokenize=False, continue_final_message=True, **self._dated
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError):
            return None
        return text

    def _find_form(self) -> Form | None:
        kinds: tuple[Content, ...] = ("parts", "string")
        for form in (Form(kind, system, True) for kind in kinds for system in (True, False)):
            if self._shows_text(form):
                images = form.content == "parts" and self._shows_images(form)
                return Form(form.content, form.system, images)
        return None

    def _shows_text(self, form: Form) -> bool:
        try:
            text = self._apply(form, Turns("instruction", _PROBE, ""), 0)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError):
            return False
        return _PROBE in text and not any(part in text for part in ("'type'", '"type"'))

    def _shows_images(self, form: Form) -> bool:
        try:
            shown = self._apply(form, Turns(None, _PROBE, ""), 1)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError):
            return False
        return shown != self._apply(form, Turns(None, _PROBE, ""), 0)

    def _apply(self, form: Form, turns: Turns, num_images: int) -> str:
        assert self._source is not None
        text: str = self._source.apply_chat_template(
            self._messages(form, turns, num_images), tokenize=False, add_generation_prompt=True, **self._dated
        )
        return text

    def _messages(self, form: Form, turns: Turns, num_images: int) -> list[dict[str, Any]]:
        user = turns.user if form.images else self._placeholders(num_images) + turns.user
        images = [{"type": "image"}] * (num_images if form.images else 0)
        said = [*((role, text, []) for role, text in turns.before()), ("user", user, images)]
        if turns.system and form.system:
            said.insert(0, ("system", turns.system, []))
        elif turns.system:
            role, text, shown = said[0]
            said[0] = role, f"{turns.system}\n\n{text}", shown
        return [{"role": role, "content": _content(form, text, shown)} for role, text, shown in said]

    def _placeholders(self, num_images: int) -> str:
        return f"{self._placeholder}\n" * num_images


def _content(form: Form, text: str, images: list[dict[str, str]]) -> Any:
    return text if form.content == "string" else [*images, {"type": "text", "text": text}]
