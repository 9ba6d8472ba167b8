"""Forms from the first line that is printed to the file that comes out: columns, other files, reverts, identities."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from forms_data import as_jsonl, rows_in
from refinement import CAP, COUNT, Refined, fake, refine, right, rows, settings, written

import burnish
from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.errors import ConfigError
from burnish.forms.convert import AlsoAs, convert
from burnish.inputs import context
from burnish.ledger.originals import ORIGINALS, read_originals
from burnish.ledger.reverting import revert

QUICK = (
    "--set=decode.beams=1",
    "--set=decode.max_new_tokens=40",
    "--set=train.lora=null",
    "--alpha=0.1",
    "--differs=number",
)
MAPPED = "prompt=query,completion=response"


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the fake backend in the real one's place."""

    def opener_of(*_: object) -> Callable[[], FakeBackend]:
        return fake

    monkeypatch.setattr(context, "opener_of", opener_of)


def call(where: Path, data: Path, *arguments: str) -> Result:
    places = ("--out", str(where / "out"), "--store", str(where / "store"), "--annotator", "oracle:gold")
    return CliRunner().invoke(main, ["refine", str(data), "--model", "builtin:strong", *QUICK, *places, *arguments])


def own_names() -> list[dict[str, Any]]:
    """Return the noisy dataset with columns that no known form has."""
    names = {"question": "query", "answer": "response"}
    return [{names.get(name, name): value for name, value in row.items()} for row in rows()]


# Columns


@pytest.mark.parametrize("way", ["option", "set", "config"])
def test_columns_by_their_names_on_the_command_line_and_in_the_config(way: str, tmp_path: Path) -> None:
    data = written(tmp_path, own_names())
    given = {
        "option": ("--columns", MAPPED),
        "set": ("--set", "data.columns={prompt: query, completion: response}"),
        "config": ("--set", "data.columns.prompt=query", "--set", "data.columns.completion=response"),
    }
    result = call(tmp_path, data, "--rounds", "1", *given[way])
    assert result.exit_code == 0, result.output
    assert (
        "data: 60 rows of prompt/completion (prompt from 'query', completion from 'response'), 60 us" in result.stderr
    )
    after = rows_in(tmp_path / "out" / "refined.jsonl")
    before = own_names()
    changed = [i for i in range(COUNT) if after[i] != before[i]]
    assert len(changed) == CAP
    assert all(after[i] == {**before[i], "response": after[i]["response"]} for i in changed)
    assert all(right(after[i]["query"], after[i]["response"]) for i in changed)


