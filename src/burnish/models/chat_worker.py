"""The process that fills in chat templates: one request after another, until its input ends.

A chat template is a program that comes with a model. It may loop for ever or build a text that fills the memory, and
nothing inside the Python process that runs it can stop every such template: one call may build gigabytes. So it runs
here, where memory is limited and where the parent can end it. This module imports the standard library and Jinja alone,
and nothing of the model libraries, so that a worker starts in a fraction of a second.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

import burnish

LONGEST = 32 * 2**20
"""Characters of a rendered conversation. A row of data has at most 4 MiB."""
MEMORY = 2 * 2**30
"""Bytes of address space."""
MESSAGE = 300
"""Characters of an error that are kept: the words are the template's."""
WATCH_SECONDS = 0.2


class ChatFailure(StrEnum):
    """Why a conversation has no text."""

    REFUSED = "refused"
    """The template says so itself, through `raise_exception`."""
    BROKEN = "broken"
    """The template fails on this conversation: an undefined name, a wrong type."""
    SYNTAX = "syntax"
    """The template cannot be compiled: its syntax is wrong, or it names a filter that does not exist."""
    LIMIT = "limit"
    """The template needs too much time, memory or text."""


class RefusedError(jinja2.TemplateError):
    """A template called `raise_exception`."""


class Generation(jinja2.ext.Extension):
    """Reads `{% generation %}`, with which a template marks what the model writes. It changes no text."""

    tags = {"generation"}  # noqa: RUF012 (Jinja declares it so)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node | list[jinja2.nodes.Node]:
        """Return what stands between the marks."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_written"), [], [], body).set_lineno(line)

    def _written(self, caller: Callable[[], str]) -> str:
        return caller()


def environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    """Return an environment with the names, the filters and the white space that the library transformers uses."""
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    # Jinja's own filter writes `<` and `&` as codes for web pages, and the model would read these codes.
    made.filters["tojson"] = _as_json
    names: dict[str, Any] = {"raise_exception": _refuse, "strftime_now": _now, "dict": _Mappings()}
    made.globals.update(names)
    return made


def _as_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: object) -> None:
    raise RefusedError(str(message))


def _now(form: str) -> str:
    return datetime.now().strftime(form)


class _Mappings:
    """`dict` in a template: it makes mappings and gives no way to the class behind it."""

    def __call__(self, *values: Any, **named: Any) -> dict[Any, Any]:
        return dict(*values, **named)

    def fromkeys(self, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        """Return a mapping from every key to one value."""
        return dict.fromkeys(keys, value)


def answers(lines: Iterable[str]) -> Iterable[Mapping[str, Any]]:
    """Yield an answer for each request. The first request brings the template and its variables."""
    every = iter(lines)
    first = json.loads(next(every))
    try:
        template = environment().from_string(first["template"])
    except MemoryError:
        yield {"kind": ChatFailure.LIMIT, "message": "it needs too much memory"}
        return
    except Exception as error:
        # Jinja works out constants while it compiles, so any error that an expression can raise comes from here, too.
        yield {"kind": ChatFailure.SYNTAX, "message": _words(error)}
        return
    yield {"ready": True}
    for line in every:
        request = json.loads(line)
        yield {"texts": [_text(template, turns, first["variables"], request["ask"]) for turns in request["turns"]]}


def _text(template: jinja2.Template, turns: Sequence[Any], variables: Mapping[str, str], ask: bool) -> Any:
    try:
        # Templates ask whether `tools` is none. A name that is missing would be undefined, which is another answer.
        text = template.render(messages=turns, tools=None, documents=None, add_generation_prompt=ask, **variables)
    except MemoryError:
        return {"kind": ChatFailure.LIMIT, "message": "it needs too much memory"}
    except RefusedError as error:
        return {"kind": ChatFailure.REFUSED, "message": _words(error)}
    except Exception as error:
        # A template is a program: what it can raise is not a closed set (wrong types, division by zero, recursion).
        return {"kind": ChatFailure.BROKEN, "message": _words(error)}
    # The limit on memory does not catch this: the text itself fits, and the parent would have to hold it.
    if len(text) > LONGEST:
        return {
            "kind": ChatFailure.LIMIT,
            "message": f"it writes {len(text):,} characters; at most {LONGEST:,} are read",
        }
    return text


def _words(error: Exception) -> str:
    where = f"line {error.lineno}: " if isinstance(error, jinja2.TemplateSyntaxError) else ""
    return f"{where}{str(error) or type(error).__name__}"[:MESSAGE]


def command() -> list[str]:
    """Return the command line of a worker for this process. Only the places of this package and of Jinja are added to
    the standard library, and they come last, so that nothing beside them hides a module of it."""
    import markupsafe  # noqa: PLC0415 (only for its place)

    modules = (burnish, jinja2, markupsafe)
    places = [str(Path(str(module.__file__)).resolve().parent.parent) for module in modules]
    code = "import sys; sys.path.extend(sys.argv[2:]); from burnish.models.chat_worker import main; main()"
    return [sys.executable, "-I", "-S", "-c", code, str(os.getpid()), *dict.fromkeys(places)]


def main() -> None:
    """Work for a parent under limits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt ends
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    with suppress(ImportError, ValueError, OSError):  # some systems have no such limit
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for answer in answers(sys.stdin):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _end_with(parent: int) -> None:
    """End this process with its parent: while it is busy it does not see that its input has ended."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
