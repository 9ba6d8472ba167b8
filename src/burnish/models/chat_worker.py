"""The process that fills in chat templates. It answers one request after another, until its input ends.

A chat template is a program that comes with a model. It may loop for ever, or build a text that fills the memory.
Nothing inside the Python process that runs it can stop every such template, because one call may build gigabytes. So it
runs here, where memory is limited and where the parent can end it. Besides burnish itself, this module imports only the
standard library and Jinja, and nothing of the model libraries. So a worker starts in a fraction of a second.
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
"""The most characters of a rendered conversation. A row of data has at most 4 MiB."""
MEMORY = 2 * 2**30
"""The most bytes of address space."""
MESSAGE = 300
"""The most characters of an error that are kept. The template may have written the words of the error itself."""
WATCH_SECONDS = 0.2
"""Seconds between two checks whether the parent still lives."""


class ChatFailure(StrEnum):
    """Why a conversation could not be turned into text."""

    REFUSED = "refused"
    """The template refuses the conversation itself, by calling `raise_exception`."""
    BROKEN = "broken"
    """The template fails on this conversation, for example because of an undefined name or a wrong type."""
    SYNTAX = "syntax"
    """The template cannot be compiled: its syntax is wrong, or it names a filter that does not exist."""
    LIMIT = "limit"
    """The template needs too much time or memory, or writes too long a text."""


class RefusedError(jinja2.TemplateError):
    """A template called `raise_exception`."""


class Generation(jinja2.ext.Extension):
    """Reads the tag `{% generation %}`, with which a template marks what the model writes. The tag changes no text."""

    tags = {"generation"}  # noqa: RUF012 (Jinja declares it so)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node | list[jinja2.nodes.Node]:
        """Return a node for the text between the two tags."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_written"), [], [], body).set_lineno(line)

    def _written(self, caller: Callable[[], str]) -> str:
        return caller()


def environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    """Return an environment of Jinja for chat templates.

    It has the names and the filters of the library transformers, and treats white space in the same way.
    """
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
    """The name `dict` in a template. It makes mappings, and gives no access to the class behind it."""

    def __call__(self, *values: Any, **named: Any) -> dict[Any, Any]:
        return dict(*values, **named)

    def fromkeys(self, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        """Return a mapping from every key to the same value."""
        return dict.fromkeys(keys, value)


def answers(lines: Iterable[str]) -> Iterable[Mapping[str, Any]]:
    """Yield an answer for each request.

    Each line is one request, as JSON, and the first one brings the template and its variables.
    """
    every = iter(lines)
    first = json.loads(next(every))
    try:
        template = environment().from_string(first["template"])
    except MemoryError:
        yield {"kind": ChatFailure.LIMIT, "message": "it needs too much memory"}
        return
    except Exception as error:
        # Jinja computes constants while it compiles. So any error that an expression can raise may come from here, too.
        yield {"kind": ChatFailure.SYNTAX, "message": _words(error)}
        return
    yield {"ready": True}
    for line in every:
        request = json.loads(line)
        yield {"texts": [_text(template, turns, first["variables"], request["ask"]) for turns in request["turns"]]}


def _text(template: jinja2.Template, turns: Sequence[Any], variables: Mapping[str, str], ask: bool) -> Any:
    try:
        # Templates ask whether `tools` is none. If the name were missing, it would be undefined and not none.
        text = template.render(messages=turns, tools=None, documents=None, add_generation_prompt=ask, **variables)
    except MemoryError:
        return {"kind": ChatFailure.LIMIT, "message": "it needs too much memory"}
    except RefusedError as error:
        return {"kind": ChatFailure.REFUSED, "message": _words(error)}
    except Exception as error:
        # A template is a program. There is no complete list of what it can raise (wrong types, division by zero,
        # recursion).
        return {"kind": ChatFailure.BROKEN, "message": _words(error)}
    # The limit on memory does not catch this. The text fits here, but the parent would have to hold it, too.
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
    """Return the command line of a worker for this process.

    Only the folders of this package, of Jinja and of MarkupSafe are added to the places of the standard library. They
    come last, so nothing in them hides a module of the standard library.
    """
    import markupsafe  # noqa: PLC0415 (only for its place)

    modules = (burnish, jinja2, markupsafe)
    places = [str(Path(str(module.__file__)).resolve().parent.parent) for module in modules]
    code = "import sys; sys.path.extend(sys.argv[2:]); from burnish.models.chat_worker import main; main()"
    return [sys.executable, "-I", "-S", "-c", code, str(os.getpid()), *dict.fromkeys(places)]


def main() -> None:
    """Answer the requests of the parent process under a limit of memory, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt ends
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    with suppress(ImportError, ValueError, OSError):  # some systems have no such limit
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for answer in answers(sys.stdin):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended. While it is busy, it does not see that its input has ended."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
