"""Mistakes of whoever runs a study: each is named, and nothing is left half done."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from people_at_work import begun, worked
from study_pages import COMPARISONS, made_study

from burnish.cli import main as cli
from burnish.errors import StageError
from burnish.people.mailbox import Ask, Mailbox, Purpose
from burnish.people.study.folder import StudyFolder
from burnish.people.study.reaching import backup
from burnish.people.study.schema import opened
from burnish.types import Order


def refused(*arguments: object) -> str:
    said = CliRunner().invoke(cli, ["study", *map(str, arguments)])
    assert (said.exit_code, said.stdout) == (2, ""), said.output
    assert said.exception is None or isinstance(said.exception, SystemExit)
    return said.stderr


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    return made_study(tmp_path, COMPARISONS)


@pytest.mark.parametrize("id_", ['["a"]', "{}", "true", '""'])
def test_an_id_is_a_text_or_a_number(tmp_path: Path, id_: str):
    (tmp_path / "rows.jsonl").write_text(f'{{"id": {id_}, "prompt": "q"}}\n')
    said = refused("new", tmp_path / "study", "--from", tmp_path / "rows.jsonl", "--kind", "demonstrations")
    assert "rows.jsonl:1: column 'id' is" in said
    assert "an id is a string or a whole number" in said


@pytest.mark.parametrize("option", ["--settings", "--questions"])
def test_a_file_that_is_not_there_is_named_with_its_reason(tmp_path: Path, study: StudyFolder, option: str):
    new = ("new", tmp_path / "other", "--from", tmp_path / "rows.jsonl", "--kind", "comparisons", option)
    assert "no.yaml: cannot be read (No such file or directory); check the path" in refused(*new, tmp_path / "no.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    assert "bytes.yaml: cannot be read (it is not UTF-8)" in refused(*new, tmp_path / "bytes.yaml")
    assert not (tmp_path / "other").exists()


def test_the_role_of_a_question_is_named(tmp_path: Path, study: StudyFolder):
    (study.path / "questions.yaml").write_text("[{role: work, prompt: q, first: a, second: b, expected: first}]\n")
    assert "0.role: 'work' found: input should be 'screening' or 'gold'" in refused("serve", study.path)


@pytest.mark.parametrize("verb", ["status", "serve", "export", "agreement", "submissions", "pause"])
def test_an_empty_file_is_no_study(tmp_path: Path, verb: str):
    (tmp_path / "study.sqlite").touch()
    assert "study.sqlite: holds no study; check the path, or make one" in refused(verb, tmp_path)
    assert "study.sqlite: no such file; make a study" in refused(verb, tmp_path / "nowhere")


def test_answers_go_only_to_a_folder_that_asked_for_them(tmp_path: Path, study: StudyFolder):
    with closing(opened(study.file)) as db:
        db.execute("DELETE FROM item WHERE role = 'screening'")
        worked(db, study.rules(), begun(db, study.rules(), "ann"), 0.0)
    mailbox = Mailbox(tmp_path / "refined")
    mailbox.folder.mkdir()
    into = ("export", study.path, "--into", mailbox.folder)
    assert "asked people about no pair; name the folder from which the study was made" in refused(*into)
    pair = Ask(
        id="x",
        purpose=Purpose.COMPARE,
        comparison_id="x",
        example_id="x",
        request="q",
        first="a",
        second="b",
        shown=Order.AB,
    )
    mailbox.ask([pair])
    assert "never asked for the pair 'r" in refused(*into)


def test_a_backup_is_whole_or_absent(tmp_path: Path, study: StudyFolder, monkeypatch: pytest.MonkeyPatch):
    assert "no/copy.sqlite: cannot be written (No such file or directory)" in refused(
        "backup", study.path, "--to", tmp_path / "no" / "copy.sqlite"
    )
    copy = tmp_path / "copy.sqlite"

    connect = sqlite3.connect

    def full(place: object, **more: object) -> sqlite3.Connection:
        if place == copy:
            raise sqlite3.OperationalError("database or disk is full")
        return connect(place, **more)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(StageError, match="disk is full"):
        backup(study, copy)
    assert not copy.exists()
