"""Datasets in every form and kind of file, and what reads any of them back."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

from burnish.config import DataConfig
from burnish.forms import BadRow, DataTable, UsableRow, open_table

Rows = list[dict[str, Any]]
arrow: Any = pa
parquet: Any = pq


def _chat(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text, "name": f"t{i}"} for i, text in enumerate(contents)]


FORMS: dict[str, Rows] = {
    "messages": [{"id": f"m{i}", "messages": _chat(f"Q{i} ☃", f"A{i}"), "n": i} for i in range(5)],
    "text": [{"prompt": f"Q{i}", "id": f"p{i}", "completion": f'A{i}, "b";\tc\r\nd'} for i in range(5)],
    "conversational": [
        {"prompt": _chat(f"Q{i}"), "completion": [{"role": "assistant", "content": f"A{i}"}]} for i in range(5)
    ],
    "question": [{"answer": f"A{i}\n#### {i}", "extra": "é", "question": f"Q{i}"} for i in range(5)],
    "alpaca": [{"instruction": f"Q{i}", "input": "x" * (i % 2), "output": f"A{i}", "note": ""} for i in range(5)],
}


def as_jsonl(rows: Rows) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def as_json(rows: Rows) -> bytes:
    return json.dumps(rows, indent=4, ensure_ascii=False).encode()


def as_csv(rows: Rows) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(rows[0])
    writer.writerows([json.dumps(cell) if isinstance(cell, list) else cell for cell in row.values()] for row in rows)
    return out.getvalue().encode()


def as_parquet(rows: Rows, keep: int | None = None) -> bytes:
    out = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(rows)[:keep], out)
    return out.getvalue()


WRITERS: dict[str, Callable[[Rows], bytes]] = {
    ".jsonl": as_jsonl,
    ".jsonl.gz": lambda rows: gzip.compress(as_jsonl(rows)),
    ".json": as_json,
    ".csv": as_csv,
    ".csv.gz": lambda rows: gzip.compress(as_csv(rows)),
    ".parquet": as_parquet,
}


def rows_in(path: Path) -> Rows:
    """Read a file with the library of its kind, none of burnish's code."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return parquet.read_table(path).to_pylist()
    if name.endswith(".json"):
        return json.loads(data.decode("utf-8-sig"))
    if name.endswith(".csv"):
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        return [dict(row) for row in csv.DictReader(text)]
    return [json.loads(line) for line in data.decode("utf-8-sig").split("\n") if line.strip()]


def opened(path: Path, data: bytes | None = None, **settings: Any) -> DataTable:
    if data is not None:
        path.write_bytes(data)
    return open_table(DataConfig(source=str(path), **settings))


def all_given(table: DataTable) -> list[UsableRow]:
    rows = list(table.read())
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert bad == []
    return [row for row in rows if isinstance(row, UsableRow)]


def one_bad(table: DataTable) -> BadRow:
    """Return the only row that cannot be used, once it is sure that all others can."""
    rows = list(table.read())
    assert [row.position for row in rows] == list(range(len(rows)))
    (bad,) = [row for row in rows if isinstance(row, BadRow)]
    assert len(rows) > 1
    return bad
