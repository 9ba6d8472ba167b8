"""A refinement's folder: ledger, answers, examples, dataset, summary. The ledger is only appended to."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from burnish.config import DataConfig
from burnish.errors import ConfigError, DataError, StageError
from burnish.forms.convert import AlsoAs, convert
from burnish.forms.table import open_table
from burnish.ledger.originals import ORIGINALS, read_originals, write_originals
from burnish.ledger.replay import replayed
from burnish.ledger.summary import SUMMARY, Summary, read_summary
from burnish.store.files import (
    as_mapping,
    dump_line,
    explained_write_errors,
    iter_rows,
    pretty,
    read_objects,
    replacing,
    row_of,
    write_atomic,
)
from burnish.types import Demonstration, Example, Refinement

LEDGER = "ledger.jsonl"
ANSWERS = "answers.jsonl"
EXAMPLES = "examples.jsonl"
MODEL = "model"
REPORT = "report.html"
CONFIG = "config.yaml"
LOCK = ".lock"
OWN = (SUMMARY, LEDGER, ANSWERS, EXAMPLES, MODEL, REPORT, CONFIG, ORIGINALS)
"""What a refinement writes, but for the dataset and what people said."""
_UNFINISHED = re.compile(r"\.(?:.+)\.(?:part|gone)")
"""A file that was being written, or a folder that was being removed, when a run was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A row whose label stands changed: by which round, from which answer to which."""

    example_id: str
    round: int
    before: str
    after: str


def answer_line(answer: Demonstration) -> dict[str, Any]:
    """Return a line of `answers.jsonl`: an answer after the id by which the ledger knows it."""
    return {"id": answer.id, **as_mapping(answer)}


def read_answers(path: Path) -> Iterator[tuple[str, Demonstration]]:
    """Yield the ids and answers of `answers.jsonl`."""
    for number, values in read_objects(path):
        id_ = values.pop("id", "")
        yield id_, row_of(values, Demonstration, f"{path}:{number}")


class Folder:
    """Reads and writes the files. Everything is written beside and renamed: a kill leaves the old file or the new."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def summary(self) -> Summary:
        """Read the summary; raises DataError where this is no refinement's folder."""
        return read_summary(self.path)

    def write_summary(self, summary: Summary) -> None:
        """Write the summary, last of all: what it names is there."""
        write_atomic(self.path / SUMMARY, pretty(summary.model_dump(mode="json")))

    def examples(self) -> Iterator[Example]:
        """Yield the usable rows in the order of the dataset, their place in the metadata."""
        return iter_rows(self._existing(EXAMPLES), Example)

    def ledger(self) -> Iterator[Refinement]:
        """Yield every line, the oldest first; nothing before the first round is done."""
        path = self.path / LEDGER
        return iter_rows(path, Refinement) if path.exists() else iter(())

    def answers(self, ids: Iterable[str]) -> dict[str, Demonstration]:
        """Read the named answers. Raises DataError if one is missing."""
        wanted = set(ids)
        found = {id_: row for id_, row in read_answers(self._existing(ANSWERS)) if id_ in wanted}
        if missing := sorted(wanted - found.keys()):
            raise DataError(f"{self.path / ANSWERS}: answer {missing[0]} is not in it; run `burnish refine` again")
        return found

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise DataError(f"{path}: no such file; give the folder that `burnish refine` wrote (its --out)")
        return path

    def standing(self) -> dict[str, Change]:
        """Return the changed rows by id: the last accepted change of each, as far as nobody took it back.

        `before` is the answer that the dataset came with.
        """
        rows = replayed(self.ledger()).rows
        return {
            id_: Change(example_id=id_, round=row.standing[-1].round, before=row.given, after=row.answer)
            for id_, row in rows.items()
            if row.standing
        }

    def extend(self, name: str, rows: Iterable[object], keep: Callable[[bytes], bool] = lambda _: True) -> None:
        """Append rows to a file. A reader sees the file without all of them or with all of them.

        Of the lines that are there already only those that `keep` accepts stay: a killed run may have left others.
        """
        path = self.path / name
        with replacing(path) as out:
            if path.exists():
                with path.open("rb") as lines:
                    out.writelines(line for line in lines if keep(line))
            out.writelines(dump_line(row) for row in rows)

    def write_dataset(self, data: DataConfig, file: str, also: Sequence[str] = ()) -> int:
        """Write the dataset with the labels as they stand, from `data`, and the same as other files; returns its rows.

        `also` are names of files in .parquet or .csv.
        """
        changes = self.standing()
        places = {
            id_: int(str(position))
            for id_, position in ((e.id, e.metadata["position"]) for e in self.examples())
            if id_ in changes
        }
        texts = self.answers(change.after for change in changes.values())
        completions = {places[id_]: texts[change.after].completion for id_, change in changes.items()}
        table = open_table(data)
        originals: dict[int, str] = {}
        with explained_write_errors(self.path):
            count = table.write(self.path / file, completions.get, keep=originals.__setitem__)
        write_originals(self.path, originals)
        self._write_also(file, also)
        return count

    def _write_also(self, file: str, also: Sequence[str]) -> None:
        for name in also:
            with explained_write_errors(self.path):
                convert(self.path / file, self.path / name, AlsoAs(Path(name).suffix.removeprefix(".")))

    def rewrite_dataset(self) -> None:
        """Write the dataset anew from itself, after labels were taken back in the ledger."""
        summary = self.summary
        data = summary.config.data.model_copy(update={"source": str(self.path / summary.data.file)})
        texts, given = self._touched()
        originals = {position: text for position, text in read_originals(self.path).items() if position in given}
        table = open_table(data)
        with explained_write_errors(self.path):
            table.write(self.path / summary.data.file, texts.get, original_at=originals.get)
        self._write_also(summary.data.file, summary.data.also)

    def _touched(self) -> tuple[dict[int, str], set[int]]:
        """Return the answer that stands for every row that was ever changed, by its position, and the positions of
        those that have the answer again with which they came."""
        rows = replayed(self.ledger()).rows
        texts = self.answers(row.answer for row in rows.values())
        standing: dict[int, str] = {}
        given: set[int] = set()
        for example in self.examples():
            if (row := rows.get(example.id)) is not None:
                position = int(str(example.metadata["position"]))
                standing[position] = texts[row.answer].completion
                if row.answer == row.given:
                    given.add(position)
        return standing, given

    @contextmanager
    def locked(self) -> Generator[None]:
        """Lock the folder, so that one process at a time changes it. Raises StageError while another one does."""
        with explained_write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / LOCK)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise StageError(
                    f"{self.path}: another burnish is at work on this folder; wait until it ends"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def claim(self, planned: list[str], overwrite: bool) -> list[str]:
        """Check that this refinement may write into the folder; return the fingerprints of its rounds that are there.

        It may if the folder is empty, or holds the first of the `planned` rounds, which are given by their
        fingerprints. `overwrite` removes what another refinement wrote, but never what people said. Raises ConfigError
        where the folder is a file, or holds anything else.
        """
        if self.path.is_symlink() and not self.path.exists():
            raise ConfigError(f"out: {str(self.path)!r} is a link to a folder that is not there; name another one")
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"out: {str(self.path)!r} is a file; name a folder")
        names = sorted(path.name for path in self.path.iterdir()) if self.path.exists() else []
        in_use = [name for name in names if not _UNFINISHED.fullmatch(name) and name != LOCK]
        written = [one.fingerprint for one in self.summary.rounds] if SUMMARY in in_use else []
        if not in_use or (SUMMARY in in_use and planned[: len(written)] == written):
            return written
        if not overwrite:
            what = f"{len(written)} rounds of another refinement" if written else f"other files ({in_use[0]})"
            raise ConfigError(
                f"out: {str(self.path)!r} holds {what}; name another --out, repeat the settings that it was made with "
                "(rounds may be added where nothing is audited), or replace it with --overwrite"
            )
        self._clear()
        return []

    def sweep(self) -> None:
        """Remove what killed runs left unfinished, once the folder is claimed."""
        for path in [path for path in self.path.iterdir() if _UNFINISHED.fullmatch(path.name)]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _clear(self) -> None:
        # The summary names the dataset, so it goes after it; without a summary nothing else counts.
        data = self.summary.data if (self.path / SUMMARY).exists() else None
        names = [*([data.file, *data.also] if data is not None else []), *OWN]
        for path in (self.path / name for name in names):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
