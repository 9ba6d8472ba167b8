"""The folder of a study: its settings, its texts, its check questions, its file of answers, and its lock."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from burnish.config.reading import checked
from burnish.config.study import CompletionCode, StudyKind, StudySettings
from burnish.config.yaml_text import read_yaml
from burnish.errors import ConfigError, StageError
from burnish.people.study import managing, reading
from burnish.people.study.beside import note_study
from burnish.people.study.intake import read_checks, read_items
from burnish.people.study.model import ItemRole, StudyItem
from burnish.people.study.schema import FILE, opened, opened_to_read
from burnish.people.study.texts import PageTexts, default_file, default_texts, read_texts, why_unread
from burnish.store.files import PART, explained_write_errors

SETTINGS, QUESTIONS, TEXT_FOLDER, LOCK = "study.yaml", "questions.yaml", "texts", "study.lock"
_RULES: TypeAdapter[StudySettings] = TypeAdapter(StudySettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFolder:
    """A study as its folder describes it."""

    path: Path

    @property
    def file(self) -> Path:
        """The file with the answers."""
        return self.path / FILE

    def rules(self) -> StudySettings:
        """Return the settings in `study.yaml`. Raises ConfigError if they are wrong."""
        return read_rules(self.path / SETTINGS)

    def checks(self, kind: StudyKind) -> list[StudyItem]:
        """Return the check questions. Raises ConfigError if the file is wrong."""
        return read_checks(_text(self.path / QUESTIONS), str(self.path / QUESTIONS), kind)

    def texts(self, rules: StudySettings) -> PageTexts:
        """Return the texts of the pages. Raises ConfigError if a file is missing or wrong."""
        # People are told of screening pairs and checks. Gold pairs are part of the work to them.
        told = sum(one.role is not ItemRole.GOLD for one in self.checks(rules.kind))
        with self.opened_to_read() as db:
            items = reading.counts(db, 0.0).items
        return read_texts(self.path / TEXT_FOLDER, rules, told, items)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other processes from serving or changing the study. Raises StageError if one does so already."""
        self.check()
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StageError(f"{self.path}: another process serves this study; stop it first") from None
        try:
            yield
        finally:
            lock.release()

    def check(self) -> None:
        """Raise DataError if this is not the folder of a study."""
        opened_to_read(self.file).close()

    def opened_to_read(self) -> closing[sqlite3.Connection]:
        """Open the file with the answers for reading, also while the study is served.

        Raises DataError if it is no study.
        """
        return closing(opened_to_read(self.file))


def read_rules(path: Path) -> StudySettings:
    """Read the settings of a study from a YAML file. Raises ConfigError, which lists everything that is wrong."""
    return _checked_rules(read_yaml(_text(path), str(path)), str(path))


def _checked_rules(values: Any, name: str) -> StudySettings:
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: {type(values).__name__} found; write a mapping of settings")
    return checked(_RULES, cast("dict[str, Any]", values), name)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({why_unread(error)}); check the path and the file") from None


def new_study(
    path: Path,
    source: Path,
    kind: StudyKind,
    settings: Path | None = None,
    most: int | None = None,
    questions: Path | None = None,
) -> StudyFolder:
    """Make the folder of a new study. It is either complete or absent. A refinement or run whose pairs are its items
    notes where it is.

    `settings` is a file with settings that differ from the defaults. `most` draws so many items at random. `questions`
    is a file of check questions in place of the paper's. Raises ConfigError if the folder exists, or a setting or a
    question is wrong, and DataError if the items cannot be read.
    """
    if os.path.lexists(path):
        raise ConfigError(f"{path}: exists already; name another folder for the study")
    rules = _with_codes(_given(settings, kind))
    asked = default_file(f"{kind}/{QUESTIONS}") if questions is None else _text(questions)
    checks = read_checks(asked, QUESTIONS if questions is None else str(questions), kind)
    items = read_items(source, kind, most, rules.seed)
    beside = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    with explained_write_errors(path):
        try:
            (beside / TEXT_FOLDER).mkdir(parents=True)
            (beside / SETTINGS).write_text(_as_yaml(rules), encoding="utf-8")
            (beside / QUESTIONS).write_text(asked, encoding="utf-8")
            for name, text in default_texts(kind).items():
                (beside / TEXT_FOLDER / name).write_text(text, encoding="utf-8")
            # Nobody but the owner reads who took part.
            os.close(os.open(beside / FILE, os.O_CREAT | os.O_WRONLY, 0o600))
            with closing(opened(beside / FILE)) as db:
                db.execute("BEGIN")
                managing.create(db, rules, [*items, *checks], str(source), time.time())
                db.execute("COMMIT")
            if source.is_dir() and kind is StudyKind.COMPARISONS:
                note_study(source, path)
            beside.rename(path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return StudyFolder(path=path)


def _given(settings: Path | None, kind: StudyKind) -> StudySettings:
    if settings is None:
        return _checked_rules({"kind": kind}, "settings")
    values: Any = read_yaml(_text(settings), str(settings))
    if isinstance(values, dict | None):
        values = {"kind": str(kind), **cast("dict[str, Any]", values or {})}
    rules = _checked_rules(values, str(settings))
    if rules.kind is not kind:
        raise ConfigError(f"{settings}: kind is {rules.kind}, but --kind is {kind}; make them equal")
    return rules


def _with_codes(rules: StudySettings) -> StudySettings:
    """Return the settings with a code for each end."""
    codes = rules.codes
    for name in ("complete", "screened_out", "partial"):
        one: CompletionCode = getattr(codes, name)
        if one.code is None:
            drawn = CompletionCode(code=secrets.token_hex(4).upper(), address=one.address)
            codes = codes.model_copy(update={name: drawn})
    return rules.model_copy(update={"codes": codes})


def _as_yaml(rules: StudySettings) -> str:
    head = (
        "# The settings of this study. They can be changed until the first person arrives, while it is not served.\n"
        "# docs/study-config.md describes them.\n"
    )
    values = rules.model_dump(mode="json")
    # The kind first: it decides what the others may be.
    ordered = {"kind": values.pop("kind"), **values}
    return head + yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True)  # pyright: ignore[reportUnknownMemberType]


def source_of(study: StudyFolder) -> str:
    """Return the folder or file from which the items of a study came."""
    with study.opened_to_read() as db:
        return reading.source_of(db)
