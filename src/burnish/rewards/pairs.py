"""Reads preference pairs in the forms that people have: one object with both answers and which of them is better."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import JsonValue

from burnish.config.reading import is_file
from burnish.errors import DataError, brief
from burnish.forms.arrow import library
from burnish.forms.cells import UnusableError, is_absent, plain_text, text_of
from burnish.forms.csv_file import CsvSource
from burnish.forms.json_list import JsonSource
from burnish.forms.jsonl import JsonlSource
from burnish.forms.rows import RawRow, object_row
from burnish.forms.turns import listed, prompt_turns, turns_of
from burnish.ledger.folder import Folder
from burnish.ledger.preference_pairs import pair_rows
from burnish.ledger.summary import SUMMARY
from burnish.types import Message, Role, prompt_group, short_hash

CHOSEN, REJECTED, PROMPT = "chosen", "rejected", "prompt"
_SOURCES = ("source", "subset", "dataset")
"""The columns that may say where a pair comes from. The first one that is there counts."""
_SHOWN = (
    ("prompt", "first", "second", "label"),
    ("prompt", "first", "second", "verdict"),
    ("input", "output_1", "output_2", "label"),
    ("request", "answer_1", "answer_2", "verdict"),
)
"""The columns of forms that show two answers and name the better one: burnish's own, LLMBar's, and the sheet of
`burnish annotate export`."""
_FIRST = {"1", "1.0", "first", "a"}
_SECOND = {"2", "2.0", "second", "b"}
_FORMS = (
    "chosen and rejected, with prompt or as whole conversations; or prompt, first, second and label; or the columns of "
    "`burnish annotate export`"
)
_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".csv", ".csv.gz", ".tsv", ".parquet")
_SPEAKERS = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")
_ROLES = {"Human": Role.USER, "Assistant": Role.ASSISTANT}


class LeftOutPair(StrEnum):
    """Why a pair is left out. Every one is counted."""

    TIE = "tie"
    """Nobody said which answer is better, because both are equally good."""
    ABSTAINED = "abstained"
    """It was skipped, or has no verdict."""
    EQUAL = "equal"
    """Both answers have the same text."""
    BAD_ROW = "bad_row"
    """The row cannot be used, and the user asked to skip such rows."""
    TAKEN_BACK = "taken_back"
    """The user took the change back that the verdict led to."""
    TRAINED_ON = "trained_on"
    """The reward model was trained on its prompt."""
    TOO_LONG = "too_long"
    """An answer does not fit into the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPair:
    """A pair whose better answer is known. Pairs of one `group` have the same prompt."""

    id: str
    group: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPairs:
    """The pairs of a file, and how many rows were left out, as {why: number}."""

    pairs: tuple[GivenPair, ...]
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])


def read_pairs(path: Path, skip_bad: bool = False) -> GivenPairs:
    """Read the pairs of a JSONL, JSON, CSV or Parquet file, or of the folder of a refinement.

    A row has `chosen` and `rejected`, with a `prompt` (a text or messages), or as whole conversations that differ in
    their last turn. Or it shows two answers and says which is better: `prompt`, `first`, `second` and `label` (1 or
    first, 2 or second, tie, skip), LLMBar's columns, or those of `burnish annotate export`. `source` or `subset` says
    where a pair comes from. A pair without a winner, or with two equal answers, is left out and counted.

    Raises DataError, which names the place and the fix, if a row cannot be used (unless `skip_bad` is true), if there
    is no pair, or if the file is of no known kind.
    """
    left_out: Counter[str] = Counter()
    pairs: list[GivenPair] = []
    seen: Counter[str] = Counter()
    for raw in _rows(path, left_out):
        try:
            found = _pair(raw, seen)
        except UnusableError as error:
            if not skip_bad:
                raise DataError(f"{raw.where}: {error}") from None
            found = LeftOutPair.BAD_ROW
        if isinstance(found, LeftOutPair):
            left_out[found] += 1
        else:
            pairs.append(found)
    if not pairs:
        counted = ", ".join(f"{number:,} {why}" for why, number in sorted(left_out.items()))
        raise DataError(f"{path}: no pair has a better answer ({counted or 'no rows'}); a row has {_FORMS}")
    return GivenPairs(pairs=tuple(pairs), left_out={str(why): number for why, number in sorted(left_out.items())})


def _rows(path: Path, left_out: Counter[str]) -> Iterator[RawRow]:
    """Yield the rows of a file, or the clear comparisons of a refinement."""
    if path.is_dir():
        if not is_file(path / SUMMARY):
            raise DataError(f"{path}: is a folder without a {SUMMARY}; give a file of pairs, or a refinement's folder")
        # The ledger counts ties, abstentions and what was taken back under its own names.
        found: Counter[str] = Counter()
        for number, row in enumerate(pair_rows(Folder(path), found)):
            yield object_row(f"{path.name} pair {number + 1}", number, row)
        names = {"tie": LeftOutPair.TIE, "abstain": LeftOutPair.ABSTAINED, "taken back": LeftOutPair.TAKEN_BACK}
        left_out.update({names[why]: number for why, number in found.items()})
        return
    if not is_file(path):
        raise DataError(f"{str(path)!r:.300}: no such file; give a file that ends in {', '.join(_SUFFIXES)}")
    name = path.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz")):
        yield from JsonlSource(path).rows()
    elif name.endswith(".json"):
        yield from JsonSource(path).rows()
    elif name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
        yield from CsvSource(path).rows()
    elif name.endswith(".parquet"):
        yield from _parquet(path)
    else:
        raise DataError(f"{path}: is of no known kind; give a file that ends in {', '.join(_SUFFIXES)}")


