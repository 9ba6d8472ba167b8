"""The errors a user can meet, classed by the boundary that was crossed."""

from __future__ import annotations

import errno
import reprlib
from collections.abc import Generator
from contextlib import contextmanager

_LONGEST = 200
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 8
_SHORT.maxlevel = 4


class BurnishError(Exception):
    """Base of all errors that burnish raises on purpose; the command line prints the message and exits with 2."""


class ConfigError(BurnishError):
    """A setting is wrong: the message names the field, the value, what is allowed and the fix."""


class DataError(BurnishError):
    """A row or a file is wrong: the message names the file and the line or id."""


class StageError(BurnishError):
    """The store cannot do what was asked: no space, a damaged result, a lock held by somebody else."""


class BackendError(BurnishError):
    """A model, a library or a device is missing or does not fit."""


class AnnotatorError(BurnishError):
    """Who compares cannot be asked: a server is not there, a program fails, its answers cannot be read."""


class Paused(Exception):  # noqa: N818 not a mistake: the work waits
    """The work waits for people, an audit or a larger budget; what is done is kept. Exit code 3.

    `command`, of one or more lines, goes on from here.
    """

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message)
        self.message, self.command = message, command


def brief(value: object) -> str:
    """Return a value as an error shows it: as Python writes it, at most 200 characters, the rest as `...`.

    A user's value may have megabytes, a thousand levels, or more digits than Python writes.
    """
    try:
        text = _SHORT.repr(value)
    except (RecursionError, ValueError):
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


_NAMED = {errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS, errno.EILSEQ}
_UNNAMED = {errno.EFBIG, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}


@contextmanager
def system_refusals() -> Generator[None, None, None]:
    """Turn what the operating system refuses, and the user can mend, into a StageError that names the file.

    It stands around whole verbs: a name that is too long may be met wherever a path is looked at. A missing file is
    not among them; whoever opens a file knows what to say of it.
    """
    try:
        yield
    except OSError as error:
        name = error.filename
        if error.errno in _NAMED and name is not None:
            raise StageError(f"{brief(name)}: {error.strerror}; check the name and the permissions") from error
        if error.errno in _UNNAMED:
            where = f"{brief(name)}: " if name is not None else ""
            raise StageError(
                f"{where}{error.strerror}; free space or raise the limit (see `ulimit -a`), and run the same command "
                "again: finished work is kept"
            ) from error
        raise
    except UnicodeEncodeError as error:
        if error.encoding != "utf-8":  # a terminal's, say
            raise
        raise StageError(
            f"{brief(error.object)}: cannot be written as {error.encoding}: it holds half a character (a lone "
            "surrogate); write the whole character"
        ) from error
