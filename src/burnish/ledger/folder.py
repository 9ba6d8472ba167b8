"""The folder of a refinement: ledger, answers, examples, dataset, summary. Lines are only ever added to the ledger."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from burnish.config import DataConfig, RefineSettings
from burnish.errors import ConfigError, DataError, StageError, brief
from burnish.forms.convert import AlsoAs, convert
from burnish.forms.table import open_table
from burnish.ledger.differing import differences
from burnish.ledger.originals import ORIGINALS, read_originals, write_originals
from burnish.ledger.replay import replayed
from burnish.ledger.summary import SUMMARY, Summary, read_summary
from burnish.ledger.touched import has_reverts, texts_at, touched_rows
from burnish.store.files import (
    as_mapping,
    dump_line,
    explained_write_errors,
    iter_rows,
    pretty,
    read_objects,
    replacing,
    row_maker,
    row_of,
    write_atomic,
)
from burnish.store.keyed_rows import KeyedRows
from burnish.store.keys import packed
from burnish.types import Demonstration, Example, Refinement

LEDGER = "ledger.jsonl"
ANSWERS = "answers.jsonl"
EXAMPLES = "examples.jsonl"
MODEL = "model"
REPORT = "report.html"
CONFIG = "config.yaml"
LOCK = ".lock"
OWN = (SUMMARY, LEDGER, ANSWERS, EXAMPLES, MODEL, REPORT, CONFIG, ORIGINALS)
"""Everything that a refinement writes, except the dataset and what people said."""
_SHOWN = 6
"""How many settings that differ a message names."""
_SAME_SETTINGS = "the settings are the same; the dataset, a model, a program or burnish itself has changed since then"
_UNFINISHED = re.compile(r"\.(?:.+)\.(?:part|gone)")
"""The name of a file that was half written, or of a folder that was half removed, when a run was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingChange:
    """A row whose label is changed at present: by which round, from which answer to which. Answers are given by id."""

    example_id: str
    round: int
    before: str
    after: str


def answer_line(answer: Demonstration) -> dict[str, Any]:
    """Return a line of `answers.jsonl`: an answer together with the id by which the ledger names it."""
    return {"id": answer.id, **as_mapping(answer)}


def answer_of_line(values: dict[str, Any]) -> Demonstration:
    """Return the answer of a line of `answers.jsonl`. Raises pydantic's ValidationError if a value does not fit."""
    # The id is no field of the answer: it is a hash of the other fields.
    return _ANSWER({name: value for name, value in values.items() if name != "id"})


_ANSWER = row_maker(Demonstration)


def read_answers(path: Path) -> Iterator[tuple[str, Demonstration]]:
    """Yield the ids and answers of `answers.jsonl`. Raises DataError naming file and line if a line cannot be read."""
    for number, values in read_objects(path):
        # The id is no field of the answer: it is a hash of the other fields.
        id_ = values.pop("id", "")
        yield id_, row_of(values, Demonstration, f"{path}:{number}")