def _parquet(path: Path) -> Iterator[RawRow]:
    pa, parquet = library("pyarrow", path.name), library("pyarrow.parquet", path.name)
    position = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(1024):
                for values in batch.to_pylist():
                    yield object_row(f"{path.name} row {position + 1}", position, values)
                    position += 1
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({brief(str(error))}); fetch it again") from None


def _pair(raw: RawRow, seen: Counter[str]) -> GivenPair | LeftOutPair:
    """Return the pair of a row, or why it has none. Raises UnusableError if the row cannot be used."""
    if raw.values is None:
        raise UnusableError(raw.flaw)
    values = raw.values
    read = _preferred(values) if CHOSEN in values and REJECTED in values else _shown_pair(values)
    if isinstance(read, LeftOutPair):
        return read
    prompt, chosen, rejected = read
    if " ".join(chosen.split()) == " ".join(rejected.split()):
        return LeftOutPair.EQUAL
    group = prompt_group(prompt)
    # A file may hold the same pair twice, and its rows may have ids that come again in every round.
    made = short_hash("preference", group, chosen, rejected)
    seen[made] += 1
    return GivenPair(
        id=short_hash(made, str(seen[made])),
        group=group,
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        source=_source(values),
    )


def _source(values: Mapping[str, JsonValue]) -> str:
    named = next((values[name] for name in _SOURCES if not is_absent(values.get(name))), "")
    return named if isinstance(named, str) else str(named)


_Read = tuple[tuple[Message, ...], str, str]


def _preferred(values: Mapping[str, JsonValue]) -> _Read:
    """Read a row with `chosen` and `rejected`."""
    chosen, rejected = (_said(values[column], column) for column in (CHOSEN, REJECTED))
    before, other = chosen[:-1], rejected[:-1]
    given = values.get(PROMPT)
    if before != other:
        raise UnusableError(
            "columns 'chosen' and 'rejected' differ before their last turn; both must answer one prompt"
        )
    if is_absent(given):
        prompt = prompt_turns(before, CHOSEN) if before else ()
    else:
        asked = _asked(given)
        # Some datasets repeat the prompt in the conversation, and others do not.
        repeated = isinstance(given, str) or before[-len(asked) :] == asked
        prompt = asked if not before else before if repeated else asked + before
    if not prompt:
        raise UnusableError("the row has no prompt; add a column 'prompt', or write both answers as conversations")
    return prompt, chosen[-1].content, rejected[-1].content


def _asked(given: JsonValue) -> tuple[Message, ...]:
    if isinstance(given, str):
        return (Message(role=Role.USER, content=text_of(given, f"column {PROMPT!r}", "prompt")),)
    return prompt_turns(turns_of(listed(given, PROMPT), PROMPT), PROMPT)


def _said(value: JsonValue, column: str) -> tuple[Message, ...]:
    """Return an answer with the turns before it, if it is a conversation."""
    if isinstance(value, str):
        return _dialogue(value) or (Message(role=Role.ASSISTANT, content=plain_text(value, f"column {column!r}")),)
    turns = turns_of(listed(value, column), column)
    if turns[-1].role is not Role.ASSISTANT:
        raise UnusableError(f"column {column!r} ends with a {turns[-1].role} turn; end with an assistant turn")
    return turns


def _dialogue(text: str) -> tuple[Message, ...] | None:
    """Return the turns of a text in the form of HH-RLHF, or None if it is no such text."""
    parts = _SPEAKERS.split(text)
    # [text before the first speaker, speaker, text, speaker, text, ...]
    speakers = parts[1::2]
    if parts[0].strip() or len(speakers) < 2 or speakers[0] != "Human" or speakers[-1] != "Assistant":
        return None
    return tuple(
        Message(role=_ROLES[speaker], content=said.strip()) for speaker, said in zip(speakers, parts[2::2], strict=True)
    )


def _shown_pair(values: Mapping[str, JsonValue]) -> _Read | LeftOutPair:
    """Read a row that shows two answers and names the better one."""
    columns = next((some for some in _SHOWN if all(column in values for column in some)), None)
    if columns is None:
        raise UnusableError(f"found the columns {', '.join(map(repr, values)):.200}; write {_FORMS}")
    asked, one, two, verdict = columns
    said = values[verdict]
    text = "" if is_absent(said) else str(said).strip().casefold()
    # In Python, True is 1.
    if isinstance(said, bool) or (text and text not in {*_FIRST, *_SECOND, "tie", "skip", "abstain"}):
        raise UnusableError(f"column {verdict!r} is {brief(said)}; write 1, 2, tie or skip")
    if text == "tie":
        return LeftOutPair.TIE
    if text in {"", "skip", "abstain"}:
        return LeftOutPair.ABSTAINED
    first, second = (plain_text(values[column], f"column {column!r}") for column in (one, two))
    prompt = _asked(values[asked])
    return (prompt, first, second) if text in _FIRST else (prompt, second, first)
