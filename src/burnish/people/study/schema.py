"""The tables of a study's file, as numbered migrations."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from burnish.errors import DataError

FILE = "study.sqlite"
"""The name of the file in the folder of a study."""
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE study (
            id INTEGER PRIMARY KEY CHECK (id = 1), kind TEXT NOT NULL, settings TEXT NOT NULL, secret BLOB NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'paused', 'closed')), source TEXT NOT NULL,
            created REAL NOT NULL, frozen REAL)""",
        """CREATE TABLE item (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL
            CHECK (role IN ('work', 'screening', 'check')), prompt TEXT NOT NULL, a TEXT NOT NULL, b TEXT NOT NULL,
            a_source TEXT NOT NULL, b_source TEXT NOT NULL, example_id TEXT NOT NULL, expected TEXT NOT NULL,
            wanted INTEGER NOT NULL CHECK (wanted >= 0), weight REAL NOT NULL, why TEXT NOT NULL)""",
        "CREATE INDEX item_by_role ON item (role)",
        # The key is a keyed hash of platform and id. Without the secret of the study it names nobody.
        """CREATE TABLE participant (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, public TEXT NOT NULL UNIQUE)""",
        # The only place of the platform's ids.
        """CREATE TABLE identity (
            participant INTEGER PRIMARY KEY REFERENCES participant, platform TEXT NOT NULL, platform_id TEXT NOT NULL,
            study_id TEXT NOT NULL, session_id TEXT NOT NULL)""",
        """CREATE TABLE attempt (
            id INTEGER PRIMARY KEY, participant INTEGER NOT NULL UNIQUE REFERENCES participant,
            session TEXT NOT NULL UNIQUE, state TEXT NOT NULL CHECK (state IN ('arrived', 'consented', 'screening',
            'working', 'finished', 'screened_out', 'timed_out', 'withdrawn')), arrived REAL NOT NULL, consented REAL,
            ended REAL, deadline REAL, code TEXT)""",
        "CREATE INDEX attempt_by_deadline ON attempt (deadline) WHERE state IN ('consented', 'screening', 'working')",
        # `trial` counts the tries of the screening. Everything else has only the first.
        """CREATE TABLE assignment (
            id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL REFERENCES attempt, item INTEGER NOT NULL REFERENCES item,
            trial INTEGER NOT NULL DEFAULT 1, position INTEGER NOT NULL, shown TEXT CHECK (shown IN ('ab', 'ba')),
            token TEXT NOT NULL UNIQUE, state TEXT NOT NULL
            CHECK (state IN ('planned', 'shown', 'answered', 'released', 'voided')), first_shown REAL,
            UNIQUE (attempt, item, trial), UNIQUE (attempt, position))""",
        "CREATE INDEX assignment_by_item ON assignment (item, state)",
        "CREATE TABLE draft (assignment INTEGER PRIMARY KEY REFERENCES assignment, text TEXT NOT NULL, saved REAL)",
        """CREATE TABLE answer (
            id INTEGER PRIMARY KEY, assignment INTEGER NOT NULL UNIQUE REFERENCES assignment, value INTEGER,
            text TEXT NOT NULL, note TEXT NOT NULL, received REAL NOT NULL, seconds REAL NOT NULL,
            late INTEGER NOT NULL, early INTEGER NOT NULL)""",
        "CREATE INDEX answer_by_time ON answer (received)",
        """CREATE TRIGGER answers_are_not_edited BEFORE UPDATE ON answer
            BEGIN SELECT RAISE(ABORT, 'an answer is never edited'); END""",
        """CREATE TABLE review (
            id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL REFERENCES attempt, verdict TEXT NOT NULL
            CHECK (verdict IN ('accept', 'reject')), reason TEXT NOT NULL, at REAL NOT NULL)""",
        "CREATE INDEX review_by_attempt ON review (attempt)",
        "CREATE TABLE feedback (attempt INTEGER PRIMARY KEY REFERENCES attempt, text TEXT NOT NULL, at REAL NOT NULL)",
        """CREATE TABLE event (
            id INTEGER PRIMARY KEY, at REAL NOT NULL, attempt INTEGER, kind TEXT NOT NULL, detail TEXT NOT NULL)""",
        "CREATE INDEX event_by_attempt ON event (attempt)",
        """CREATE TRIGGER events_are_not_edited BEFORE UPDATE ON event
            BEGIN SELECT RAISE(ABORT, 'an event is never edited'); END""",
        """CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON event
            BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END""",
    ),
    # The role gold. SQLite cannot change a CHECK, so the table is copied.
    (
        """CREATE TABLE item_new (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL
            CHECK (role IN ('work', 'screening', 'check', 'gold')), prompt TEXT NOT NULL, a TEXT NOT NULL,
            b TEXT NOT NULL, a_source TEXT NOT NULL, b_source TEXT NOT NULL, example_id TEXT NOT NULL,
            expected TEXT NOT NULL, wanted INTEGER NOT NULL CHECK (wanted >= 0), weight REAL NOT NULL,
            why TEXT NOT NULL)""",
        "INSERT INTO item_new SELECT * FROM item",
        "DROP TABLE item",
        "ALTER TABLE item_new RENAME TO item",
        "CREATE INDEX item_by_role ON item (role)",
    ),
)
"""A change of the tables is a new entry at the end. Entries that were released are never changed."""
READABLE = 1
"""The oldest tables that can be read as they are. Later migrations changed only what may be written."""


