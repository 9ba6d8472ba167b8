"""The verb `grade`: rows in, rows with two more columns out, errors with their line."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import BurnishError, ConfigError, DataError
from burnish.tasks.grading import grade

ROWS = [
    {"id": 1, "prediction": "12 + 7 = 19 #### 19", "reference": "#### 19"},
    {"id": 2, "prediction": "it is $1,000.", "reference": 1000},
    {"id": 3, "prediction": "#### 0.3333", "reference": 0.333333, "note": {"kept": [None, "é"]}},
    {"id": 4, "prediction": "#### 13", "reference": "14"},
    {"id": 5, "prediction": "", "reference": "14"},
]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("task", ["gsm8k", "word_problems"])
def test_counts_and_interval(tmp_path: Path, task: str) -> None:
    summary = grade(task, write(tmp_path / "p.jsonl", ROWS))
    assert (summary.n, summary.correct, summary.no_answer) == (5, 3, 1)
    assert summary.accuracy == pytest.approx(0.6)
    # Wilson for 3 of 5 with z = 1.959964: (0.6 + 0.384146) / 1.768292 -+ 0.325890
    assert (summary.low, summary.high) == pytest.approx((0.230724, 0.882380), abs=1e-5)


def test_a_sum_without_the_marker_is_no_answer(tmp_path: Path) -> None:
    summary = grade("sums", write(tmp_path / "p.jsonl", ROWS))
    assert (summary.n, summary.correct, summary.no_answer) == (5, 2, 2)


def test_out_keeps_every_column_and_adds_two(tmp_path: Path) -> None:
    out = tmp_path / "new" / "graded.jsonl"
    grade("gsm8k", write(tmp_path / "p.jsonl", ROWS), out)
    graded = read(out)
    assert [row.pop("correct") for row in graded] == [True, True, True, False, False]
    assert [row.pop("extracted") for row in graded] == ["19", "1000", "0.3333", "13", None]
    assert graded == ROWS


def test_out_may_be_the_predictions_and_grading_again_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", ROWS)
    grade("gsm8k", path, path)
    first = path.read_bytes()
    grade("gsm8k", path, path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_whole_numbers_beyond_64_bits_stay_exact_and_other_columns_as_they_were_written(tmp_path: Path) -> None:
    big = "123456789012345678901234567890"
    path, out = tmp_path / "p.jsonl", tmp_path / "out.jsonl"
    other = f'"n": {big}, "x" : 1.10, "y": 1E5, "s": "\\u2028\\/", "deep": {"[" * 90}{"]" * 90}'
    path.write_text(
        f'{{"prediction": "#### {big}", "reference": {big}, {other}}}\n'
        f'{{"prediction": "#### {big[:-1]}1", "reference": {big}, "correct": 7, "id":2}}\n'
        '{"prediction":"100000.0","reference":1E5}\n'
    )
    assert grade("gsm8k", path, out).correct == 2
    assert out.read_text().splitlines() == [
        f'{{"prediction": "#### {big}", "reference": {big}, {other}, "correct":true,"extracted":"{big}"}}',
        f'{{"prediction": "#### {big[:-1]}1", "reference": {big}, "id":2, "correct":false,"extracted":"{big[:-1]}1"}}',
        '{"prediction":"100000.0", "reference":1E5, "correct":true,"extracted":"100000"}',
    ]
    first = out.read_bytes()
    grade("gsm8k", out, out)
    assert out.read_bytes() == first


def test_a_column_that_is_nested_too_deeply_is_an_error_before_anything_is_graded(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(f'{{"prediction": "5", "reference": "5", "deep": {"[" * 1010}{"]" * 1010}}}\n')
    with pytest.raises(DataError, match=r"p\.jsonl:1: "):
        grade("gsm8k", path)


def test_gz_is_read_and_written(tmp_path: Path) -> None:
    path, out = tmp_path / "p.jsonl.gz", tmp_path / "out.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(ROWS[0]).encode()))
    grade("sums", path, out)
    assert json.loads(gzip.decompress(out.read_bytes()))["correct"] is True


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"reference": "5"}, "no column 'prediction'"),
        ({"prediction": "5"}, "no column 'reference'"),
        ({"prediction": 5, "reference": "5"}, "the prediction is 5"),
        ({"prediction": None, "reference": "5"}, "the prediction is None"),
        ({"prediction": "5", "reference": True}, "the reference is True"),
        ({"prediction": "5", "reference": None}, "the reference is None"),
        ({"prediction": "5", "reference": ["5"]}, "the reference is"),
        ({"prediction": "5", "reference": "none"}, "has no final answer"),
        ({"prediction": "5", "reference": "#### 1/0"}, "has no final answer"),
    ],
)
def test_a_bad_row_names_its_line_and_spares_out(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    path = write(tmp_path / "p.jsonl", [ROWS[0], row])
    out = tmp_path / "out.jsonl"
    out.write_text("precious")
    with pytest.raises(DataError, match=told) as caught:
        grade("gsm8k", path, out)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert out.read_text() == "precious"
    assert sorted(tmp_path.iterdir()) == [out, path]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match="no rows"):
        grade("gsm8k", path)


def test_what_is_no_json_no_file_or_no_task(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with pytest.raises(DataError, match="no such file"):
        grade("gsm8k", path)
    path.write_text("{\n")
    with pytest.raises(DataError, match=":1: not JSON"):
        grade("gsm8k", path)
    with pytest.raises(
        ConfigError, match="'poems' is unknown; choose gsm8k, instructions, sums, text_to_sql or word_problems"
    ):
        grade("poems", path)
    with pytest.raises(ConfigError, match="is a folder"):
        grade("gsm8k", path, tmp_path)
    assert issubclass(ConfigError, BurnishError)


@pytest.mark.slow
def test_no_model_library_is_imported() -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'trl', 'peft', 'accelerate'}"
    code = (
        f"import sys, burnish.tasks.grading; found = {heavy} & set(sys.modules); sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# Queries


def sql_rows(tmp_path: Path) -> list[dict[str, Any]]:
    from sql_data import people

    people(tmp_path / "people.sqlite")
    gold = {"reference": "SELECT age FROM person", "database": "people.sqlite"}
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
    predictions = {
        "rows": ["```sql\nSELECT DISTINCT age FROM person\n```", "SELECT name FROM person"],
        "error": ["SELECT nobody"],
        "too_large": [endless, "SELECT zeroblob(2000000000)"],
        "refused": ["DROP TABLE person", "SELECT '" + "x" * (1 << 20) + "'"],
        "two_statements": ["SELECT 1; SELECT 2"],
        "not_sql": ["Ich weiß es nicht."],
        "empty": [""],
    }
    return [{"prediction": text, "kind": kind, **gold} for kind, texts in predictions.items() for text in texts]


def test_queries_are_graded_and_counted_by_what_became_of_them(tmp_path: Path) -> None:
    rows = sql_rows(tmp_path)
    out = tmp_path / "out.jsonl"
    summary = grade("text_to_sql", write(tmp_path / "p.jsonl", rows), out)
    assert (summary.n, summary.correct, summary.no_answer, summary.no_reference) == (10, 1, 4, 0)
    assert summary.outcomes == {
        "empty": 1,
        "error": 1,
        "not_sql": 1,
        "refused": 2,
        "rows": 2,
        "too_large": 2,
        "two_statements": 1,
    }
    graded = read(out)
    assert [row["outcome"] for row in graded] == [row["kind"] for row in rows]
    assert [row["correct"] for row in graded] == [True] + [False] * 9
    assert graded[2]["why"] == "no such column: nobody"
    assert graded[0]["extracted"] == "SELECT DISTINCT age FROM person"


@pytest.mark.parametrize(
    ("equality", "right"),
    [
        (None, [True, True, True, False]),
        ("set", [True, True, True, False]),
        ("multiset", [True, True, False, False]),
        ("ordered", [True, False, False, False]),
    ],
)
def test_results_are_compared_as_asked(tmp_path: Path, equality: str | None, right: list[bool]) -> None:
    gold = sql_rows(tmp_path)[0] | {"reference": "SELECT age FROM person ORDER BY id"}  # 36, 41, 36
    texts = [f"SELECT age FROM person ORDER BY {by}" for by in ("id", "age")]
    texts += ["SELECT DISTINCT age FROM person", "SELECT name FROM person"]
    path, out = write(tmp_path / "p.jsonl", [gold | {"prediction": text} for text in texts]), tmp_path / "out.jsonl"
    assert grade("text_to_sql", path, out, equality=equality).correct == sum(right)
    assert [row["correct"] for row in read(out)] == right


def test_an_equality_that_there_is_not_or_that_nothing_uses(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", ROWS)
    with pytest.raises(ConfigError, match="equality: 'bag' is unknown; choose set, multiset, ordered"):
        grade("text_to_sql", path, equality="bag")
    with pytest.raises(ConfigError, match="equality: 'multiset' found, and the task is gsm8k"):
        grade("gsm8k", path, equality="multiset")


def test_a_half_copied_database_and_a_pipe_are_named_with_their_line(tmp_path: Path) -> None:
    row = sql_rows(tmp_path)[0]
    database = tmp_path / "people.sqlite"
    path = write(tmp_path / "p.jsonl", [row])
    database.write_bytes(database.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"p\.jsonl:1: .*people\.sqlite' has .* a part of it is missing"):
        grade("text_to_sql", path)
    os.mkfifo(tmp_path / "pipe.sqlite")
    for name, told in (("pipe.sqlite", "no ordinary file"), ("a\0b", "null byte"), ("x" * 300, "name too long")):
        with pytest.raises(DataError, match=rf"p\.jsonl:1: .*{told}"):
            grade("text_to_sql", write(path, [row | {"database": name}]))


def test_a_reference_that_does_not_run_is_counted_apart(tmp_path: Path) -> None:
    rows = sql_rows(tmp_path)[:2]
    path, out = tmp_path / "p.jsonl", tmp_path / "out.jsonl"
    summary = grade("text_to_sql", write(path, [*rows, rows[0] | {"reference": "SELECT nobody"}]), out)
    assert (summary.n, summary.correct, summary.accuracy, summary.no_reference) == (2, 1, 0.5, 1)
    assert read(out)[2]["correct"] is None
    assert read(out)[2]["why"] == "the reference does not run (error: no such column: nobody)"
    with pytest.raises(DataError, match="no reference runs, such as the reference does not run"):
        grade("text_to_sql", write(path, [rows[0] | {"reference": "SELECT nobody"}]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"database": "none.sqlite"}, "the database '.*none.sqlite' cannot be read"),
        ({"database": "p.jsonl"}, r"p\.jsonl' is no SQLite database"),
        ({"database": None}, "the database is None; write the path"),
        ({"reference": 5}, "the reference is 5; write the gold query"),
        ({"reference": " "}, "the reference is ' '; write the gold query"),
        ({"prediction": None}, "the prediction is None"),
    ],
)
def test_a_bad_row_of_queries_names_its_line(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    first = sql_rows(tmp_path)[0]
    path = write(tmp_path / "p.jsonl", [first, first | change])
    with pytest.raises(DataError, match=told) as caught:
        grade("text_to_sql", path)
    assert str(caught.value).startswith(f"{path}:2: ")
    del first["database"]
    with pytest.raises(DataError, match=r"p\.jsonl:1: no column 'database'"):
        grade("text_to_sql", write(path, [first]))


@pytest.mark.slow
def test_the_verb_counts_and_needs_no_model_library(tmp_path: Path) -> None:
    write(tmp_path / "p.jsonl", sql_rows(tmp_path))
    code = """
import sys
from burnish.cli import main
main(["grade", "text_to_sql", "p.jsonl"], standalone_mode=False)
print({"torch", "transformers", "datasets", "tokenizers"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "n 10  accuracy 0.1000  95 % interval 0.0179 to 0.4042  without an answer 4",
        "empty 1  error 1  not_sql 1  refused 2  rows 2  too_large 2  two_statements 1",
        "set()",
    ], done.stderr
