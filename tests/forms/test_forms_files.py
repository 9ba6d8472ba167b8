"""Every form in every kind of file: what is read, what is written back, and what stays byte for byte."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from forms_data import FORMS, WRITERS, all_given, arrow, as_csv, as_jsonl, as_parquet, opened, parquet, rows_in
from hypothesis import given as given_values
from hypothesis import strategies as st

from burnish.config import DataConfig
from burnish.errors import BackendError, ConfigError, DataError
from burnish.forms import BadRow, FileKind, Form, open_table, with_completion

EACH = [(form, suffix) for form in FORMS for suffix in WRITERS if (form, suffix[:4]) != ("conversational", ".csv")]


def other(position: int) -> str | None:
    return f"new {position} ☃" if position % 2 else None


@pytest.mark.parametrize(("form", "suffix"), EACH)
def test_a_round_trip_changes_the_answers_that_were_meant(form: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"data{suffix}"
    table = opened(path, WRITERS[suffix](FORMS[form]))
    before = all_given(table)
    assert [row.prompt[0].content[:2] for row in before] == ["Q0", "Q1", "Q2", "Q3", "Q4"]
    assert table.name == f"refined{suffix}"
    out = tmp_path / table.name
    assert table.write(out, other) == 5
    source = rows_in(path)
    expected = [
        row if (text := other(i)) is None else with_completion(table.form, row, text) for i, row in enumerate(source)
    ]
    written = rows_in(out)
    assert written == expected
    assert [list(row) for row in written] == [list(row) for row in source]
    after = all_given(opened(out))
    assert [row.completion for row in after] == [other(row.position) or row.completion for row in before]
    assert [(row.id, row.prompt) for row in after] == [(row.id, row.prompt) for row in before]


@pytest.mark.parametrize("suffix", WRITERS)
def test_places_ids_and_references(suffix: str, tmp_path: Path) -> None:
    rows = [{"key": i, "question": "q", "gold": 7 + i, "answer": "a"} for i in range(2)]
    table = opened(tmp_path / f"d{suffix}", WRITERS[suffix](rows), id_column="key", reference_column="gold")
    name = f"d{suffix}"
    lines = "jsonl" in suffix
    assert [row.where for row in all_given(table)] == [f"{name}:{n}" if lines else f"{name} row {n}" for n in (1, 2)]
    assert [(row.position, row.id, row.reference) for row in all_given(table)] == [(0, "0", "7"), (1, "1", "8")]


@pytest.mark.parametrize("suffix", [*WRITERS])
def test_a_failure_leaves_no_file_and_the_old_one_as_it_was(suffix: str, tmp_path: Path) -> None:
    table = opened(tmp_path / f"data{suffix}", WRITERS[suffix](FORMS["question"]))
    out = tmp_path / "out" / "refined"

    def fails(position: int) -> str | None:
        if position == 3:
            raise RuntimeError("the ledger is torn")
        return "new"

    with pytest.raises(RuntimeError, match="torn"):
        table.write(out, fails)
    assert list(out.parent.iterdir()) == []
    out.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="torn"):
        table.write(out, fails)
    assert out.read_bytes() == b"old"
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".csv.gz"])
def test_packed_files_depend_on_their_content_alone(suffix: str, tmp_path: Path) -> None:
    table = opened(tmp_path / f"data{suffix}", WRITERS[suffix](FORMS["text"]))
    table.write(tmp_path / "one.gz", other)
    table.write(tmp_path / "two.gz", other)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


# JSON lines


def test_lines_that_stay_are_copied_byte_for_byte(tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"question" : "q",  "answer": "\\u00e9"}\r\n',
        b"\n",
        b"{not JSON}\n",
        b'{"question": "q", "answer": "a", "big": 123456789012345678901234567890, "f": 1.50}\r\n',
        b'{"answer": "\xff", "question": "q"}\n',
        b'{"answer": "b", "big": 123456789012345678901234567890, "question": "q"}',
    ]
    table = opened(tmp_path / "d.jsonl", b"".join(lines))
    out = tmp_path / "out.jsonl"
    assert table.write(out, lambda _: None) == 5
    assert out.read_bytes() == b"".join(lines)
    table.write(out, {0: "è", 2: "new", 4: "last"}.get)
    lines[0] = '\ufeff{"question" : "q",  "answer": "è"}\r\n'.encode()
    lines[3] = b'{"question": "q", "answer": "new", "big": 123456789012345678901234567890, "f": 1.50}\r\n'
    lines[5] = b'{"answer": "last", "big": 123456789012345678901234567890, "question": "q"}'
    assert out.read_bytes() == b"".join(lines)


def test_blank_lines_are_no_rows_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    rows = all_given(opened(tmp_path / "d.jsonl", b"\n" + as_jsonl(FORMS["question"][:1]) * 2))
    assert [(row.where, row.position) for row in rows] == [("d.jsonl:2", 0), ("d.jsonl:3", 1)]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))


@pytest.mark.slow
@given_values(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=4))
def test_any_text_survives_in_json_lines(rows: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "d.jsonl")
        table = opened(path, as_jsonl([{"question": q, "answer": a, "extra": [new]} for q, a, new in rows]))
        assert [(row.prompt[0].content, row.completion) for row in all_given(table)] == [row[:2] for row in rows]
        table.write(path, lambda position: rows[position][2])
        lines = path.read_bytes().splitlines(keepends=True)
        assert [orjson.loads(line) for line in lines] == [
            {"question": q, "answer": new, "extra": [new]} for q, _, new in rows
        ]


# JSON


@pytest.mark.parametrize(
    ("source", "written"),
    [
        (
            '\ufeff[{"question":"q","answer":"é","x":{"big":18446744073709551616}}]\n',
            '\ufeff[{"question":"q","answer":"new","x":{"big":18446744073709551616}}]\n',
        ),
        (
            '[\n{"question":"q","answer":"é","x":["a\\nb"]},\n7]',
            '[\n{"question":"q","answer":"new","x":["a\\nb"]},\n7]',
        ),
        (
            '[{"question":"q","answer":"é"}, {"answer":NaN,"x":"\\ud800"}]',
            '[{"question":"q","answer":"new"}, {"answer":NaN,"x":"\\ud800"}]',
        ),
    ],
)
def test_a_json_document_is_written_in_the_layout_that_it_had(source: str, written: str, tmp_path: Path) -> None:
    table = opened(tmp_path / "d.json", source.encode())
    table.write(tmp_path / "out.json", {0: "new"}.get)
    assert (tmp_path / "out.json").read_bytes() == written.encode()


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_keeps_delimiter_header_and_line_ends(delimiter: str, end: str, tmp_path: Path) -> None:
    header, first, last = ['"question"', "answer", '"x,;"'], ['"q"', '"a""b"', ""], ["r", "c", "'"]
    lines = [delimiter.join(cells) for cells in (header, first, last)]
    data = "\ufeff" + end.join(lines)
    table = opened(tmp_path / "d.csv", data.encode())
    assert [row.completion for row in all_given(table)] == ['a"b', "c"]
    table.write(tmp_path / "out.csv", {0: 'one, two; "3"\t\r4', 1: "=1"}.get)
    first[1], last[1] = '"one, two; ""3""\t\r4"', "=1"
    lines[1:] = [delimiter.join(cells) for cells in (first, last)]
    assert (tmp_path / "out.csv").read_bytes().decode() == "\ufeff" + end.join(lines)


def test_csv_rows_that_stay_are_copied_bad_ones_too(tmp_path: Path) -> None:
    data = b'\nquestion,answer\r\n"q",a\n\nq\nq,\xff\n"q","a\nb"'
    table = opened(tmp_path / "d.csv", data)
    assert table.write(tmp_path / "out.csv", {0: "new"}.get) == 4
    assert (tmp_path / "out.csv").read_bytes() == data.replace(b'"q",a\n\n', b'"q",new\n\n')


@pytest.mark.slow
@given_values(st.lists(st.tuples(TEXT, TEXT, st.text(st.characters(exclude_categories=["Cs"]))), min_size=1))
def test_any_text_survives_in_csv(rows: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "d.csv")
        table = opened(path, as_csv([{"question": q, "extra": x, "answer": a} for q, a, x in rows]))
        assert [(row.prompt[0].content, row.completion) for row in all_given(table)] == [row[:2] for row in rows]
        table.write(path, lambda position: rows[-position][1] if position % 2 else None)
        records = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
        answers = [rows[-i][1] if i % 2 else row[1] for i, row in enumerate(rows)]
        assert records[1:] == [[q, x, answer] for (q, _, x), answer in zip(rows, answers, strict=True)]


def test_a_cell_may_be_longer_than_the_csv_module_allows_by_itself(tmp_path: Path) -> None:
    long = "a" * 200_000
    assert all_given(opened(tmp_path / "d.csv", as_csv([{"question": "q", "answer": long}])))[0].completion == long


# Parquet


def test_parquet_keeps_its_schema_and_what_python_does_not_read(tmp_path: Path) -> None:
    turn = arrow.struct(
        [("role", arrow.string()), ("content", arrow.large_string()), ("calls", arrow.list_(arrow.int8()))]
    )
    schema = arrow.schema(
        [
            arrow.field("messages", arrow.large_list(turn), nullable=False, metadata={"k": "v"}),
            ("seen", arrow.timestamp("ns", "UTC")),
            ("tags", arrow.map_(arrow.string(), arrow.decimal128(9, 2))),
            ("image", arrow.binary()),
            ("kind", arrow.dictionary(arrow.int8(), arrow.string())),
        ],
        metadata={"huggingface": "{}", "other": "x"},
    )
    chat: list[Any] = [
        {"role": "user", "content": "q", "calls": None},
        {"role": "assistant", "content": "a", "calls": []},
    ]
    rows: list[Any] = [
        {"messages": chat, "seen": i, "tags": [("a", i)], "image": b"\xff", "kind": f"k{i % 3}"} for i in range(3000)
    ]
    parquet.write_table(arrow.Table.from_pylist(rows, schema=schema), tmp_path / "d.parquet")
    table = opened(tmp_path / "d.parquet")
    assert table.write(tmp_path / "out.parquet", lambda i: f"new {i}" if i % 1000 == 1 else None) == 3000
    before, after = (parquet.read_table(tmp_path / name) for name in ("d.parquet", "out.parquet"))
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after.drop_columns("messages").equals(before.drop_columns("messages"))
    new = [i for i, row in enumerate(after["messages"].to_pylist()) if row != chat]
    assert new == [1, 1001, 2001]
    assert after["messages"][1001].as_py() == [chat[0], {**chat[1], "content": "new 1001"}]
    assert parquet.ParquetFile(tmp_path / "out.parquet").num_row_groups == 1


@pytest.mark.parametrize("text", ["string", "large_string", "string_view", "dictionary"])
def test_parquet_keeps_every_kind_of_text(text: str, tmp_path: Path) -> None:
    kind = arrow.dictionary(arrow.int32(), arrow.string()) if text == "dictionary" else getattr(arrow, text)()
    answers = arrow.array([f"a{i % 7}" for i in range(2500)], type=kind)
    parquet.write_table(arrow.table({"question": ["q"] * 2500, "answer": answers}), tmp_path / "d.parquet")
    opened(tmp_path / "d.parquet").write(tmp_path / "out.parquet", {1: "new", 2000: "last"}.get)
    before, after = (parquet.read_table(tmp_path / name) for name in ("d.parquet", "out.parquet"))
    assert after.schema.equals(before.schema, check_metadata=True)
    expected = [{1: "new", 2000: "last"}.get(i, f"a{i % 7}") for i in range(2500)]
    assert after["answer"].to_pylist() == expected


def test_parquet_is_read_and_written_with_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.parquet"
    path.write_bytes(as_parquet(FORMS["question"]))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"d\.parquet: the package `pyarrow` .* pip install 'burnish\[train\]'"):
        opened(path)


# The hub


def test_a_hub_dataset_is_read_and_becomes_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local: Any = importlib.import_module("datasets")
    rows = [
        {"messages": [{"role": "user", "content": f"Q{i}"}, {"role": "assistant", "content": "a"}]} for i in range(3)
    ]
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "train.jsonl").write_bytes(as_jsonl(rows))
    asked: list[Any] = []

    def load_dataset(source: str, subset: str | None, *, revision: str | None, split: str) -> Any:
        asked.append((source, subset, revision, split))
        return local.load_dataset(str(tmp_path / "repo"), split=split, cache_dir=str(tmp_path / "cache"))

    real = importlib.import_module

    def fake(name: str, package: str | None = None) -> Any:
        return SimpleNamespace(load_dataset=load_dataset) if name == "datasets" else real(name, package)

    monkeypatch.setattr(importlib, "import_module", fake)
    table = open_table(DataConfig(source="owner/name", subset="main", revision="abc"))
    assert (table.kind, table.files, table.name) == (FileKind.HUB, (), "refined.parquet")
    assert [row.where for row in all_given(table)] == [f"owner/name train row {n}" for n in (1, 2, 3)]
    assert table.write(tmp_path / "out.parquet", {1: "new"}.get) == 3
    rows[1]["messages"][1]["content"] = "new"
    assert rows_in(tmp_path / "out.parquet") == rows
    again = local.load_dataset("parquet", data_files=str(tmp_path / "out.parquet"), cache_dir=str(tmp_path / "cache"))
    assert again["train"].features == load_dataset("", None, revision=None, split="train").features
    assert set(asked[:-1]) == {("owner/name", "main", "abc", "train")}


@pytest.mark.parametrize("error", [FileNotFoundError("no such dataset"), ValueError("unknown split")])
def test_the_hub_refuses(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def load_dataset(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(ConfigError, match=rf"data\.source: train of 'owner/name' .*{error}; check"):
        open_table(DataConfig(source="owner/name"))


def test_the_hub_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BackendError, match=r"pip install 'burnish\[train\]'"):
        open_table(DataConfig(source="owner/name"))


# Real data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "form", "count", "blank"),
    [("gsm8k/test", Form.QUESTION_ANSWER, 1319, 0), ("alpaca/alpaca_subset", Form.ALPACA, 17387, 9)],
)
def test_real_data(data_dir: Path, tmp_path: Path, name: str, form: Form, count: int, blank: int) -> None:
    path = data_dir / f"{name}.jsonl.gz"
    table = opened(path)
    assert table.form is form
    rows = list(table.read())
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert (len(rows), len(bad)) == (count, blank)
    assert all(row.why.startswith("empty completion: column 'output' is blank") for row in bad)
    assert table.write(tmp_path / "out.jsonl.gz", lambda _: None) == count
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == gzip.decompress(path.read_bytes())
