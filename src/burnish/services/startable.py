"""Says whether a user's program can be started, without starting it: a program may do something as soon as it runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from burnish.errors import ConfigError, brief

_SCRIPT_READERS = ("python", "pypy")
"""Programs whose first argument is the file of a script. A version may follow the name, as in `python3.12`.

Shells, perl, node and others have more ways to find their script. A command that works must never be refused, so their
arguments are not looked at.
"""
_PLAIN_FLAGS = frozenset({"-u", "-B", "-E", "-I", "-O", "-OO", "-s", "-S"})
"""Flags of Python without a value: the script comes after them."""
_BINARIES = (b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")
"""The first bytes of a compiled program: on Linux, on Windows and on macOS.

Other systems than Windows can be set up to run its programs, too.
"""
_HEAD = 256


def check_startable(command: Sequence[str], field: str) -> None:
    """Check that the system would start a program. The program is not started.

    Raises ConfigError, which names `field`, if the program is missing or the system would refuse to start it. An error
    that shows only while the program runs is not found here.
    """
    if why := _obstacle(command):
        raise ConfigError(f"{field}: {command[0][:200]!r} cannot be run ({why}); give a program and its arguments")


def _obstacle(command: Sequence[str]) -> str | None:
    """Return why a command cannot be started, or None if it can be started as far as one can see."""
    name, *arguments = command
    if not name or any("\0" in word for word in command):
        return "its name is empty" if not name else "a word of it contains a null character"
    # This is what the system does: a name with a slash is a path, and any other name is looked for in PATH.
    found = shutil.which(name)
    if found is None:
        return _why_not_found(name)
    try:
        with Path(found).open("rb") as file:
            head = file.read(_HEAD)
    except OSError:  # a program may be executable without being readable
        head = _BINARIES[0]
    return _flaw_of_head(head) or _missing_script(name, arguments)


def _why_not_found(name: str) -> str:
    if os.path.isdir(name):
        return "it is a folder"
    if os.path.dirname(name) and os.path.isfile(name):
        return "it is not executable; run chmod +x on it, or put its interpreter before it"
    if os.path.isfile(name):
        return f"it is not in PATH; write ./{name} for the file in this folder"
    return "there is no such program"


def _flaw_of_head(head: bytes) -> str | None:
    """Return what is wrong with the beginning of an executable file, or None if the system can run it."""
    if head.startswith(b"#!"):
        return _flaw_of_first_line(head[2:].split(b"\n")[0].decode(errors="replace"))
    # A text without #! is refused by the system (Exec format error), although a shell would run it.
    if head.startswith(_BINARIES) or b"\0" in head:
        return None
    return "it is no compiled program, and its first line does not name an interpreter (such as #!/usr/bin/env python3)"


def _flaw_of_first_line(line: str) -> str | None:
    """Return what is wrong with the words after `#!`, or None if the system can follow them."""
    # The system takes the carriage return of Windows for a part of the name.
    if line.endswith("\r"):
        return "its first line ends with a carriage return; save the file with the line ends of Unix"
    interpreter, *arguments = line.split() or [""]
    if not os.access(interpreter, os.X_OK) or os.path.isdir(interpreter):
        return f"its first line names the interpreter {brief(interpreter)}, which is not there"
    # `env` looks for its first argument in PATH, unless that is a flag or sets a variable.
    if os.path.basename(interpreter) == "env" and arguments and not arguments[0].startswith("-"):
        name = arguments[0]
        if "=" not in name and shutil.which(name) is None:
            return f"its first line names the interpreter {brief(name)}, which is not in PATH"
    return None


def _missing_script(name: str, arguments: Sequence[str]) -> str | None:
    """Return why an interpreter would end at once, or None.

    It ends at once if the script that it should read does not exist.
    """
    if os.path.basename(name).rstrip("0123456789.") not in _SCRIPT_READERS:
        return None
    script = next((word for word in arguments if word not in _PLAIN_FLAGS), None)
    # Any other flag (`-m`, `-c`, ...) may take the next word as its value. Then it is not known what the script is.
    if script is None or script.startswith("-"):
        return None
    return None if os.path.exists(script) else f"its script {brief(script)} does not exist"
