"""Rows and files that cannot be used: what is said, and that everything around them is read."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forms_data import WRITERS, arrow, as_csv, as_json, as_jsonl, as_parquet, one_bad, opened, parquet

from burnish.config import DataConfig
from burnish.errors import ConfigError, DataError, StageError
from burnish.forms import BadRow, json_list, open_table
from burnish.forms.rows import MAX_ROW_BYTES

GOOD = {"question": "q", "answer": "a"}
LINE = as_jsonl([GOOD])
LONG = "x" * (MAX_ROW_BYTES + 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not JSON}", "not JSON ("),
        (b'{"question": "q"', "not JSON ("),
        (b"[1, 2]", "list found; each row must be one JSON object"),
        (b"null", "NoneType found"),
        (b'{"question": "q", "answer": "\xff"}', "invalid UTF-8 (byte 30 is 0xff); save the file as UTF-8"),
        (b'{"question": "q", "answer": NaN}', "column 'answer' is NaN, which JSON does not have"),
        (b'{"question": "q", "answer": "a", "x": {"y": [1e999]}}', "column 'x'.y[0] is infinite"),
        (b'{"question": "q", "answer": "\\ud800"}', "column 'answer' holds half a surrogate pair"),
        (b'{"question": "q", "answer": "a", "x": {"\\udc00": 1}}', "column 'x' has half a surrogate pair in a name"),
        (b'{"question": "q", "answer": "a", "\\udc00": 1}', "a column has half a surrogate pair in a name"),
        (b"[" * 5000, "not JSON ("),
        (b'{"question": "q"}', "no known form in the columns 'question'"),
        (b'{"prompt": "q", "completion": "a"}', "the row has the form prompt/completion, the table question/answer"),
        (b'{"question": "q", "answer": "a", "id": [1]}', "column 'id' (id) is [1]"),
    ],
)
def test_a_bad_line_is_told_and_the_others_are_read(line: bytes, reason: str, tmp_path: Path) -> None:
    bad = one_bad(opened(tmp_path / "d.jsonl", LINE + line + b"\n" + LINE))
    assert (bad.where, bad.position) == ("d.jsonl:2", 1)
    assert reason in bad.why


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_beyond_the_limit_is_told_and_copied(end: bytes, tmp_path: Path) -> None:
    fits = b'{"question": "q", "answer": "%s"}' % (b"x" * (MAX_ROW_BYTES - 31))
    assert len(fits) == MAX_ROW_BYTES
    rest = fits + b"\r\n" + fits.replace(b"xx", b"xxx", 1) + end
    table = opened(tmp_path / "d.jsonl", LINE + rest)
    bad = one_bad(table)
    assert (bad.where, bad.position) == ("d.jsonl:3", 2)
    assert bad.why.startswith(f"the row has {MAX_ROW_BYTES + 1:,} bytes, at most {MAX_ROW_BYTES:,} can be used;")
    assert table.write(tmp_path / "out.jsonl", {0: "new"}.get) == 3
    assert (tmp_path / "out.jsonl").read_bytes() == as_jsonl([{"question": "q", "answer": "new"}]) + rest


def test_a_line_of_many_pieces_is_told_and_copied(tmp_path: Path) -> None:
    data = LINE + b"x" * (3 * MAX_ROW_BYTES) + b"\n" + LINE
    table = opened(tmp_path / "d.jsonl", data)
    assert f"the row has {3 * MAX_ROW_BYTES:,} bytes" in one_bad(table).why
    table.write(tmp_path / "out.jsonl", lambda _: None)
    assert (tmp_path / "out.jsonl").read_bytes() == data


@pytest.mark.parametrize("rest", [b"\n", b"", b"\r\n", LINE])
def test_a_full_row_and_two_carriage_returns_are_one_line(rest: bytes, tmp_path: Path) -> None:
    fits = b'{"question": "q", "answer": "%s"}' % (b"x" * (MAX_ROW_BYTES - 31))
    data = LINE + fits + b"\r\r" + rest
    table = opened(tmp_path / "d.jsonl", data)
    assert one_bad(table).where == "d.jsonl:2"
    table.write(tmp_path / "out.jsonl", lambda _: None)
    assert (tmp_path / "out.jsonl").read_bytes() == data


@pytest.mark.parametrize("suffix", [suffix for suffix in WRITERS if "jsonl" not in suffix])
def test_a_row_beyond_the_limit_is_told_in_every_kind_of_file(suffix: str, tmp_path: Path) -> None:
    rows = [GOOD, {"question": "q", "answer": LONG}, GOOD]
    bad = one_bad(opened(tmp_path / f"d{suffix}", WRITERS[suffix](rows)))
    assert bad.where == f"d{suffix} row 2"
    assert bad.why.startswith("the row has 4,194,3")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'7,"a', "a quote is opened and never closed"),
        (b'q,"a\nq,a\n', "a quote is opened and never closed"),
        (b"q\n", "1 cells where the header has 2, the last is 'q'"),
        (b"q,a,b\n", "3 cells where the header has 2, the last is 'b'"),
        (b"q,\n", "empty completion: column 'answer' is blank"),
        (b'" ",a\n', "empty prompt: column 'question' is blank"),
        (b"q,\xe9\n", "invalid UTF-8 in the row that ends in line 3"),
    ],
)
def test_a_bad_row_of_csv(row: bytes, reason: str, tmp_path: Path) -> None:
    bad = one_bad(opened(tmp_path / "d.csv", b"question,answer\nq,a\n" + row))
    assert (bad.where, bad.position) == ("d.csv row 2", 1)
    assert reason in bad.why


def test_a_quote_that_takes_in_too_much_ends_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.forms.csv_file._HOLD", 1000)
    table = opened(tmp_path / "d.csv", b'question,answer\nq,a\nq,"' + b"x\n" * 1000)
    with pytest.raises(DataError, match=r"d\.csv row 2: no end within 1,000 characters; close the quote"):
        list(table.read())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("[1]", "list found; each row must be one JSON object"),
        ('{"question": "q", "answer": NaN}', "column 'answer' is NaN"),
        ('{"question": "q", "answer": "\\ud800"}', "column 'answer' holds half a surrogate pair"),
    ],
)
def test_a_bad_item_of_a_json_list(value: str, reason: str, tmp_path: Path) -> None:
    bad = one_bad(opened(tmp_path / "d.json", f"[{json.dumps(GOOD)}, {value}]".encode()))
    assert (bad.where, bad.position) == ("d.json row 2", 1)
    assert reason in bad.why


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (arrow.array(["a", None]), "empty completion: column 'answer' is null"),
        (arrow.array([b"a", b"\xff"]).cast(arrow.string(), safe=False), "invalid UTF-8"),
    ],
)
def test_a_bad_row_of_parquet(answers: Any, reason: str, tmp_path: Path) -> None:
    parquet.write_table(arrow.table({"question": ["q", "q"], "answer": answers}), tmp_path / "d.parquet")
    table = opened(tmp_path / "d.parquet")
    bad = one_bad(table)
    assert (bad.where, bad.position) == ("d.parquet row 2", 1)
    assert reason in bad.why
    assert table.write(tmp_path / "out.parquet", {0: "new"}.get) == 2
    assert one_bad(opened(tmp_path / "out.parquet")) == BadRow(
        where="out.parquet row 2", position=1, id=None, why=bad.why
    )


def test_a_column_of_nan_in_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty completion: column 'answer' is NaN"):
        opened(tmp_path / "d.parquet", as_parquet([{"question": "q", "answer": float("nan")}]))


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_form_comes_from_the_first_row_that_can_be_used(suffix: str, tmp_path: Path) -> None:
    rows = [{"question": "", "answer": "a"}, GOOD]
    assert one_bad(opened(tmp_path / f"d{suffix}", WRITERS[suffix](rows))).position == 0


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_without_a_usable_row(suffix: str, tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": ""}] * 2
    with pytest.raises(DataError, match=r"^d.*[ :][12]: empty completion.*\(no row of .* can be used\)"):
        opened(tmp_path / f"d{suffix}", WRITERS[suffix](rows))
    with pytest.raises(DataError, match="no known form in the columns 'text', 'n'; write one of"):
        opened(tmp_path / f"d{suffix}", WRITERS[suffix]([{"text": "t", "n": 1}]))


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".jsonl", b""),
        (".jsonl", b"\n \n"),
        (".jsonl.gz", gzip.compress(b"", mtime=0)),
        (".json", b""),
        (".json", b"[]"),
        (".csv", b""),
        (".csv", b"question,answer\n"),
        (".parquet", as_parquet([GOOD], keep=0)),
    ],
)
def test_an_empty_file(suffix: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows; give a file with at least one"):
        opened(tmp_path / f"d{suffix}", data)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl.gz", ".csv.gz"])
def test_a_packed_file_that_is_not_whole(suffix: str, tmp_path: Path) -> None:
    rows = [{"question": f"q{i * 7919 % 10007}", "answer": "a"} for i in range(20_000)]
    data = WRITERS[suffix](rows)
    table = opened(tmp_path / f"d{suffix}", data[:-5])
    with pytest.raises(DataError, match=rf"^d{suffix}: not a whole gzip file"):
        list(table.read())
    with pytest.raises(DataError, match="not a whole gzip file"):
        table.write(tmp_path / "out", lambda _: None)
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="not a whole gzip file"):
        opened(tmp_path / f"e{suffix}", b"question,answer\nq,a\n")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("d.json", as_json([GOOD])[:-3], r"^d\.json:\d: not JSON \(.*\); write one list of objects"),
        ("d.json", LINE * 2, r"^d\.json:2: not JSON \(Extra data\); if it holds JSON lines, name it \.jsonl"),
        ("d.json", b'{"data": []}', "dict with data found; write only the list of rows"),
        ("d.json", b'"text"', "str found; write only the list of rows"),
        ("d.json", b'[\n\n"\xff"]', r"^d\.json:3: invalid UTF-8; save"),
        ("d.json", b"[" * 100_000, r"^d\.json: cannot be parsed"),
        ("d.csv", "question;réponse\n".encode("latin-1"), r"^d\.csv:1: the header is no UTF-8"),
        ("d.csv", b"answer,question,answer\n", r"^d\.csv:1: column 'answer' comes twice in the header; rename"),
        ("d.parquet", as_parquet([GOOD])[:-9], r"^d\.parquet: not a whole Parquet file"),
        ("d.parquet", b"", r"^d\.parquet: not a whole Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_at_all(name: str, data: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        opened(tmp_path / name, data)


def test_a_large_json_document_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_list, "MAX_DOCUMENT_BYTES", 10)
    with pytest.raises(DataError, match=r"d\.json: 62 bytes of JSON, at most 10 .* write it as JSON lines"):
        opened(tmp_path / "d.json", as_json([GOOD]))


def test_a_column_that_is_twice_in_parquet(tmp_path: Path) -> None:
    parquet.write_table(
        arrow.table([["q"], ["a"], ["b"]], names=["question", "answer", "answer"]), tmp_path / "d.parquet"
    )
    with pytest.raises(DataError, match=r"d\.parquet: column 'answer' is there twice; rename"):
        opened(tmp_path / "d.parquet")


# The source and its columns


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("data/train.jsonl", "'data/train.jsonl' does not exist and is no hub id"),
        ("nothing", "'nothing' does not exist and is no hub id"),
        ("x" * 5000, "does not exist"),
        (
            "{here}",
            "is not a file; give a file that ends in .jsonl, .jsonl.gz, .json, .csv, .csv.gz, .tsv, .tsv.gz, .parquet",
        ),
        ("{here}/d.txt", "is of no known kind; give a file that ends in .jsonl"),
        ("${BURNISH_NO_SUCH}/d.jsonl", "names the environment variable BURNISH_NO_SUCH"),
    ],
)
def test_a_source_that_is_not_there(source: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_bytes(LINE)
    with pytest.raises(ConfigError, match=r"^data\.source: ") as caught:
        open_table(DataConfig(source=source.replace("{here}", str(tmp_path))))
    assert reason in str(caught.value)


def test_the_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    assert opened(tmp_path / "D.CSV", as_csv([GOOD])).name == "refined.csv"


@pytest.mark.parametrize("field", ["id_column", "reference_column"])
def test_a_column_that_is_named_must_be_there(field: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"data\.{field}: no column 'gold' at d\.jsonl:1, found 'question', 'answer'"
    ):
        opened(tmp_path / "d.jsonl", LINE, **{field: "gold"})


def test_an_answer_for_a_row_that_cannot_be_used_means_that_the_file_was_changed(tmp_path: Path) -> None:
    table = opened(tmp_path / "d.jsonl", LINE + b"{}\n" + b"7\n")
    for position, line in ((1, 2), (2, 3)):
        with pytest.raises(DataError, match=rf"d\.jsonl:{line}: a row with another answer cannot be used"):
            table.write(tmp_path / "out.jsonl", {position: "new"}.get)


def test_nothing_is_written_over_a_folder(tmp_path: Path) -> None:
    table = opened(tmp_path / "d.jsonl", LINE)
    with pytest.raises(StageError, match="is no ordinary file"):
        table.write(tmp_path, lambda _: None)


# Memory

COPY = """
import resource, sys
from pathlib import Path
from burnish.config import DataConfig
from burnish.forms import open_table
table = open_table(DataConfig(source=sys.argv[1]))
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(1 for _ in table.read())
assert table.write(Path(sys.argv[2]), lambda position: "new" if position % 5 == 0 else None) == count
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".csv.gz", ".parquet"])
def test_memory_does_not_grow_with_the_rows(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"d{suffix}"
    path.write_bytes(WRITERS[suffix]([{"question": f"What is {i}?", "answer": f"{i} " * 10} for i in range(300_000)]))
    ran = subprocess.run(
        [sys.executable, "-c", COPY, path, tmp_path / "out"], capture_output=True, text=True, check=True
    )
    count, kibibytes = map(int, ran.stdout.split())
    assert count == 300_000
    assert kibibytes < 60_000  # the texts alone are twice as much
