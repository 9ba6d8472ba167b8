"""A user's program that is asked in JSON lines: questions on its stdin, answers on its stdout, one each, by id."""

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
from burnish.store.files import dump_line
from burnish.store.identity import of_files
from burnish.types import Artifact

T = TypeVar("T")
GATHERED_SECONDS = 0.2
SHOWN = 80
"""Bytes or characters of what a program wrote that an error shows."""


def on_stderr(message: str) -> None:
    """Say something where nobody else was named to say it to."""
    print(message, file=sys.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A user's program: its words, the setting that names it, how long it may be silent, and who hears what was odd."""

    command: tuple[str, ...]
    field: str
    timeout: float = 600.0
    """Seconds without a new answer after which the program is ended."""
    say: Callable[[str], None] = on_stderr


def converse(
    program: Program, questions: Iterable[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], T]
) -> Iterator[tuple[str, T]]:
    """Yield (id, what `read` makes of the answer) as a program's answers come; a question that it leaves out has none.

    An answer may come twice if it says the same. Answers for ids that nobody asked about are counted and said.
    Raises AnnotatorError naming the setting: the program is missing, ends with another status than 0, is silent for
    too long, writes a line that is too long or no JSON object with an `id`, or contradicts itself.
    """
    with running(program.command, program.field, program.timeout) as child:
        heard = _Heard(program, read)
        feeder = threading.Thread(target=_feed, args=(child.stdin, questions, heard), daemon=True)
        feeder.start()
        for number, line in enumerate(child.lines(), 1):
            if line.strip() and (new := heard.take(line, number)) is not None:
                child.heard = time.monotonic()
                yield new
                child.heard = time.monotonic()
        if heard.failure is not None:
            raise heard.failure
        child.finish()
        heard.say_strangers()


class _Heard(Generic[T]):
    """What a program has said so far."""

    def __init__(self, program: Program, read: Callable[[Mapping[str, Any]], T]) -> None:
        self.program, self.read = program, read
        self.asked: set[str] = set()
        self.answers: dict[str, T] = {}
        self.strangers = 0
        self.stranger = ""
        self.failure: Exception | None = None

    def take(self, line: bytes, number: int) -> tuple[str, T] | None:
        """Return a line's id and answer; None for an answer that came before, or for an id that nobody asked about."""
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
        """Say how many answers were for nobody."""
        if self.strangers:
            self.program.say(
                f"{self.program.field}: {self.strangers} answers of {self.program.command[0]!r} have an id that "
                f"nobody asked about, such as {self.stranger[:SHOWN]!r}; they are passed over: write the `id` of the "
                "question as it is"
            )


def gathered(items: Iterator[T]) -> Iterator[list[T]]:
    """Yield items in batches of a fifth of a second: each batch is one synced write, and a fast program answers
    thousands in a second. What came before a failure is yielded before it is raised."""
    batch: list[T] = []
    started = time.monotonic()
    failure: Exception | None = None
    try:
        for item in items:
            batch.append(item)
            if time.monotonic() - started >= GATHERED_SECONDS:
                yield batch
                batch, started = [], time.monotonic()
    except Exception as error:  # whatever it is
        failure = error
    yield batch
    if failure is not None:
        raise failure


def _feed(pipe: IO[bytes], questions: Iterable[Mapping[str, Any]], heard: _Heard[Any]) -> None:
    """Write the questions; an id is known before its question is out. A failure is kept for the thread that reads."""
    try:
        for question in questions:
            heard.asked.add(question["id"])
            pipe.write(dump_line(question))
            pipe.flush()
    except BrokenPipeError:
        pass  # the program ended first: its status tells
    except Exception as error:  # whatever it is: raised where somebody sees it
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
    """Return the files among a command's words: their content is part of what the program is."""
    return [Path(word) for word in command if _is_file(word)]


def identified(command: Sequence[str]) -> tuple[dict[str, JsonValue], dict[str, Artifact]]:
    """Return what identifies a program: its words, and as an input the content of the files among them."""
    files = files_of(command)
    words: list[JsonValue] = [word for word in command if not any(str(path) == word for path in files)]
    return {"kind": "command", "command": words}, {"program": of_files(files)} if files else {}


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except (OSError, ValueError):  # a word that is too long for a name, or has a null character
        return False
