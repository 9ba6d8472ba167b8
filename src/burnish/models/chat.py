"""Runs a model's chat template in a process of its own, which can be ended at any time (see chat_worker.py)."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

from burnish.errors import BackendError, ConfigError
from burnish.models.chat_worker import ChatFailure, command
from burnish.types import Message

SECONDS, START_SECONDS = 10.0, 60.0
"""How long a template may work on one conversation, and how long its process may take to start."""
MANY = 64
"""The most conversations in one request."""
_PLAIN = ({"role": "user", "content": "Hello"},)
"""A conversation that every working chat template can take."""

Turn: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Says why a conversation could not be turned into text."""

    kind: ChatFailure
    message: str

    def refusal(self, owner: str) -> str:
        """Return a message which says that the chat template of the model `owner` cannot take a row."""
        return (
            f"the chat template of {owner!r} cannot take it: {self.message!r}; change the row, or give another "
            "template with --template"
        )


def turns_of(messages: Sequence[Message], answer: str | None = None) -> list[Turn]:
    """Return messages in the form that chat templates read, with an assistant's answer at the end if there is one."""
    turns: list[Turn] = [{"role": str(message.role), "content": message.content} for message in messages]
    return turns if answer is None else [*turns, {"role": "assistant", "content": answer}]


class ChatTemplate:
    """A Jinja chat template. `variables` has the special tokens that it may name.

    `owner` is the model that it belongs to, for messages. Its process starts at the first use and ends with this
    object.
    """

    def __init__(self, text: str, variables: Mapping[str, str], owner: str, seconds: float = SECONDS) -> None:
        self.text, self.variables, self.owner, self.seconds = text, dict(variables), owner, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._started_by = 0
        self._rest = b""

    def render(self, turns: Sequence[Turn], ask: bool) -> str | Flaw:
        """Return a conversation as text, or a `Flaw` if the template cannot take this conversation.

        With `ask`, the text ends where an answer of the assistant begins. Raises ConfigError, which names the model, if
        the template itself is wrong, whatever the conversation is. Raises BackendError if the process of the template
        does not start.
        """
        (text,) = self.render_all([turns], ask)
        return text

    def render_all(self, conversations: Sequence[Sequence[Turn]], ask: bool) -> list[str | Flaw]:
        """Render several conversations. The results and the errors are as in `render`."""
        done: list[str | Flaw] = []
        for start in range(0, len(conversations), MANY):
            part = conversations[start : start + MANY]
            texts = self._asked(part, ask)
            # The time limit is that of one row. If a request is too slow as a whole, its rows are asked one by one, so
            # that one slow row does not end the 63 others.
            if texts is None and len(part) > 1:  # together they were too slow
                texts = [text for one in part for text in self._asked([one], ask) or self._too_slow()]
            done += texts or self._too_slow()
        for text in done:
            if isinstance(text, Flaw):
                self._blame(text)
        return done

    def _too_slow(self) -> list[str | Flaw]:
        return [Flaw(kind=ChatFailure.LIMIT, message=f"it works for more than {self.seconds:g} seconds on one row")]

    def _blame(self, flaw: Flaw) -> None:
        """Raise ConfigError if the template is at fault and not the row: it fails on a plain question, too."""
        match flaw.kind:
            case ChatFailure.REFUSED:
                return
            case ChatFailure.BROKEN:
                # A template may fail only on some rows, for example on those with a second turn. If it also fails on a
                # plain question, the template is at fault.
                plain = (self._asked([_PLAIN], ask=True) or self._too_slow())[0]
                if isinstance(plain, str) or plain.kind is ChatFailure.REFUSED:
                    return
            case ChatFailure.SYNTAX | ChatFailure.LIMIT:
                pass
            case _:
                assert_never(flaw.kind)
        raise self._error(flaw)

    def _error(self, flaw: Flaw) -> ConfigError:
        return ConfigError(
            f"model {self.owner!r}: its chat template fails: {flaw.message!r}; mend the template, or give another one "
            "(chat_template; on the command line --template FILE or --template paper)"
        )

    def _asked(self, conversations: Sequence[Sequence[Turn]], ask: bool) -> list[str | Flaw] | None:
        """Return the texts, or None if the process took too long and was ended."""
        process = self._ready()
        request = {"turns": conversations, "ask": ask}
        try:
            answer = self._exchange(process, request, self.seconds)
        except TimeoutError:
            self.close()
            return None
        except (OSError, EOFError):
            # The template made its process end, for example by using up its stack.
            self.close()
            return [Flaw(kind=ChatFailure.LIMIT, message="its process ended") for _ in conversations]
        return [text if isinstance(text, str) else _flaw(text) for text in answer["texts"]]

    def _ready(self) -> subprocess.Popen[bytes]:
        """Return the process.

        It is started anew if it was ended, or if this process is a fork of the one that started it.
        """
        if self._process is not None and self._started_by == os.getpid():
            return self._process
        # Only LD_LIBRARY_PATH and DYLD_LIBRARY_PATH are passed on, because some interpreters do not start without them.
        # A template is a stranger's program. It must not see the rest of the environment, which may hold an API key.
        kept = {name: value for name, value in os.environ.items() if name.endswith("LIBRARY_PATH")}
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", env=kept
        )
        self._process, self._started_by, self._rest = process, os.getpid(), b""
        # A finalizer runs when the object is dropped and also at the end of the program, where `__del__` is not sure to
        # run. It must not refer to the object itself, or the object would never be dropped.
        self._finish = weakref.finalize(self, _end, process, os.getpid())
        try:
            answer = self._exchange(process, {"template": self.text, "variables": self.variables}, START_SECONDS)
        except TimeoutError:
            self.close()
            raise self._error(Flaw(kind=ChatFailure.LIMIT, message="it takes too long to compile")) from None
        except (OSError, EOFError):
            self.close()
            raise BackendError(
                "the process that fills in chat templates does not start; free some memory and run again"
            ) from None
        if "ready" not in answer:
            self.close()
            raise self._error(_flaw(answer))
        return process

    def _exchange(self, process: subprocess.Popen[bytes], request: Mapping[str, Any], seconds: float) -> Any:
        """Send a line and read one.

        Raises TimeoutError if no answer comes in time, and EOFError or OSError if the process has ended.
        """
        assert process.stdin, process
        assert process.stdout, process
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        until, parts = time.monotonic() + seconds, [self._rest]
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in parts[-1]:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise TimeoutError
                # `os.read` returns what is there; `readline` would wait without a deadline.
                part = os.read(process.stdout.fileno(), 2**20)
                if not part:
                    raise EOFError
                parts.append(part)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        """End the process. The next use starts another one."""
        if self._process is not None:
            self._process = None
            self._finish()


def _flaw(answer: Mapping[str, str]) -> Flaw:
    return Flaw(kind=ChatFailure(answer["kind"]), message=answer["message"])


def _end(process: subprocess.Popen[bytes], started_by: int) -> None:
    if started_by != os.getpid():
        return  # this is a fork, and the process belongs to its parent
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe, process
        try:
            pipe.close()
        except OSError:
            continue  # nobody needs the bytes that were not written yet
