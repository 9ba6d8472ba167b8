"""A chat template in its own process: the same text as the library's, and every way in which one can fail."""

from __future__ import annotations

from typing import Any

import pytest

from burnish.errors import ConfigError
from burnish.models.chat import ChatTemplate, Flaw, turns_of
from burnish.models.chat_worker import ChatFailure
from burnish.types import Message, Role

ASKED = [{"role": "user", "content": "Hi <b> {{ 'é' }}"}]
TWICE = [*ASKED, {"role": "user", "content": "Again"}]
TOLD = [{"role": "system", "content": "Be brief."}, *ASKED]
WHOLE = [*TOLD, {"role": "assistant", "content": "Yes\n"}]
RICH = """
{%- set ns = namespace(first=true) %}
{% for message in messages %}
    {% if message['role'] == 'system' %}{% continue %}{% endif %}
    {{- bos_token if ns.first }}{% set ns.first = false %}
    {{ message | tojson }} {{ dict(a=1) }} {{ tools is none }}
    {% generation %}{{ message.content | trim | upper }}{% endgeneration %}
{% endfor %}
{{ strftime_now('%Y')[:1] }}{% if add_generation_prompt %}>{% endif %}
"""


@pytest.mark.parametrize("ask", [True, False])
@pytest.mark.parametrize("turns", [ASKED, TWICE, TOLD, WHOLE])
def test_the_text_is_that_of_the_library(turns: list[dict[str, str]], ask: bool) -> None:
    library: Any = pytest.importorskip("transformers.utils.chat_template_utils")
    named = {"bos_token": "<s>", "eos_token": "</s>"}
    (text,), _ = library.render_jinja_template([turns], chat_template=RICH, add_generation_prompt=ask, **named)
    assert ChatTemplate(RICH, named, "m").render(turns, ask) == text


def test_messages_become_turns() -> None:
    messages = (Message(role=Role.SYSTEM, content="S"), Message(role=Role.USER, content="U"))
    asked = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    assert turns_of(messages) == asked
    assert turns_of(messages, "A") == [*asked, {"role": "assistant", "content": "A"}]


REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}x"


def test_a_refusal_is_about_the_row() -> None:
    template = ChatTemplate(REFUSES, {}, "m")
    refused = Flaw(kind=ChatFailure.REFUSED, message="System role not supported")
    assert template.render_all([ASKED, TOLD, ASKED], ask=True) == ["x", refused, "x"]
    assert refused.refusal("m") == (
        "the chat template of 'm' cannot take it: 'System role not supported'; change the row, or give another "
        "template with --template"
    )


def test_what_fails_on_some_rows_alone_is_about_the_row() -> None:
    template = ChatTemplate("{% if messages[1] %}{{ messages[1].content.nothing.more }}{% endif %}x", {}, "m")
    assert template.render(ASKED, ask=True) == "x"
    assert template.render(TWICE, ask=True) == Flaw(
        kind=ChatFailure.BROKEN, message="'str object' has no attribute 'nothing'"
    )


FAULTS = {
    "{% if %}": "line 1: Expected an expression",
    "{{ 'x' | nothing }}": "line 1: No filter named 'nothing'",
    "{{ nothing.more }}": "'nothing' is undefined",
    "{{ messages[0].content + 1 }}": "can only concatenate str",
    "{{ ''.__class__.__mro__[1].nothing }}": "unsafe",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "recursion",
}


@pytest.mark.parametrize("text", FAULTS)
def test_what_fails_on_every_row_is_an_error_of_the_template(text: str) -> None:
    with pytest.raises(ConfigError, match=r"model 'm': its chat template fails: .*; mend the template") as error:
        ChatTemplate(text, {}, "m").render(TOLD, ask=True)
    assert FAULTS[text] in str(error.value)


LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
HUGE = {
    "memory at once": ("{{ messages[0].content * 10 ** 10 }}", "too much memory"),
    "a constant": ("{{ 'x' * 10 ** 10 }}", "too much memory"),
    "much text": ("{% for i in range(40) %}{{ 'x' * 1000000 }}{% endfor %}", "it writes 40,000,000 characters"),
    "a loop": (LOOP, "it works for more than 0.5 seconds on one row"),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_template_without_an_end_is_stopped(name: str) -> None:
    text, words = HUGE[name]
    with pytest.raises(ConfigError, match=words):
        ChatTemplate(text, {}, "m", seconds=0.5).render(ASKED, ask=True)


@pytest.mark.slow
def test_a_template_that_was_stopped_works_on_other_rows() -> None:
    template = ChatTemplate(f"{{% if messages[1] %}}{LOOP}{{% endif %}}x", {}, "m", seconds=0.5)
    assert template.render(ASKED, ask=True) == "x"
    with pytest.raises(ConfigError, match="works for more than"):
        template.render_all([ASKED, TWICE], ask=True)
    assert template.render(ASKED, ask=True) == "x"


def test_its_process_ends_with_it() -> None:
    template = ChatTemplate("x", {}, "m")
    template.render(ASKED, ask=True)
    process = template._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    assert process.poll() is None
    del template
    assert process.wait(10) is not None
