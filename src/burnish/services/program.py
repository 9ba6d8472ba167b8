"""Asks a user's program in JSON lines.

Questions go to its stdin, and it writes one answer for each id to its stdout.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import orjson
from pydantic import JsonValue

from burnish.errors import AnnotatorError
from burnish.services.child import running
from burnish.store.identity import of_files
from burnish.store.json_rows import dump_line
from burnish.types import Artifact

T = TypeVar("T")
GATHERED_SECONDS = 0.2
"""Answers of this many seconds make a batch. Each batch is one write that is brought to the disk."""
SHOWN = 80
"""How many bytes or characters of a program's output an error shows."""


def on_stderr(message: str) -> None:
    """Print a message to stderr. This is the default for `say`."""
    print(message, file=sys.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A user's program. `command` is the program and its arguments, and `field` is the setting that names it.

    `say` gets messages about odd answers that are no error.
    """

    command: tuple[str, ...]
    field: str
    timeout: float = 600.0
    """The program is ended if it gives no new answer for this many seconds."""
    say: Callable[[str], None] = on_stderr


def converse(
    program: Program, questions: Iterable[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], T]
) -> Iterator[tuple[str, T]]:
    """Ask a program questions, and yield (id, answer) as its answers come.

    `read` makes the answer from each JSON object. A question that the program leaves out has no answer. An answer may
    come twice if both say the same. Answers with an id that was not asked are counted, and a message reports them.

    Raises AnnotatorError, which names the setting, in these cases: the program cannot be started, ends with a status
    other than 0, gives no new answer for too long, writes a line that is too long or is not a JSON object with an `id`,
    or contradicts itself. It also raises whatever `questions` raises.
    """
    with running(program.command, program.field, program.timeout) as child:
        heard = _Answers(program, read)
        # Questions are written in a thread of their own. If one thread wrote and read, both sides could wait for each
        # other with full pipes.
        feeder = threading.Thread(target=_feed, args=(child.stdin, questions, heard), daemon=True)
        feeder.start()
        # Blank lines are passed over but counted, so that the number in an error is that of the program's output.
        for number, line in enumerate(child.lines(), 1):
            if line.strip() and (new := heard.take(line, number)) is not None:
                child.heard = time.monotonic()
                yield new
                child.heard = time.monotonic()  # the time that the caller took does not count as silence
        # Only after the loop: the feeder closed the pipe when it failed, so the program ended as if all had been asked.
        if heard.failure is not None:
            raise heard.failure
        child.finish()
        heard.say_strangers()


class _Answers(Generic[T]):
    """The answers that a program has given until now.

    Only the thread that reads uses it, apart from `asked` and `failure`.
    """

    def __init__(self, program: Program, read: Callable[[Mapping[str, Any]], T]) -> None:
        self.program, self.read = program, read
        self.asked: set[str] = set()
        self.answers: dict[str, T] = {}
        self.strangers = 0  # how many answers had an id that was not asked, and the first such id
        self.stranger = ""
        self.failure: Exception | None = None

    def take(self, line: bytes, number: int) -> tuple[str, T] | None:
        """Return the id and the answer of a line, or None if the answer is a repeat or its id was not asked.

        Raises AnnotatorError if the line is not an answer, or contradicts an earlier one.
        """
        answer = _answer(line, number, self.program)
        id_, value = str(answer["id"]), self.read(answer)
        if id_ not in self.asked:
            self.strangers, self.stranger = self.strangers + 1, self.stranger or id_
            return None
        if id_ not in self.answers:
            self.answers[id_] = value
            return id_, value
        if self.answers[id_] != value:
            raise AnnotatorError(
                f"{self.program.field}: line {number} that {self.program.command[0]!r} wrote contradicts an earlier "
                f"answer for {id_[:SHOWN]!r}: {line[:SHOWN]!r}; answer each question once"
            )
        return None

    def say_strangers(self) -> None:
        """Say how many answers had an id that was not asked."""
        if self.strangers:
            self.program.say(
                f"{self.program.field}: {self.strangers} answers of {self.program.command[0]!r} have an id that "
                f"nobody asked about, such as {self.stranger[:SHOWN]!r}; they are passed over: write the `id` of the "
                "question as it is"
            )


def gathered(items: Iterator[T]) -> Iterator[list[T]]:
    """Yield items in batches of a fifth of a second.

    Each batch is one write that is brought to the disk, and a fast program gives thousands of answers in a second.
    Raises whatever `items` raises. The items that came before are yielded first.
    """
    batch: list[T] = []
    started = time.monotonic()
    failure: Exception | None = None
    try:
        for item in items:
            batch.append(item)
            if time.monotonic() - started >= GATHERED_SECONDS:
                yield batch
                batch, started = [], time.monotonic()
    except Exception as error:  # raised again below, after the last batch
        failure = error
    yield batch
    if failure is not None:
        raise failure


def _feed(pipe: IO[bytes], questions: Iterable[Mapping[str, Any]], heard: _Answers[Any]) -> None:
    """Write the questions. An error is kept for the thread that reads the answers, which raises it."""
    try:
        for question in questions:
            heard.asked.add(question["id"])  # before the question is written, because its answer can come at once
            pipe.write(dump_line(question))
            pipe.flush()
    except BrokenPipeError:
        pass  # the program ended before it read all questions; its status says whether that is an error
    except Exception as error:  # an exception in this thread would be lost; the reading thread raises it
        heard.failure = error
    with suppress(OSError, ValueError):
        pipe.close()


def _answer(line: bytes, number: int, program: Program) -> Mapping[str, Any]:
    try:
        answer = orjson.loads(line)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):  # pyright: ignore[reportUnknownMemberType]
        raise AnnotatorError(
            f"{program.field}: line {number} that {program.command[0]!r} wrote is {line[:SHOWN]!r}; write one JSON "
            "object a line with the `id` of the question"
        )
    return answer  # pyright: ignore[reportUnknownVariableType]


def files_of(command: Sequence[str]) -> list[Path]:
    """Return the files among the words of a command. Their content is part of the program's identity."""
    return [Path(word) for word in command if _is_file(word)]


def identified(command: Sequence[str]) -> tuple[dict[str, JsonValue], dict[str, Artifact]]:
    """Return the identity of a program: its words, and as an input the content of the files among its words.

    The names of these files do not count, so that a program can be moved without being asked again.
    """
    files = files_of(command)
    words: list[JsonValue] = [word for word in command if not any(str(path) == word for path in files)]
    return {"kind": "command", "command": words}, {"program": of_files(files)} if files else {}


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except (OSError, ValueError):  # the word is too long for a name, or contains a null character
        return False