@pytest.mark.slow
def test_columns_in_python(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    for number, columns in enumerate((MAPPED, {"prompt": "query", "completion": "response"})):
        found = burnish.refine(
            own_names(),
            model="builtin:strong",
            annotator="oracle:gold",
            rounds=1,
            alpha=0.1,
            differs="number",
            columns=columns,
            extra_columns=["topic"],
            changes=["train.lora=null"],
            backend=fake(),
            out=tmp_path / f"out{number}",
            store=tmp_path / "store",
        )
        assert found.dataset.column_names == ["id", "query", "response", "gold", "topic"]
        assert sum(right(row["query"], row["response"]) for row in found.dataset) == 36 + CAP


@pytest.mark.parametrize("text", ["prompt", "prompt=", "=x", "prompt=a,prompt=b", ""])
def test_columns_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    result = call(tmp_path, written(tmp_path, own_names()), "--columns", text)
    assert result.exit_code == 2
    assert "--columns: " in result.stderr
    assert "such as prompt=query,completion=response" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_columns_that_nothing_reads_are_named_once(dry: tuple[str, ...], tmp_path: Path) -> None:
    data = [row | ({"late": i} if i == 40 else {}) for i, row in enumerate(rows())]
    source = written(tmp_path, data)
    said = "columns that are not read, and stay as they are: 'topic', 'late' (--extra-columns NAME,... hides this line)"
    result = call(tmp_path, source, "--rounds", "1", *dry)
    assert result.output.count(said) == 1, result.output
    result = call(tmp_path, source, "--rounds", "1", "--extra-columns", "topic, late", *dry)
    assert result.exit_code == 0, result.output
    assert "columns that are not read" not in result.output


def test_a_column_of_the_prompt_stops_and_says_both_ways_on(tmp_path: Path) -> None:
    data = [row | ({"context": f"table {i}"} if i == 7 else {}) for i, row in enumerate(rows())]
    result = call(tmp_path, written(tmp_path, data))
    assert result.exit_code == 2
    assert "data.jsonl:8 (id 'row-07'): column 'context' may belong to the prompt" in result.stderr
    assert "--columns context=context, or say that it is an extra with --extra-columns context" in result.stderr
    assert call(tmp_path, tmp_path / "data.jsonl", "--rounds", "1", "--extra-columns", "context").exit_code == 0


# Other files


@pytest.mark.slow
def test_the_dataset_also_as_parquet_and_csv(tmp_path: Path) -> None:
    data = [row | ({"score": 1.5} if i % 2 else {"score": None, "tags": ["a", "b"]}) for i, row in enumerate(rows())]
    source, out = written(tmp_path, data), tmp_path / "out"
    result = call(tmp_path, source, "--rounds", "1", "--also-as", "parquet", "--also-as", "csv")
    assert result.exit_code == 0, result.output
    assert f"also as: {out / 'refined.parquet'}" in result.stdout
    summary = Refined(out, tmp_path / "store").summary
    assert summary.data.also == ("refined.parquet", "refined.csv")
    check_alike(out)
    changed = [row["id"] for row, old in zip(rows_in(out / "refined.jsonl"), data, strict=True) if row != old]
    assert len(changed) == CAP
    revert(out, None, changed[:1])
    check_alike(out)
    # The files that are there follow the dataset, also where the next call does not name them again.
    assert call(tmp_path, source, "--rounds", "1").exit_code == 0
    check_alike(out)
    assert Refined(out, tmp_path / "store").summary.data.also == ("refined.parquet", "refined.csv")


def check_alike(out: Path) -> None:
    """Check that the three files hold the same rows."""
    lines = rows_in(out / "refined.jsonl")
    names = [*rows()[0], "score", "tags"]
    assert rows_in(out / "refined.parquet") == [{name: row.get(name) for name in names} for row in lines]
    texts = {None: "", 1.5: "1.5"}
    assert rows_in(out / "refined.csv") == [
        {
            name: json.dumps(row["tags"], separators=(",", ":"))
            if name == "tags" and name in row
            else texts.get(row.get(name), row.get(name))
            if name in {"score", "tags"}
            else row[name]
            for name in names
        }
        for row in lines
    ]


@pytest.mark.parametrize("source", [".jsonl", ".csv", ".parquet"])
def test_a_file_of_its_own_kind_is_not_written_twice(source: str, tmp_path: Path) -> None:
    kinds = tuple(AlsoAs)
    found = refine(settings(written(tmp_path, suffix=source), rounds=1), tmp_path, also=kinds)
    assert found.summary.data.also == tuple(f"refined.{kind}" for kind in kinds if f".{kind}" != source)
    for name in found.summary.data.also:
        assert [row["answer"] for row in rows_in(found.out / name)] == [row["answer"] for row in found.rows]


def test_values_that_tables_have_trouble_with(tmp_path: Path) -> None:
    lines = [
        '{"question": "q", "answer": "a", "big": 123456789012345678901234567890, "mixed": 1, "f": 1.10}',
        "no json",
        '{"question": "q", "answer": "b", "mixed": "x", "late": [1], "f": 2}',
    ]
    source = tmp_path / "d.jsonl"
    source.write_text("\n".join(lines))
    convert(source, tmp_path / "d.csv", AlsoAs.CSV)
    assert (tmp_path / "d.csv").read_text() == (
        "question,answer,big,mixed,f,late\nq,a,123456789012345678901234567890,1,1.10,\n,,,,,\nq,b,,x,2,[1]\n"
    )
    convert(source, tmp_path / "d.parquet", AlsoAs.PARQUET)
    empty = dict.fromkeys(("question", "answer", "big", "mixed", "f", "late"))
    assert rows_in(tmp_path / "d.parquet") == [
        empty | {"question": "q", "answer": "a", "big": "123456789012345678901234567890", "mixed": "1", "f": 1.1},
        empty,
        empty | {"question": "q", "answer": "b", "mixed": "x", "f": 2.0, "late": [1]},
    ]


def test_types_that_change_after_the_first_rows(tmp_path: Path) -> None:
    source = tmp_path / "d.jsonl"
    source.write_bytes(as_jsonl([{"question": "q", "answer": "a", "n": None if i < 1500 else i} for i in range(3000)]))
    convert(source, tmp_path / "d.parquet", AlsoAs.PARQUET)
    assert [row["n"] for row in rows_in(tmp_path / "d.parquet")][1499:1501] == [None, 1500]
    big = 2**60 + 1
    source.write_bytes(as_jsonl([{"question": "q", "answer": "a", "n": big if i < 1500 else 0.5} for i in range(3000)]))
    convert(source, tmp_path / "d.parquet", AlsoAs.PARQUET)
    assert [row["n"] for row in rows_in(tmp_path / "d.parquet")][1499:1501] == [str(big), "0.5"]


@pytest.mark.parametrize("given", ["xml", ["parquet", "xml"], 7])
def test_a_kind_of_file_that_is_none(given: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"also_as: .* found; give parquet, csv, or a list of both"):
        burnish.refine(rows(), model="builtin:strong", annotator="oracle:gold", also_as=given, out=tmp_path / "out")


# Reverts


@pytest.mark.slow
def test_reverting_everything_gives_the_first_bytes_back(tmp_path: Path) -> None:
    def line(row: dict[str, Any], number: int) -> str:
        answer = f'"\\u0023### {row["answer"].removeprefix("#### ")}"' if number % 2 else json.dumps(row["answer"])
        return (
            f'{{ "id":"{row["id"]}" , "question": "{row["question"]}","answer":  {answer}, "gold": "{row["gold"]}", '
            f'"price": 1.10, "size": 1E5, "n": 12345678901234567890123, "u": "\u2028 \\u2028", "id2": 1, "id2": 2}}\r\n'
        )

    source = tmp_path / "data.jsonl"
    data = "".join(line(row, number) for number, row in enumerate(rows())).encode()
    source.write_bytes(data)
    found = refine(settings(source), tmp_path)
    refined = (found.out / "refined.jsonl").read_bytes()
    pairs = list(zip(data.splitlines(keepends=True), refined.splitlines(keepends=True), strict=True))
    changed = [(old, new) for old, new in pairs if old != new]
    assert len(changed) == 2 * CAP
    for old, new in changed:
        head, tail = old.split(b'"answer":  ')[0], old.split(b', "gold"')[1]
        assert new.startswith(head + b'"answer":  "#### ')
        assert new.endswith(b'", "gold"' + tail)
    assert 0 < len(read_originals(found.out)) < 2 * CAP
    revert(found.out, 2, [])
    revert(found.out, 1, [])
    assert (found.out / "refined.jsonl").read_bytes() == data


@pytest.mark.slow
def test_a_row_that_went_back_stays_as_it_was_through_the_next_calls(tmp_path: Path) -> None:
    source = tmp_path / "data.jsonl"
    data = as_jsonl(rows()).replace(b'"answer":"#', b'"answer":"\\u0023')
    source.write_bytes(data)
    found = refine(settings(source, rounds=1), tmp_path)
    changed = [line.example_id for line in found.of_round(1) if line.reason == "accepted"]
    revert(found.out, None, changed[:1])
    refine(settings(source, rounds=1), tmp_path)
    revert(found.out, None, changed[1:])
    assert (found.out / "refined.jsonl").read_bytes() == data
    refine(settings(source, rounds=1), tmp_path)
    assert (found.out / "refined.jsonl").read_bytes() == data
    assert not (found.out / ORIGINALS).exists()
