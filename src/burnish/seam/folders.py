"""The folders into which the verbs of `seam` write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from burnish.errors import ConfigError
from burnish.people.mailbox import ANNOTATIONS, STUDIES, WAITING

MAILBOX = (WAITING, ANNOTATIONS, STUDIES)
"""The files for people who judge. A verb that waits for people finds them in its folder when it goes on."""


def check_out(out: Path, overwrite: bool, files: Sequence[str]) -> None:
    """Raise ConfigError if a folder holds results, or anything else that must not be replaced.

    `files` are the names of what is written there, the last one last. A folder without that one, and with nothing else,
    is that of a run which was stopped: it may go on.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out: {str(out)!r} is no folder; name another place")
    there = {path.name for path in out.iterdir()} if out.exists() else set[str]()
    if overwrite or (there <= {*files, *MAILBOX} and files[-1] not in there):
        return
    raise ConfigError(f"--out: {str(out)!r} is not empty; name another folder, or replace its files with --overwrite")


def check_file(to: Path, overwrite: bool) -> None:
    """Check that a file is new or may be replaced. Raises ConfigError else."""
    if to.exists() and not overwrite:
        raise ConfigError(f"--to: {str(to)!r} exists; name another file, or replace it with --overwrite")
