"""The one writer of a study's file: what is together in a transaction, and what a reply means."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from pathlib import Path

import pytest

from burnish.errors import DataError
from burnish.people.study import writer as module
from burnish.people.study.model import NotStored
from burnish.people.study.schema import MIGRATIONS, opened, opened_to_read
from burnish.people.study.writer import GroupWriter


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "study.sqlite"


@pytest.fixture
def writer(file: Path) -> Generator[GroupWriter]:
    one = GroupWriter(opened(file))
    yield one
    one.close()


def noted(kind: str) -> Callable[[sqlite3.Connection], object]:
    return lambda db: db.execute("INSERT INTO event (at, kind, detail) VALUES (0, ?, '')", (kind,))


def kinds(file: Path) -> list[str]:
    with opened_to_read(file) as db:
        return [row[0] for row in db.execute("SELECT kind FROM event ORDER BY id")]


def test_an_operation_is_on_the_disk_when_its_future_is_answered(writer: GroupWriter, file: Path):
    writer.submit(noted("one")).result()
    assert kinds(file) == ["one"]


def test_no_future_is_answered_before_the_commit(writer: GroupWriter, file: Path, monkeypatch: pytest.MonkeyPatch):
    may_commit, at_commit, commit = threading.Event(), threading.Event(), writer.commit

    def held() -> None:
        at_commit.set()
        may_commit.wait()
        commit()

    monkeypatch.setattr(writer, "commit", held)
    future = writer.submit(noted("one"))
    assert at_commit.wait(10)
    assert not future.done()
    assert kinds(file) == []
    may_commit.set()
    future.result(10)
    assert kinds(file) == ["one"]


def test_what_waits_is_one_transaction(writer: GroupWriter, monkeypatch: pytest.MonkeyPatch):
    commits: list[int] = []
    commit, begun, may_go_on = writer.commit, threading.Event(), threading.Event()
    monkeypatch.setattr(writer, "commit", lambda: (commits.append(1), commit()))

    def slow(_: sqlite3.Connection) -> None:
        begun.set()
        may_go_on.wait()

    first: Future[object] = writer.submit(slow)
    assert begun.wait(10)
    rest = [writer.submit(noted(str(number))) for number in range(50)]
    may_go_on.set()
    for future in [first, *rest]:
        future.result(10)
    assert len(commits) == 2


def test_a_group_has_a_limit(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_TOGETHER", 3)
    writer = GroupWriter(opened(file))
    futures = [writer.submit(noted(str(number))) for number in range(10)]
    writer.close()
    assert [future.done() for future in futures] == [True] * 10
    assert kinds(file) == [str(number) for number in range(10)]


def test_an_operation_that_raises_changes_nothing_and_the_others_stay(writer: GroupWriter, file: Path):
    def half(db: sqlite3.Connection) -> None:
        noted("half")(db)
        raise DataError("no")

    futures: list[Future[object]] = [writer.submit(one) for one in (noted("before"), half, noted("after"))]
    with pytest.raises(DataError, match="no"):
        futures[1].result(10)
    futures[2].result(10)
    assert kinds(file) == ["before", "after"]


@pytest.mark.parametrize("words", ["database or disk is full", "disk I/O error"])
def test_a_commit_that_fails_is_told_to_all_who_wait(
    writer: GroupWriter, file: Path, monkeypatch: pytest.MonkeyPatch, words: str
):
    def full() -> None:
        raise sqlite3.OperationalError(words)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "commit", full)
        futures = [writer.submit(noted(kind)) for kind in "ab"]
        for future in futures:
            with pytest.raises(NotStored, match=f"{words}.*free space"):
                future.result(10)
    writer.submit(noted("c")).result(10)
    assert kinds(file) == ["c"]


def test_a_full_file_loses_nothing_that_was_acknowledged(writer: GroupWriter, file: Path):
    def limit(db: sqlite3.Connection, pages: int) -> None:
        db.execute(f"PRAGMA max_page_count = {pages}")

    pages = writer.submit(lambda db: db.execute("PRAGMA page_count").fetchone()[0]).result(10)
    writer.submit(lambda db: limit(db, pages + 2)).result(10)
    kept: list[str] = []
    for number in range(1000):
        name = f"{number:04d}" * 100
        try:
            writer.submit(noted(name)).result(10)
        except NotStored as error:
            assert "full" in str(error)  # noqa: PT017 it is not known before which one is refused
            break
        kept.append(name)
    assert 0 < len(kept) < 1000
    assert kinds(file) == kept


def test_after_closing_nothing_is_taken(file: Path):
    writer = GroupWriter(opened(file))
    writer.close()
    writer.close()
    with pytest.raises(NotStored, match="being stopped"):
        writer.submit(noted("late"))


def test_a_cancelled_operation_does_not_run(writer: GroupWriter, file: Path):
    begun, may_go_on = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> None:
        begun.set()
        may_go_on.wait()

    first = writer.submit(slow)
    assert begun.wait(10)
    assert writer.submit(noted("cancelled")).cancel()
    may_go_on.set()
    first.result(10)
    writer.submit(noted("other")).result(10)
    assert kinds(file) == ["other"]


# The file


def test_the_file_is_written_ahead_and_synced_at_every_commit(file: Path):
    with opened(file) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)


def test_an_old_file_is_brought_up_to_date_once(file: Path, monkeypatch: pytest.MonkeyPatch):
    opened(file).close()
    count = len(MIGRATIONS)
    monkeypatch.setattr("burnish.people.study.schema.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE added (id INTEGER)",)))
    monkeypatch.setattr("burnish.people.study.schema.READABLE", count + 1)
    with pytest.raises(DataError, match=rf"tables of version {count}, not {count + 1}; run `burnish study serve`"):
        opened_to_read(file)
    for _ in range(2):
        with opened(file) as db:
            assert db.execute("SELECT count(*) FROM added").fetchone()[0] == 0


def test_a_newer_file_is_left_alone(file: Path):
    with opened(file) as db:
        db.execute("PRAGMA user_version = 99")
    for way in (opened, opened_to_read):
        with pytest.raises(DataError, match=rf"newer burnish \(tables 99, known {len(MIGRATIONS)}\); upgrade"):
            way(file)


def test_another_file_is_no_study(file: Path):
    with pytest.raises(DataError, match="no such file; make a study"):
        opened_to_read(file)
    file.write_text("something else " * 100)
    for way in (opened, opened_to_read):
        with pytest.raises(DataError, match="cannot be read as a study"):
            way(file)


def test_answers_and_events_are_never_edited(file: Path):
    with opened(file) as db:
        noted("one")(db)
        for statement in ("UPDATE event SET kind = 'other'", "DELETE FROM event"):
            with pytest.raises(sqlite3.IntegrityError, match="an event is never"):
                db.execute(statement)
