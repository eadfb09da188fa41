"""Small chat templates in the turn markers of the families whose packages bring none."""

from __future__ import annotations

CHATML = """\
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{% if message['content'] is string -%}
{{ message['content'] }}
{%- else -%}
{%- for part in message['content'] -%}
{{ part['text'] if part['type'] == 'text' else '' }}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""

INTERNVL = CHATML.replace("else '' }}", "else '<IMG_CONTEXT>\\n' }}")

LLAMA2 = """\
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{{ bos_token }}[INST] {% if loop.previtem is defined and loop.previtem['role'] == 'system' -%}
<<SYS>>
{{ loop.previtem['content'] }}
<</SYS>>

{% endif -%}
{{ message['content'] }} [/INST]
{%- elif message['role'] == 'assistant' %} {{ message['content'] }} {{ eos_token }}
{%- endif -%}
{%- endfor -%}
"""

NEMO = """\
{{ bos_token }}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
[INST]{% if loop.last and messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}

{% endif %}{{ message['content'] }}[/INST]
{%- elif message['role'] == 'assistant' -%}
{{ message['content'] }}{{ eos_token }}
{%- endif -%}
{%- endfor -%}
"""
