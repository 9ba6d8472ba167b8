"""Tables of rewards and log-probabilities: one JSON object a line, with the gold answer and worse answers of a prompt.

`burnish seam score` reads such tables, and writes one if it computed the numbers itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import JsonValue

from burnish.algorithms.seam import PromptScore, Response, check_response, scored
from burnish.config.reading import is_file
from burnish.errors import DataError, brief
from burnish.forms.jsonl import JsonlSource

ID, GOLD, WORSE, SOURCE, PROMPT, TEXT = "id", "gold", "worse", "source", "prompt", "text"
"""The columns of a table that burnish reads, and the field with the text of an answer. Only the first three must be
there."""
_WORSE_FORM = '[{"reward": ..., "logprob": ..., "tokens": ...}, ...]'
_FORM = f'{{"id": ..., "gold": {_WORSE_FORM[1:-6]}, "worse": {_WORSE_FORM}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A row of a table. `where` is its place in the file. `values` are all its columns, as they were read."""

    where: str
    id: str | int
    gold: Response
    worse: tuple[Response, ...]
    values: Mapping[str, JsonValue]

    @property
    def source(self) -> str:
        """The source of the worse answers, or "" if the row does not say."""
        source = self.values.get(SOURCE)
        return source if isinstance(source, str) else ""

    @property
    def score(self) -> PromptScore:
        """The scores of the row's prompt."""
        return scored(self.id, self.gold, self.worse)


def read_table(path: Path) -> list[TableRow]:
    """Read a table (JSONL, also `.gz`) with the columns `id`, `gold` and `worse`.

    A response is an object with `reward`, `logprob` (the sum over the answer and its end, in nats) and `tokens` (the
    end counts). `worse` is a list of responses; it is empty where nothing worse was found. Further columns and fields
    are kept and not read. Raises DataError, which names the place, the field and the fix, for a value that cannot be
    used, an id that occurs twice, and a file without rows.
    """
    if not is_file(path):
        raise DataError(f"{str(path)!r:.300}: no such file; give a table of JSON lines")
    rows: list[TableRow] = []
    seen: dict[str, str] = {}
    for raw in JsonlSource(path).rows():
        if raw.values is None:
            raise DataError(f"{raw.where}: {raw.flaw}")
        row = _row(raw.where, raw.values)
        if first := seen.get(str(row.id)):
            raise DataError(f"{row.where}: id: {brief(row.id)} is also at {first}; make ids unique")
        seen[str(row.id)] = row.where
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no rows; each line must be one JSON object {_FORM}")
    return rows


def _row(where: str, values: Mapping[str, Any]) -> TableRow:
    for name in (ID, GOLD, WORSE):
        if name not in values:
            fix = (
                f"each line must be one JSON object {_FORM}. For prompts with gold answers, name the models with "
                "--policy and --reward"
            )
            raise DataError(f"{where}: no column {name!r}; {fix}")
    id_ = values[ID]
    # In Python, bool is a subclass of int.
    if isinstance(id_, bool) or not isinstance(id_, str | int) or id_ == "":
        raise DataError(f"{where}: id: {brief(id_)} found; write a text or a whole number")
    gold, worse = values[GOLD], values[WORSE]
    if not isinstance(worse, list):
        raise DataError(f"{where}: worse: {brief(worse)} found; write a list, [] where nothing worse was found")
    return TableRow(
        where=where,
        id=id_,
        gold=_response(where, GOLD, gold),
        worse=tuple(_response(where, f"{WORSE}[{n}]", one) for n, one in enumerate(cast(list[Any], worse))),
        values=values,
    )


def _response(where: str, field: str, value: object) -> Response:
    """Return a response. Raises DataError if a field is missing, is no number, or has a value that cannot be."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: {field}: {brief(value)} found; write {_WORSE_FORM[1:-6]}")
    fields = cast(dict[str, Any], value)
    response = Response(
        reward=_number(where, f"{field}.reward", fields.get("reward")),
        logprob=_number(where, f"{field}.logprob", fields.get("logprob")),
        tokens=_whole(where, f"{field}.tokens", fields.get("tokens")),
    )
    check_response(response, where, field)
    return response


def _number(where: str, field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        found = "it is missing" if value is None else f"{brief(value)} found"
        raise DataError(f"{where}: {field}: {found}; write a number")
    try:
        return float(value)
    except OverflowError:
        raise DataError(f"{where}: {field}: {brief(value)} found; write a finite number") from None


def _whole(where: str, field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        found = "it is missing" if value is None else f"{brief(value)} found"
        raise DataError(f"{where}: {field}: {found}; write a whole number, at least 1")
    return value


def all_equal(rows: Sequence[TableRow]) -> float | None:
    """Return the reward if all answers of all rows have the same one. Return None if rewards differ."""
    rewards = {one.reward for row in rows for one in (row.gold, *row.worse)}
    # One answer alone has nothing from which its reward could differ.
    answers = sum(1 + len(row.worse) for row in rows)
    return rewards.pop() if len(rewards) == 1 and answers > 1 else None
