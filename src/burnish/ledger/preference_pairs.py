"""The comparisons of a refinement as preference pairs, in the form that TRL's trainers read.

The form is TRL's "preference" with an explicit prompt: the columns `prompt`, `chosen` and `rejected` hold texts, or
lists of messages if the dataset holds conversations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import orjson

from burnish.algorithms.ledger_lines import verdict_on
from burnish.forms.arrow import Groups, library
from burnish.forms.layout import Form
from burnish.ledger.folder import Folder
from burnish.ledger.replay import replayed
from burnish.report.text import plural
from burnish.store.files import explained_write_errors, replacing
from burnish.store.json_rows import dump_line
from burnish.types import Message, Refinement, Role, Verdict

JSONL, PARQUET = ".jsonl", ".parquet"
"""The endings of a file of pairs."""
COLUMNS = ("id", "prompt", "chosen", "rejected", "round", "preferred", "confidence", "reason")
"""The columns of a file of pairs."""
_LONGEST_LINE = 1 << 26
"""How many bytes of a file's first line are read to recognise it."""
_AT_ONCE = 20_000
"""How many pairs have their texts in memory at once."""


def is_of_pairs(path: Path) -> bool:
    """Say whether a file is empty, or has exactly the columns of a file of pairs. Of JSONL only the first line is read.

    Raises DataError if the file is Parquet and pyarrow is not installed.
    """
    if path.suffix.lower() == PARQUET:
        return path.stat().st_size == 0 or _parquet_columns(path) == set(COLUMNS)
    try:
        with path.open("rb") as file:
            first = file.readline(_LONGEST_LINE)
            row = orjson.loads(first) if first else dict.fromkeys(COLUMNS)
    except (OSError, orjson.JSONDecodeError):
        return False
    return isinstance(row, dict) and set(cast(dict[str, object], row)) == set(COLUMNS)


def _parquet_columns(path: Path) -> set[str]:
    """Return the names of a Parquet file's columns. There are none if it cannot be read as Parquet."""
    pa, parquet = library("pyarrow", path.name), library("pyarrow.parquet", path.name)
    try:
        return set(parquet.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return set()


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPairs:
    """A file of preference pairs, and how many comparisons were left out of it and why."""

    path: Path
    pairs: int
    ties: int
    abstained: int
    taken_back: int

    def words(self) -> str:
        """Return a line that says what is in the file and what is not."""
        left = f"{plural(self.ties, 'tie')}, {plural(self.abstained, 'abstention')}"
        if self.taken_back:
            left += f" and {plural(self.taken_back, 'change')} that you took back"
        return f"pairs: {self.path}: {plural(self.pairs, 'preference pair')}; left out: {left}"


def write_pairs(folder: Folder, path: Path) -> WrittenPairs:
    """Write every comparison with a clear verdict into a JSONL or Parquet file, in the order of the ledger.

    Ties, abstentions and changes that the user took back are left out and counted. The file is replaced as a whole.
    Raises DataError if pyarrow is needed and not installed, StageError if the file cannot be written.
    """
    left: Counter[str] = Counter()
    turns = _holds_conversations(folder)
    rows = pair_rows(folder, left, turns)
    with explained_write_errors(path):
        count = _write_parquet(path, rows, turns) if path.suffix.lower() == PARQUET else _write_jsonl(path, rows)
    return WrittenPairs(
        path=path,
        pairs=count,
        ties=left[Verdict.TIE],
        abstained=left[Verdict.ABSTAIN],
        taken_back=left["taken back"],
    )


def pair_rows(folder: Folder, left: Counter[str], turns: bool = True) -> Iterator[dict[str, Any]]:
    """Yield every comparison with a clear verdict as a row, in the order of the ledger.

    With `turns`, prompts and answers are lists of messages, and else texts. Other comparisons are counted in `left`,
    under `tie`, `abstain` and `taken back`.
    """
    return _rows(folder, _clear(folder, left), turns)


def _holds_conversations(folder: Folder) -> bool:
    """Say whether prompts must be lists of messages: the rows are conversations, or a prompt has more than one turn of
    a user."""
    if folder.summary.data.form.startswith((Form.MESSAGES, Form.CONVERSATIONS)):
        return True
    # All rows of a file must have one form, so one such row decides it.
    return any(len(example.prompt) != 1 or example.prompt[0].role is not Role.USER for example in folder.examples())


def _clear(folder: Folder, left: Counter[str]) -> Iterator[Refinement]:
    """Yield the lines of the ledger with a verdict for one side, and count the other comparisons in `left`."""
    # A change that the user took back contradicts the annotator, so it is no example to learn from.
    taken_back = {
        (line.example_id, line.round) for row in replayed(folder.ledger()).rows.values() for line in row.taken_back
    }
    for line in folder.ledger():
        verdict = verdict_on(line)
        if verdict is None:
            continue
        if verdict is Verdict.TIE or verdict is Verdict.ABSTAIN:
            left[verdict] += 1
        elif (line.example_id, line.round) in taken_back:
            left["taken back"] += 1
        else:
            yield line


def _rows(folder: Folder, lines: Iterable[Refinement], turns: bool) -> Iterator[dict[str, Any]]:
    """Yield the rows of the file."""
    waiting = iter(lines)
    # In batches: each batch reads the files of prompts and answers once.
    while some := list(islice(waiting, _AT_ONCE)):
        prompts = folder.examples_of({line.example_id for line in some})
        texts = folder.answers(side for line in some for side in (line.kept, line.proposed))
        for line in some:
            proposal = verdict_on(line) is Verdict.B
            chosen, rejected = (line.proposed, line.kept) if proposal else (line.kept, line.proposed)
            prompt = prompts[line.example_id].prompt
            yield {
                "id": line.example_id,
                "prompt": [_turn(message) for message in prompt] if turns else prompt[0].content,
                "chosen": _answer(texts[chosen].completion, turns),
                "rejected": _answer(texts[rejected].completion, turns),
                "round": line.round,
                "preferred": "proposal" if proposal else "label",
                "confidence": line.score,
                "reason": str(line.reason),
            }


def _answer(text: str, turns: bool) -> object:
    """Return an answer as TRL reads it: a text, or a list of one message."""
    return [_turn(Message(role=Role.ASSISTANT, content=text))] if turns else text


def _turn(message: Message) -> dict[str, str]:
    """Return a message as TRL reads it."""
    return {"role": str(message.role), "content": message.content}


def _write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as JSON lines, and return their number."""
    count = 0
    with replacing(path) as file:
        for row in rows:
            file.write(dump_line(row))
            count += 1
    return count


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]], turns: bool) -> int:
    """Write rows as Parquet, and return their number."""
    pa = library("pyarrow", path.name)
    text = pa.string()
    said = pa.list_(pa.struct([("role", text), ("content", text)])) if turns else text
    # The types are named, since a file without a row could not show them.
    schema = pa.schema(
        [
            ("id", text),
            *((name, said) for name in ("prompt", "chosen", "rejected")),
            ("round", pa.int64()),
            ("preferred", text),
            ("confidence", pa.float64()),
            ("reason", text),
        ]
    )
    count, waiting = 0, iter(rows)
    with replacing(path) as file, Groups(file, schema) as out:
        while batch := list(islice(waiting, 1024)):
            out.add(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count