class Folder:
    """Reads and writes the files of a refinement.

    Each file is written beside the old one and then renamed, so a kill leaves either the old file or the new one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def summary(self) -> Summary:
        """Read the summary. Raises DataError if the folder holds no refinement, StageError if the summary is
        damaged."""
        return read_summary(self.path)

    def write_summary(self, summary: Summary) -> None:
        """Write the summary. Call this last, so that everything that the summary names exists."""
        write_atomic(self.path / SUMMARY, pretty(summary.model_dump(mode="json")))

    def examples(self) -> Iterator[Example]:
        """Yield the usable rows in the order of the dataset. Their metadata says where they are in it. Raises DataError
        if the file is missing."""
        return iter_rows(self._existing(EXAMPLES), Example)

    def ledger(self) -> Iterator[Refinement]:
        """Yield every line of the ledger, the oldest first. Yields nothing before the first round is done."""
        path = self.path / LEDGER
        # The file is read line by line, since a ledger has a line for each row and round.
        return iter_rows(path, Refinement) if path.exists() else iter(())

    def answers(self, ids: Iterable[str]) -> dict[str, Demonstration]:
        """Read the answers with these ids. Raises DataError if one is missing."""
        # The file may be larger than memory, so only the wanted answers are read.
        wanted, path = set(ids), self._existing(ANSWERS)
        rows = KeyedRows(path, Demonstration, "id", np.unique(packed(id_.encode() for id_ in wanted)), answer_of_line)
        answers = dict(rows.items())
        if missing := sorted(wanted - answers.keys()):
            raise DataError(f"{path}: the answer {missing[0]} is missing; run `burnish refine` again")
        return answers

    def examples_of(self, ids: Iterable[str]) -> Mapping[str, Example]:
        """Return the usable rows with these ids, sorted by id. Raises DataError if the file is missing."""
        wanted = np.unique(packed(id_.encode() for id_ in ids))
        return KeyedRows(self._existing(EXAMPLES), Example, "id", wanted)

    def _existing(self, name: str) -> Path:
        """Return the path of a file. Raises DataError if there is no such file."""
        path = self.path / name
        if not path.is_file():
            raise DataError(f"{path}: no such file; give the folder that `burnish refine` wrote (its --out)")
        return path

    def standing(self) -> dict[str, StandingChange]:
        """Return {row id: change} for the rows that are changed at present: the last accepted change that nobody took
        back.

        `before` is the answer that the dataset came with.
        """
        return {change.example_id: change for change in self.standing_changes()}

    def standing_changes(self) -> Iterator[StandingChange]:
        """Yield the changes of `standing`, without holding all of them in memory."""
        for id_, row in touched_rows(self.path / LEDGER):
            if row.standing:
                yield StandingChange(example_id=id_, round=row.standing[-1].round, before=row.given, after=row.answer)

    def reverted(self) -> int:
        """Return the number of rows that the user took back."""
        # Most ledgers have no revert. Then nothing needs to be read twice.
        ledger = self.path / LEDGER
        return sum(row.reverted for _, row in touched_rows(ledger)) if has_reverts(ledger) else 0

    def extend(self, name: str, rows: Iterable[object], keep: Callable[[bytes], bool] = lambda _: True) -> None:
        """Append rows to a file. A reader sees either none or all of them. A row of bytes is a line as it is.

        Of the lines that are in the file already, only those that `keep` accepts stay, because a killed run may have
        left others.
        """
        path = self.path / name
        # The whole file is written again: an append that a kill interrupts would leave half a line.
        with replacing(path) as out:
            if path.exists():
                with path.open("rb") as lines:
                    out.writelines(line for line in lines if keep(line))
            out.writelines(row if isinstance(row, bytes) else dump_line(row) for row in rows)

    def write_dataset(self, data: DataConfig, file: str, also: Sequence[str] = ()) -> int:
        """Write the dataset from `data` with the present labels, and return the number of its rows.

        `also` are the names of .parquet or .csv files that get the same rows. Raises DataError if an answer is missing.
        """
        # The dataset is written by the position of its rows, since the file may have no ids.
        after = ((change.example_id, change.after) for change in self.standing_changes())
        texts = texts_at(self._existing(EXAMPLES), self._existing(ANSWERS), after)
        table = open_table(data)
        originals: dict[int, str] = {}
        with explained_write_errors(self.path):
            # `keep` collects how an answer was written in the source where burnish would write it in another way.
            count = table.write(self.path / file, texts.at, keep=originals.__setitem__)
        write_originals(self.path, originals)
        self._write_also(file, also)
        return count

    def _write_also(self, file: str, also: Sequence[str]) -> None:
        """Write the dataset `file` again as each of the files `also`."""
        for name in also:
            with explained_write_errors(self.path):
                convert(self.path / file, self.path / name, AlsoAs(Path(name).suffix.removeprefix(".")))

    def rewrite_dataset(self) -> None:
        """Write the dataset again from itself, after labels were taken back in the ledger. The source is not needed.
        Raises DataError if an answer is missing."""
        summary = self.summary
        # The refined dataset is the source here, so a revert also works when the user's own file is gone.
        data = summary.config.data.model_copy(update={"source": str(self.path / summary.data.file)})
        texts, unchanged = self._touched()
        # A row that has its first answer again also gets its first bytes back.
        originals = {position: text for position, text in read_originals(self.path).items() if position in unchanged}
        table = open_table(data)
        with explained_write_errors(self.path):
            table.write(self.path / summary.data.file, texts.get, original_at=originals.get)
        self._write_also(summary.data.file, summary.data.also)

    def _touched(self) -> tuple[dict[int, str], set[int]]:
        """Return {position: present answer} for every row that was ever changed, and the positions of those that have
        their first answer again."""
        rows = replayed(self.ledger()).rows
        texts = self.answers(row.answer for row in rows.values())
        answers_at: dict[int, str] = {}
        unchanged: set[int] = set()
        for example in self.examples():
            if (row := rows.get(example.id)) is not None:
                position = int(str(example.metadata["position"]))
                answers_at[position] = texts[row.answer].completion
                if row.answer == row.given:
                    unchanged.add(position)
        return answers_at, unchanged

    @contextmanager
    def locked(self) -> Generator[None]:
        """Lock the folder, so that only one process at a time changes it. Raises StageError if another process holds
        the lock."""
        with explained_write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            # The operating system frees the lock when the process ends, also after a kill. The file stays.
            lock = FileLock(self.path / LOCK)
            try:
                # Waiting could take hours, since a refinement holds the lock as long as it runs.
                lock.acquire(timeout=0)
            except Timeout:
                raise StageError(
                    f"{self.path}: another burnish process is working on this folder; wait until it ends"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def claim(
        self, planned: list[str], settings: RefineSettings, overwrite: bool, ends: AbstractSet[str] = frozenset()
    ) -> list[str]:
        """Check that this refinement may write into the folder. Return the fingerprints of its rounds that are there
        already.

        `overwrite` removes what another refinement wrote, but never what people said. `ends` are those of
        `check_claim`. Raises ConfigError as `check_claim` does.
        """
        written = self.check_claim(planned, settings, overwrite, ends)
        if written is None:
            self._clear()
        return written or []

    def check_claim(
        self, planned: list[str], settings: RefineSettings, overwrite: bool, ends: AbstractSet[str] = frozenset()
    ) -> list[str] | None:
        """Check that a refinement may write into the folder, and change nothing. Return the fingerprints of its rounds
        that are there already, or None if the folder holds something else that `overwrite` allows to remove.

        It may if the folder is empty, or if the rounds in it are the first of the `planned` rounds (given by their
        fingerprints). The last round in it may also be one of `ends`: the rounds in which the refinement may end by its
        own rule. Raises ConfigError if the folder is a file, or holds anything else without `overwrite`. The
        message names the settings that differ from `settings`.
        """
        # `mkdir` would fail on such a link with a message that the file exists.
        if self.path.is_symlink() and not self.path.exists():
            raise ConfigError(f"out: {str(self.path)!r} is a link to a folder that does not exist; name another one")
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"out: {str(self.path)!r} is a file; name a folder")
        names = sorted(path.name for path in self.path.iterdir()) if self.path.exists() else []
        # A folder in which a run was killed before it wrote anything counts as empty.
        in_use = [name for name in names if not _UNFINISHED.fullmatch(name) and name != LOCK]
        written = [round_.fingerprint for round_ in self.summary.rounds] if SUMMARY in in_use else []
        # There may be more planned rounds than written ones: the user continues, or asks for more rounds than before.
        same = written[:-1] if written and written[-1] in ends else written
        if not in_use or (SUMMARY in in_use and planned[: len(same)] == same):
            return written
        if not overwrite:
            if not written:
                raise ConfigError(
                    f"out: {str(self.path)!r} holds other files ({in_use[0]}); name another --out, or replace it with "
                    "--overwrite"
                )
            raise ConfigError(self._conflict(settings, len(written)))
        return None

    def _conflict(self, settings: RefineSettings, written: int) -> str:
        """Say that a refinement with these settings cannot go on in this folder, which settings differ, and what to
        do."""
        differing = list(differences(self.summary.config, settings))
        shown = [f"{one.field}: {brief(one.there)} there, {brief(one.now)} now" for one in differing[:_SHOWN]]
        more = [f"and {len(differing) - _SHOWN} more"] if len(differing) > _SHOWN else []
        advice = (
            f"out: {str(self.path)!r} holds {written} rounds of another refinement; name another --out, repeat the "
            "settings that it was made with (rounds may be added if nothing is audited), or replace it with --overwrite"
        )
        return "\n".join([advice, *(["these settings differ:", *shown, *more] if differing else [_SAME_SETTINGS])])

    def sweep(self) -> None:
        """Remove what killed runs left unfinished. Call this after the folder is claimed."""
        # Listed first, since a folder should not change while it is read.
        for path in [path for path in self.path.iterdir() if _UNFINISHED.fullmatch(path.name)]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _clear(self) -> None:
        # The summary names the dataset, so it is read before it is removed.
        """Remove everything that a refinement wrote, except what people said."""
        data = self.summary.data if (self.path / SUMMARY).exists() else None
        names = [*([data.file, *data.also] if data is not None else []), *OWN]
        for path in (self.path / name for name in names):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