def opened(place: Path | str) -> sqlite3.Connection:
    """Open a study's file for writing, and bring its tables up to date. `":memory:"` is a file in memory, for tests.

    Raises DataError if a newer burnish wrote the file, or if it is no database.
    """
    db = connected(place, f"{place}")
    # FULL: a commit is on the disk before anybody is told about it.
    # secure_delete: what is deleted is overwritten, so that a forgotten id is not left in a free page.
    # foreign_keys: off while tables are copied, because dropping the old one would delete what refers to it.
    settings = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "busy_timeout = 10000")
    for setting in (*settings, "foreign_keys = OFF"):
        _told(db, f"PRAGMA {setting}", place)
    _migrate(db, place)
    _told(db, "PRAGMA foreign_keys = ON", place)
    return db


def opened_to_read(path: Path) -> sqlite3.Connection:
    """Open a study's file for reading. A process that writes it at the same time is not disturbed.

    Raises DataError if the file does not exist or is no study.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; make a study with `burnish study new`")
    db = connected(f"{path.absolute().as_uri()}?mode=ro", str(path), uri=True)
    _told(db, "PRAGMA busy_timeout = 10000", path)
    version = _version(db, path)
    if version == 0:
        db.close()
        raise DataError(f"{path}: holds no study; check the path, or make one with `burnish study new`")
    if version < READABLE:
        db.close()
        raise DataError(
            f"{path}: has tables of version {version}, not {len(MIGRATIONS)}; run `burnish study serve` once"
        )
    if version > len(MIGRATIONS):
        db.close()
        raise _too_new(version, path)
    return db


def connected(place: Path | str, name: str, uri: bool = False) -> sqlite3.Connection:
    """Return a connection in which transactions are begun and ended by hand. Raises DataError if it does not open."""
    try:
        # Only one thread at a time uses a connection, but not always the thread that opened it.
        db = sqlite3.connect(place, isolation_level=None, check_same_thread=False, uri=uri)
    except sqlite3.Error as error:
        raise DataError(f"{name}: cannot be opened ({error}); check the path") from None
    db.row_factory = sqlite3.Row
    return db


def _told(db: sqlite3.Connection, statement: str, place: Path | str) -> None:
    try:
        db.execute(statement)
    except sqlite3.DatabaseError as error:
        raise DataError(f"{place}: cannot be read as a study ({error}); check the path") from None


def _version(db: sqlite3.Connection, place: Path | str) -> int:
    try:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise DataError(f"{place}: cannot be read as a study ({error}); check the path") from None


def _migrate(db: sqlite3.Connection, place: Path | str) -> None:
    """Run the migrations that the file has not seen, each in one transaction with its number."""
    version = _version(db, place)
    if version > len(MIGRATIONS):
        raise _too_new(version, place)
    for number in range(version, len(MIGRATIONS)):
        db.execute("BEGIN IMMEDIATE")
        for statement in MIGRATIONS[number]:
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number + 1}")
        db.execute("COMMIT")


def _too_new(version: int, place: Path | str) -> DataError:
    known = len(MIGRATIONS)
    return DataError(f"{place}: was written by a newer burnish (tables {version}, known {known}); upgrade burnish")
