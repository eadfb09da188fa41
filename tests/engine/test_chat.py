"""Whatever a chat template takes, the question, the images and the begun reply all reach the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from omegaprm.engine.policy.chat import Chat
from omegaprm.engine.prompts import Turns

TURNS = Turns("Think.", "What?", "<step>a</step>")

STRING_ONLY = "{% for m in messages %}[{{ m['role'] }}]{{ '' + m['content'] }}{% endfor %}[assistant]"
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + STRING_ONLY
PARTS = (
    "{% for m in messages %}[{{ m['role'] }}]{% for p in m['content'] %}"
    "{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}{% endfor %}[assistant]"
)
PRINTS_PARTS = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[assistant]"


class Templated:
    """A processor or tokenizer as far as Chat is concerned."""

    def __init__(self, chat_template: str | None) -> None:
        self.chat_template = chat_template

    def apply_chat_template(self, messages: list[dict[str, Any]], **options: bool) -> str:
        assert options == {"tokenize": False, "add_generation_prompt": True}
        assert self.chat_template is not None

        def refuse(message: str) -> None:
            raise jinja2.TemplateError(message)

        template = jinja2.Environment().from_string(self.chat_template)
        return template.render(messages=messages, raise_exception=refuse)


def test_parts_are_used_where_the_template_takes_them() -> None:
    text = Chat([Templated(PARTS)]).render(TURNS, 2)

    assert text == "[system]Think.[user]<image><image>What?[assistant]<step>a</step>"


def test_text_alone_is_passed_to_a_template_of_strings_with_placeholders_for_images() -> None:
    for template in (STRING_ONLY, PRINTS_PARTS):
        text = Chat([Templated(template)], "<pic>").render(TURNS, 1)

        assert text == "[system]Think.[user]<pic>\nWhat?[assistant]<step>a</step>"


def test_instructions_join_the_question_where_there_is_no_system_turn() -> None:
    assert Chat([Templated(NO_SYSTEM)]).render(TURNS, 0) == "[user]Think.\n\nWhat?[assistant]<step>a</step>"


def test_the_tokenizers_template_serves_where_the_processor_has_none() -> None:
    assert Chat([Templated(None), Templated(PARTS)]).has_template


def test_a_model_without_a_template_gets_plain_text() -> None:
    chat = Chat([Templated(None)], "<pic>")

    assert not chat.has_template
    assert chat.render(TURNS, 1) == "Think.\n\n<pic>\nWhat?\n\n<step>a</step>"


def test_no_instructions_leave_no_trace() -> None:
    assert Chat([Templated(PARTS)]).render(Turns(None, "What?", ""), 0) == "[user]What?[assistant]"


def test_a_template_that_never_shows_an_instruction_keeps_it_out_of_chats_by_url_too(policy_folder: Path) -> None:
    """As the bundled policy's, which was tuned without one; tests/real has a template that drops it half-way."""
    from transformers import AutoTokenizer

    chat = Chat([AutoTokenizer.from_pretrained(policy_folder)])
    assert "Think." not in chat.head(TURNS, 0)
    assert chat.keeps_system()
