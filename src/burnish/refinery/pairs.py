"""Checks of the file for preference pairs (`--pairs`), before anything is spent."""

from __future__ import annotations

import os
from pathlib import Path

from burnish.config import RefineConfig
from burnish.config.methods import GatedMethod
from burnish.errors import ConfigError
from burnish.forms.arrow import library
from burnish.forms.convert import AlsoAs
from burnish.forms.table import DataTable
from burnish.ledger.folder import LOCK, OWN
from burnish.ledger.preference_pairs import JSONL, PARQUET, is_of_pairs
from burnish.people.mailbox import ANNOTATIONS, STUDIES, WAITING

_LONGEST_NAME = 230
"""Bytes of the longest name of a file. Systems allow 255, and the file is written under a longer name at first."""


def check_pairs(
    path: Path | None, config: RefineConfig, table: DataTable, out: Path, *, overwrite: bool = False
) -> None:
    """Raise ConfigError if preference pairs cannot be written into the file `path`, or if there will be none. None
    means that no file is asked for. A file that holds anything but pairs is replaced only if `overwrite` is true.

    Raises DataError if the file is Parquet and pyarrow is not installed.
    """
    if path is None:
        return
    name = f"--pairs: {str(path)!r:.300}"
    if path.suffix.lower() not in {JSONL, PARQUET}:
        raise ConfigError(f"{name} found; give a file whose name ends in {JSONL} or {PARQUET}")
    if not isinstance(config.method, GatedMethod):
        raise ConfigError(
            f"{name}: the method {config.method.kind} compares nothing, so it makes no pairs; leave it out"
        )
    _check_place(name, path, out)
    _check_harmless(name, path, table, out)
    if path.suffix.lower() == PARQUET:
        library("pyarrow", "--pairs")
    if path.exists() and not overwrite and not is_of_pairs(path):
        raise ConfigError(
            f"{name} exists and is no file of pairs that burnish wrote; name another file, or replace it with "
            "--overwrite"
        )


def _check_place(name: str, path: Path, out: Path) -> None:
    """Raise ConfigError if no file can be written at this place."""
    try:
        length = len(os.fsencode(path.name))
    except UnicodeEncodeError:
        length = 0
    if not length or "\0" in str(path):
        raise ConfigError(f"{name} is no name of a file; name another file")
    if length > _LONGEST_NAME:
        raise ConfigError(f"{name}: the name has {length} bytes; give one of at most {_LONGEST_NAME}")
    if path.is_symlink() and not path.exists():
        raise ConfigError(f"{name} is a link to a file that does not exist; name another file")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{name} is no ordinary file; name another file")
    # The folder of the results is made when the refinement begins.
    folder = path.resolve().parent
    if not folder.is_dir() and folder != out.resolve():
        raise ConfigError(f"{name}: there is no folder {str(folder)!r:.300}; make it, or name another file")
    for place in (folder, path):
        if place.exists() and not os.access(place, os.W_OK):
            raise ConfigError(
                f"{name}: {str(place)!r:.300} cannot be written; change its permissions, or name another file"
            )


def _check_harmless(name: str, path: Path, table: DataTable, out: Path) -> None:
    """Raise ConfigError if the file is the dataset, or is among the files that the refinement itself writes."""
    # `samefile` also finds another name of the same file, such as a link.
    if path.exists() and any(Path(file).exists() and path.samefile(file) for file in table.files):
        raise ConfigError(f"{name} is the dataset itself, which would be overwritten; name another file")
    real, own = path.resolve(), out.resolve()
    names = {*OWN, table.name, *(f"refined.{kind}" for kind in AlsoAs), WAITING, ANNOTATIONS, STUDIES, LOCK}
    if real == own or (real.is_relative_to(own) and real.relative_to(own).parts[0] in names):
        raise ConfigError(f"{name} is a place that the refinement itself writes; name another file")
