"""Changes a study from another terminal: through the process that serves it, or directly if nobody does."""

from __future__ import annotations

import os
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from burnish.errors import DataError, StageError
from burnish.people.study.folder import StudyFolder
from burnish.people.study.schema import opened
from burnish.store.files import explained_write_errors, read_rows

SERVING = "serving.json"
"""The file that says where a study is served. It has the administrator's token, and only its owner can read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAt:
    """The administrator's address of a study that is served, and the token for it."""

    admin: str
    token: str


def change(
    study: StudyFolder, path: str, form: Mapping[str, str], directly: Callable[[sqlite3.Connection], None]
) -> None:
    """Change a study. `path` and `form` are what the administrator's page would send, and `directly` does the same.

    Raises DataError if the study refuses the change, and StageError if the process that serves it does not answer.
    """
    study.check()
    served = served_at(study)
    if served is None:
        with study.locked(), closing(opened(study.file)) as db:
            db.execute("BEGIN IMMEDIATE")
            directly(db)
            db.execute("COMMIT")
        return
    request = urllib.request.Request(  # noqa: S310 the address is that of our own process
        served.admin + path,
        data=urlencode(form).encode(),
        headers={"Authorization": f"Bearer {served.token}", "Origin": served.admin},
    )
    try:
        # No proxy of the environment: the address is on this machine.
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        raise DataError(error.read().decode(errors="replace")[:500]) from None
    except OSError as error:
        raise StageError(
            f"{study.path}: the process that serves it does not answer ({error}); wait, or stop it and try again"
        ) from None


def served_at(study: StudyFolder) -> ServedAt | None:
    """Return where a study is served, or None if no process holds its lock."""
    try:
        with study.locked():
            return None
    except StageError:
        rows = read_rows(study.path / SERVING, ServedAt) if (study.path / SERVING).exists() else []
        if not rows:
            raise
        return rows[0]


def backup(study: StudyFolder, to: Path) -> None:
    """Copy the file with the answers while the study may be served. The copy is whole.

    Raises DataError if there is such a file already, and StageError if the copy cannot be written.
    """
    if os.path.lexists(to):
        raise DataError(f"{to}: exists already; name another file")
    with study.opened_to_read() as db:
        with explained_write_errors(to):
            # Nobody but the owner reads who took part.
            os.close(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            with closing(sqlite3.connect(to)) as copy:
                db.backup(copy)
        except sqlite3.Error as error:
            # A part of a backup is worse than none.
            to.unlink(missing_ok=True)
            raise StageError(f"{to}: the copy cannot be written ({error}); name another place") from None
