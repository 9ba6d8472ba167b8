"""The errors a user can meet, classed by the boundary that was crossed."""

from __future__ import annotations

import reprlib

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
