"""The errors that a user can meet, classed by what was wrong."""

from __future__ import annotations

import errno
import reprlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 200
"""The most characters of a value that a message shows."""
# repr() of a huge value would take seconds and megabytes. reprlib stops at these limits instead.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 8
_SHORT.maxlevel = 4


class BurnishError(Exception):
    """Base of all errors that burnish raises on purpose.

    The command line prints the message without a traceback and exits with code 2.
    """


class ConfigError(BurnishError):
    """A setting is wrong. The message names the field, the value, what is allowed and the fix."""


class DataError(BurnishError):
    """A row or a file is wrong. The message names the file and the line or id."""


class StageError(BurnishError):
    """The store cannot do what was asked: no space is left, a result is damaged, or another process holds a lock."""


class BackendError(BurnishError):
    """A model, a library or a device is missing or does not fit."""


class AnnotatorError(BurnishError):
    """The annotator cannot be asked: a server does not answer, a program fails, or its answers cannot be read."""


def error_named(name: str) -> type[BurnishError]:
    """Return the class of errors with this name. A class that this process does not know becomes StageError."""
    # Looked up when it is needed: a module that is imported later may define another one.
    return {kind.__name__: kind for kind in BurnishError.__subclasses__()}.get(name, StageError)


# Not a BurnishError: nothing is wrong, and the exit code is another one.
class Paused(Exception):  # noqa: N818 not a mistake: the work waits
    """The work waits for people, for an audit or for a larger budget. Finished work is kept. The exit code is 3.

    `command`, of one or more lines, continues the work.
    """

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message)
        self.message, self.command = message, command


class PeopleAwaited(Paused):
    """The work waits for people who judge pairs.

    `ways` are commands with which people judge them, `folder` is where the pairs are, and `pairs` are their ids.
    """

    def __init__(self, message: str, ways: str, folder: Path, pairs: frozenset[str]) -> None:
        super().__init__(message, f"{ways}\nthen")
        self.ways, self.folder, self.pairs = ways, folder, pairs


def brief(value: object) -> str:
    """Return a value as an error message shows it: as Python writes it, cut to 200 characters with `...` at the end.

    It works for any value of a user, even one of megabytes, with a thousand levels, or with more digits than Python
    writes.
    """
    try:
        text = _SHORT.repr(value)
    except (RecursionError, ValueError):
        # RecursionError comes from deep nesting; ValueError from an int with more digits than Python writes.
        return f"a value of type {type(value).__name__}"
    # reprlib limits each level. A nested value can still become long, so the whole text is cut too.
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


_NAMED = {errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS, errno.EILSEQ}
"""Refusals about one file: a bad name, a loop of links, or a missing permission."""
_UNNAMED = {errno.EFBIG, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
"""Refusals for lack of something: space, a larger limit, or free file handles."""


@contextmanager
def system_refusals() -> Generator[None, None, None]:
    """Turn a refusal by the operating system that the user can fix into a StageError that names the file.

    It is used around whole verbs, because a name that is too long may be met wherever a path is used. A
    missing file is not handled here: the code that opens the file knows better what to say.

    Raises StageError for a file that cannot be opened or written, for a full disk, and for a text with half a
    character.
    """
    try:
        yield
    except OSError as error:
        name = error.filename
        # The message of the operating system is kept, because it says what is wrong in words that can be searched.
        if error.errno in _NAMED and name is not None:
            raise StageError(f"{brief(name)}: {error.strerror}; check the name and the permissions") from error
        if error.errno in _UNNAMED:
            prefix = f"{brief(name)}: " if name is not None else ""
            raise StageError(
                f"{prefix}{error.strerror}; free space or raise the limit (see `ulimit -a`), and run the same command "
                "again: finished work is kept"
            ) from error
        raise
    except RuntimeError as error:
        # Python 3.11 and 3.12 raise this for links that lead to one another, with the path in the text.
        if not str(error).startswith("Symlink loop"):
            raise
        raise StageError(
            f"{brief(str(error))}: links lead to one another; remove them or name another place"
        ) from error
    except UnicodeEncodeError as error:
        # Another encoding, such as that of a terminal, is not the fault of the text.
        if error.encoding != "utf-8":
            raise
        raise StageError(
            f"{brief(error.object)}: cannot be written as {error.encoding}: it holds half a character (a lone "
            "surrogate); write the whole character"
        ) from error
