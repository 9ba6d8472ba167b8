"""Programs that the system would not start, and those that it would. None of them is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.errors import ConfigError
from burnish.services.startable import check_startable


def program(folder: Path, text: str | bytes, mode: int = 0o755, name: str = "judge") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return str(path)


def refused(*command: str) -> str:
    """Return why a command is refused."""
    with pytest.raises(ConfigError) as error:
        check_startable(command, "annotator.command")
    head, _, why = str(error.value).partition(" cannot be run (")
    assert head == f"annotator.command: {command[0]!r}"
    assert why.endswith("); give a program and its arguments")
    return why.removesuffix("); give a program and its arguments")


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program(tmp_path, "#!/bin/sh\n")
    assert refused("./no-such-program") == "there is no such program"
    assert refused("no-such-program-anywhere", "x") == "there is no such program"
    assert refused("judge") == "it is not in PATH; write ./judge for the file in this folder"
    assert refused(str(tmp_path)) == "it is a folder"
    assert refused("") == "its name is empty"
    assert refused("./judge", "a\0b") == "a word of it contains a null character"


def test_what_may_not_be_executed(tmp_path: Path) -> None:
    path = program(tmp_path, "#!/bin/sh\n", mode=0o644)
    assert refused(path) == "it is not executable; run chmod +x on it, or put its interpreter before it"


def test_a_first_line_that_the_system_cannot_follow(tmp_path: Path) -> None:
    path = program(tmp_path, "#!/no/such/python3\nprint()\n")
    assert refused(path) == "its first line names the interpreter '/no/such/python3', which is not there"
    for text in ("#!/bin/sh\r\n", "#!/usr/bin/env python3\r\n", "#! /bin/sh -e\r\n"):
        path = program(tmp_path, text)
        assert refused(path).startswith("its first line ends with a carriage return; save the file")
        with pytest.raises((OSError, subprocess.CalledProcessError)):  # the system agrees
            subprocess.run([path], check=True)
    path = program(tmp_path, "#!/usr/bin/env no-such-program-anywhere\n")
    assert refused(path) == "its first line names the interpreter 'no-such-program-anywhere', which is not in PATH"
    path = program(tmp_path, "print()\n")
    assert refused(path).startswith("it is no compiled program, and its first line does not name an interpreter")
    with pytest.raises(OSError, match="Exec format error"):  # the system agrees
        subprocess.run([path], check=False)


@pytest.mark.parametrize("words", [("judge.py",), ("-u", "judge.py"), ("-u", "-B", "judge.py", "--strict")])
def test_a_script_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(sys.executable, *words) == "its script 'judge.py' does not exist"
    program(tmp_path, "", name="judge.py")
    check_startable((sys.executable, *words), "annotator.command")


def test_what_can_be_started_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "started"
    path = program(tmp_path, f"#!/bin/sh\ntouch {trace}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for command in ((path,), ("judge", "anything"), ("sh", path), ("sh", "-c", "cat missing"), ("cat", "missing.py")):
        check_startable(command, "annotator.command")
    check_startable((sys.executable, "-m", "no_such_module"), "annotator.command")  # what -m names is not looked up
    assert not trace.exists()


@pytest.mark.parametrize(
    "command",
    [
        ("bash", "-O", "extglob", "x.sh"),
        ("bash", "+O", "extglob", "x.sh"),
        ("sh", "+e", "x.sh"),
        ("sh", "-s", "argument"),
        ("bash", "script-in-path"),
        ("env", "VARIABLE=1", "sh", "x.sh"),
        (sys.executable, "-X", "utf8", "x.py"),
        (sys.executable, "-W", "ignore", "x.py"),
        (sys.executable, "-"),
    ],
)
def test_a_command_that_may_work_is_not_refused(command: tuple[str, ...]) -> None:
    """Only the interpreter itself knows what these arguments mean."""
    check_startable(command, "annotator.command")


@pytest.mark.parametrize("line", ["#!/usr/bin/env -S sh -e", "#!/usr/bin/env A=1", "#! /bin/sh", "#!/usr/bin/env sh"])
def test_first_lines_that_the_system_follows(tmp_path: Path, line: str) -> None:
    check_startable((program(tmp_path, f"{line}\n"),), "annotator.command")


def test_a_program_that_may_not_be_read(tmp_path: Path) -> None:
    """It may be started all the same. (The superuser may read it.)"""
    check_startable((program(tmp_path, b"\x7fELF\0\0", mode=0o111),), "annotator.command")
