"""A user's program that is asked in JSON lines: questions on its stdin, answers on its stdout, one each, by id."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import orjson
from pydantic import JsonValue

from burnish.errors import AnnotatorError
from burnish.store.files import dump_line
from burnish.store.identity import of_files
from burnish.types import Artifact

T = TypeVar("T")
GATHERED_SECONDS = 0.2
TAIL = 300
"""Characters of a failing program's stderr that its error shows."""


def converse(command: Sequence[str], questions: Iterable[Mapping[str, Any]], field: str) -> Iterator[dict[str, Any]]:
    """Yield a program's answers as they come; a question that it leaves out has none.

    Raises AnnotatorError naming `field`: the program is missing, ends with another status than 0, or writes a line that
    is no JSON object with an `id`.
    """
    with tempfile.TemporaryFile() as complaints, _running(command, field, complaints) as process:
        assert process.stdin, process
        assert process.stdout, process
        feeder = threading.Thread(target=_feed, args=(process.stdin, questions), daemon=True)
        feeder.start()
        for number, line in enumerate(process.stdout, 1):
            if line.strip():
                yield _answer(line, number, command, field)
        status = process.wait()
        feeder.join()
        if status != 0:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip()[-TAIL:] or "nothing on stderr"
            raise AnnotatorError(
                f"{field}: {command[0]!r} ended with status {status}: {said}; run again: what it answered is kept, "
                "unless the program itself is changed"
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


@contextmanager
def _running(command: Sequence[str], field: str, complaints: IO[bytes]) -> Generator[subprocess.Popen[bytes]]:
    """Start the program; it dies with us, also where its reader stops early."""
    try:
        process = subprocess.Popen(  # noqa: S603 the user's own program, without a shell
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
        )
    except OSError as error:
        raise AnnotatorError(
            f"{field}: {command[0]!r} cannot be run ({error.strerror}); give a program and its arguments as a list"
        ) from None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout, process
        process.stdout.close()


def _feed(pipe: IO[bytes], questions: Iterable[Mapping[str, Any]]) -> None:
    try:
        for question in questions:
            pipe.write(dump_line(question))
            pipe.flush()
        pipe.close()
    except (BrokenPipeError, ValueError):
        return  # the program ended first: its status tells


def _answer(line: bytes, number: int, command: Sequence[str], field: str) -> dict[str, Any]:
    try:
        answer = orjson.loads(line)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):  # pyright: ignore[reportUnknownMemberType]
        raise AnnotatorError(
            f"{field}: line {number} that {command[0]!r} wrote is {line[:80]!r}; write one JSON object a line with the "
            "`id` of the question"
        )
    return answer  # pyright: ignore[reportUnknownVariableType]


def files_of(command: Sequence[str]) -> list[Path]:
    """Return the files among a command's words: their content is part of what the program is."""
    return [path for path in map(Path, command) if path.is_file()]


def identified(command: Sequence[str]) -> tuple[dict[str, JsonValue], dict[str, Artifact]]:
    """Return what identifies a program: its words, and as an input the content of the files among them."""
    files = files_of(command)
    words: list[JsonValue] = [word for word in command if not any(str(path) == word for path in files)]
    return {"kind": "command", "command": words}, {"program": of_files(files)} if files else {}
