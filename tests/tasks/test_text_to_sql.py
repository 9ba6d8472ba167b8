"""Text-to-SQL: the layouts in which data come, prompts, what is left out, answers that agree, real gold queries."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from sql_data import people, rows_of, write

from burnish.config import TextToSqlTask
from burnish.errors import BackendError, BurnishError, ConfigError, DataError
from burnish.tasks import local_files, make_task, task_named
from burnish.tasks.answers import graders
from burnish.tasks.sql_answers import SqlAnswers
from burnish.types import Answer, AnswerKind, Demonstration, DemonstrationSource, Example


def config(source: Path, **changes: Any) -> TextToSqlTask:
    return TextToSqlTask.model_validate({"kind": "text_to_sql", "source": str(source), **changes})


def own(tmp_path: Path, *more: dict[str, Any], count: int = 10, **changes: Any) -> TextToSqlTask:
    rows = rows_of(people(tmp_path / "people.sqlite"), count)
    return config(write(tmp_path / "rows.jsonl", *rows, *more), **changes)


def row(sql: str = "SELECT 1", **more: Any) -> dict[str, Any]:
    return {"question": f"What is {sql}?", "sql": sql, "database": "people.sqlite", **more}


def whole(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


# Real data: every gold query is right against itself

SHARED: dict[str, tuple[dict[str, Any], tuple[int, int], int]] = {
    # {set: (config, (train, test), gold queries whose result has no rows)}
    "geoquery": (
        {
            "source": "geoquery/geography.jsonl",
            "databases": "geoquery/geography.sqlite",
            "split_column": "question_split",
        },
        (547, 277),
        28,
    ),
    "bird_superhero": ({"source": "bird_superhero/dev_superhero.jsonl"}, (104, 25), 0),
    "spider_dev": ({"source": "spider_dev/dev.jsonl", "databases": "spider_dev/database"}, (778, 194), 49),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED)
def test_every_gold_query_is_right_against_itself(data_dir: Path, name: str) -> None:
    values, (train, test), nothing = SHARED[name]
    places = {key: str(data_dir / value) for key, value in values.items() if key in {"source", "databases"}}
    settings = TextToSqlTask.model_validate({"kind": "text_to_sql", **values, **places})
    task = make_task(settings)
    assert isinstance(task, SqlAnswers)
    data = task.load()
    assert (len(data.train), len(data.test), data.left_out) == (train, test, {})
    rows = (*data.train, *data.test)
    task.execute(((one, one.reference or "") for one in rows), gold=True)
    judged = [task.judge(one, one.reference or "") for one in rows]
    assert [one.id for one, result in zip(rows, judged, strict=True) if not result.correct] == []
    assert sum(result.gold.signature is not None and result.gold.signature.rows == 0 for result in judged) == nothing


# Layouts


def bird(tmp_path: Path) -> Path:
    """Make BIRD's folder as its two zips unpack."""
    folder = tmp_path / "bird"
    for split, where, name in (("train", "train", "shop"), ("dev", "dev_20240627", "school")):
        rows = [
            {"question_id": n, "db_id": name, "question": f"{name} {n}?", "evidence": f"hint {n}", "SQL": f"SELECT {n}"}
            for n in range(4)
        ]
        whole(folder / where / f"{split}.json", rows)
        database = folder / where / f"{split}_databases" / name / f"{name}.sqlite"
        database.parent.mkdir(parents=True)
        people(database)
    return folder


def test_bird_as_published(tmp_path: Path) -> None:
    settings = config(bird(tmp_path))
    data = make_task(settings).load()
    assert (len(data.train), len(data.test)) == (4, 4)
    first = data.test[0]
    assert first.reference == "SELECT 0"
    assert first.metadata == {
        "question_id": 0,
        "db_id": "school",
        "database": "dev_20240627/dev_databases/school/school.sqlite",
    }
    (message,) = first.prompt
    assert message.content == (
        "Database schema (SQLite):\n"
        "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, age INT, height REAL);\n\n"
        "Knowledge: hint 0\n\nQuestion: school 0?\n\nWrite one SQLite query that answers the question."
    )
    assert [path.name for path in local_files(settings)] == ["train.json", "dev.json", "school.sqlite", "shop.sqlite"]
    without = make_task(settings.model_copy(update={"evidence": False})).load()
    assert "hint" not in without.test[0].prompt[0].content


def test_one_file_of_bird_holds_a_fifth_out(tmp_path: Path) -> None:
    folder = bird(tmp_path) / "dev_20240627"
    data = make_task(config(folder / "dev.json")).load()
    assert (len(data.train), len(data.test)) == (3, 1)
    elsewhere = shutil.move(folder / "dev_databases", tmp_path / "elsewhere")
    moved = make_task(config(folder / "dev.json", databases=str(elsewhere))).load()
    assert moved.test[0].id == data.test[0].id
    assert moved.test[0].metadata["database"] == "school/school.sqlite"


def test_spider_as_published(tmp_path: Path) -> None:
    folder = tmp_path / "spider"
    for name, count in (("train_spider.json", 3), ("train_others.json", 2), ("dev.json", 2)):
        rows: list[dict[str, Any]] = [
            {
                "db_id": "shop",
                "question": f"{name} {n}?",
                "query": f"SELECT {n}",
                "sql": {"from": []},
                "query_toks": ["SELECT"],
            }
            for n in range(count)
        ]
        whole(folder / name, rows)
    database = folder / "database" / "shop" / "shop.sqlite"
    database.parent.mkdir(parents=True)
    people(database)
    data = make_task(config(folder, schema_form="columns")).load()
    assert (len(data.train), len(data.test)) == (5, 2)
    assert data.test[0].metadata == {"db_id": "shop", "database": "database/shop/shop.sqlite"}
    assert "\nperson(id, name, age, height)\n" in data.test[0].prompt[0].content


def test_rows_of_ones_own_with_splits_and_ids(tmp_path: Path) -> None:
    rows = [
        row(f"SELECT {n}", id=f"r{n}", part=part, note=n) for n, part in enumerate(("train", "dev", "test", "train"))
    ]
    people(tmp_path / "people.sqlite")
    settings = config(write(tmp_path / "rows.jsonl", *rows), split_column="part", sample_rows=1, train=1)
    data = make_task(settings).load()
    assert ({one.id for one in data.train} < {"r0", "r3"}, [one.id for one in data.test]) == (True, ["r2"])
    assert data.test[0].metadata == {"part": "test", "note": 2, "database": "people.sqlite"}
    assert "/* 1 of its rows:\n1 | Ada | 36 | 1.5\n*/" in data.test[0].prompt[0].content


def test_one_database_for_all_rows(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "query": f"SELECT {n}"} for n in range(5)]
    settings = config(write(tmp_path / "rows.jsonl", *rows), databases=str(people(tmp_path / "one.sqlite")))
    task = make_task(settings)
    data = task.load()
    assert (len(data.train), len(data.test)) == (4, 1)
    assert task.on(data.test[0]).grade(data.test[0].reference or "").correct
    assert "Database schema (SQLite):\nCREATE TABLE" in data.test[0].prompt[0].content
    short = make_task(settings.model_copy(update={"schema_form": "none"})).load().test[0]
    with pytest.raises(ValidationError, match="sample_rows: 2 found, but schema_form: none shows no table"):
        config(tmp_path / "rows.jsonl", schema_form="none", sample_rows=2)
    assert short.prompt[0].content.startswith("Question: ")
    assert local_files(settings) == (tmp_path / "rows.jsonl", tmp_path / "one.sqlite")


# What is wrong with data


MISTAKES: list[tuple[Callable[[Path], TextToSqlTask], str]] = [
    (lambda d: config(d / "none"), r"task\.source: .* does not exist; .*bird-bench.github.io"),
    (config, r"no train\.json or dev\.json in .* come with BIRD's train\.zip"),
    (lambda d: config(d, layout="spider"), r"no train_spider\.json or dev\.json .* Spider's"),
    (lambda d: own(d, databases=str(d / "none")), r"task\.databases: .*none' does not exist"),
    (
        lambda d: own(d, row(database="none.sqlite")),
        r"task\.databases: .*none\.sqlite' does not exist, needed by .*:11",
    ),
    (lambda d: own(d, row(database=1)), "column 'database' is int"),
    (lambda d: own(d, row(database="a\0b")), r"a\\x00b' does not exist, needed by .*:11"),
    (lambda d: own(d, row(database="x" * 300)), r"task\.databases: .*xxx.* does not exist, needed by .*:11"),
    (lambda d: own(d, row(database=pipe(d).name)), r"pipe' is no ordinary file"),
    (lambda d: own(d, {"question": "a", "sql": "b"}), "no column 'database'"),
    (lambda d: own(d, {"question": "a", "database": "people.sqlite"}), "no column 'sql'"),
    (lambda d: own(d, row(sql=" ")), "column 'sql' is blank"),
    (lambda d: own(d, row(evidence=3)), "column 'evidence' is 3"),
    (lambda d: own(d, row(split="later")), "column 'split' is 'later', which is unknown"),
    (lambda d: own(d, row(split="test")), "no 'split', which other rows have"),
    (lambda d: own(d, split_column="part"), "no column 'part'"),
    (lambda d: own(d, row(database="rows.jsonl")), r"rows\.jsonl' is no SQLite database"),
    (lambda d: own(d, row(id=1), row("SELECT 2", id=1)), "id '1' was used at"),
    (lambda d: own(d, max_prompt_tokens=10), r"no row is left of 10 \(10 prompt_too_long\)"),
    (lambda d: own(d, tokenizer=str(d)), r"task\.tokenizer: .* is no tokenizer\.json"),
    (lambda d: config(write(d / "rows.jsonl")), "no rows"),
    (lambda d: config(write(d / "x.json", {"a": 1})), "dict found; write a list"),
    (lambda d: config(write(d / "x.json", [3])), "int found; each row must be an object"),
]


@pytest.mark.parametrize(("make", "told"), MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, make: Callable[[Path], TextToSqlTask], told: str) -> None:
    with pytest.raises(BurnishError, match=told) as caught:
        make_task(make(tmp_path)).load()
    assert isinstance(caught.value, ConfigError | DataError)


def test_a_missing_database_of_bird_is_named_before_anything_runs(tmp_path: Path) -> None:
    folder = bird(tmp_path)
    gone = folder / "train" / "train_databases" / "shop" / "shop.sqlite"
    gone.unlink()
    with pytest.raises(ConfigError, match=r"shop/shop\.sqlite' does not exist, .*it comes with BIRD's train\.zip"):
        local_files(config(folder))


@pytest.mark.slow
def test_gold_queries_that_do_not_run_are_left_out_and_counted(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    bad = [
        row("SELECT nobody"),
        row("SELECT nothing at all"),
        row(endless),
        row("SELECT 1; SELECT 2"),
        row("SELECT random()"),
    ]
    settings = own(tmp_path, *bad, row("SELECT name, age FROM person"), seconds=0.3, max_rows=2)
    data = make_task(settings).load()
    assert data.left_out == {
        "gold_error": 2,
        "gold_refused": 1,
        "gold_timeout": 1,
        "gold_too_large": 1,
        "gold_two_statements": 1,
    }
    assert len(data.train) + len(data.test) == 10


def words(_: str) -> Any:
    """Return a tokenizer with one token a word: the long question is one."""

    def encode(text: str, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        return SimpleNamespace(ids=text.split())

    return SimpleNamespace(encode=encode)


def test_long_prompts_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = row(question="x" * 4000)
    assert make_task(own(tmp_path, long)).load().left_out == {"prompt_too_long": 1}
    assert make_task(own(tmp_path, long, max_prompt_tokens=None)).load().left_out == {}
    (tmp_path / "tokenizer.json").write_text("{}")
    settings = own(tmp_path, long, tokenizer=str(tmp_path))
    library = SimpleNamespace(Tokenizer=SimpleNamespace(from_file=words))
    monkeypatch.setitem(sys.modules, "tokenizers", library)
    assert make_task(settings).load().left_out == {}
    assert tmp_path / "tokenizer.json" in local_files(settings)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(BackendError, match=r"pip install 'burnish\[train\]'"):
        make_task(settings).load()


# Answers


def grader() -> SqlAnswers:
    found = task_named("text_to_sql")
    assert isinstance(found, SqlAnswers)
    return found


def pipe(folder: Path) -> Path:
    """Make a named pipe, which nobody ever writes to."""
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def example(database: Path, reference: str | None = "SELECT age FROM person") -> Example:
    return Example(id="e", group="", prompt=(), reference=reference, metadata={"database": str(database)})


def test_answers_agree_by_their_results(tmp_path: Path) -> None:
    one = example(people(tmp_path / "people.sqlite"))
    answers = {
        "ages": "```sql\nSELECT age FROM person\n```",
        "distinct": "SQL: SELECT DISTINCT age FROM person ORDER BY 1 DESC",
        "names": "SELECT name FROM person",
        "fails": "SELECT nobody FROM person",
    }
    task = grader()
    shown = [
        Demonstration(example_id="e", completion=text, source=DemonstrationSource.WEAK) for text in answers.values()
    ]
    on_people = graders(task, {"e": one}, shown)("e")
    found = {name: on_people.extract(text) for name, text in answers.items()}
    assert found["ages"] == Answer(text="SELECT age FROM person", kind=AnswerKind.TEXT)
    agreeing = {
        (a, b)
        for a, x in found.items()
        for b, y in found.items()
        if x is not None and y is not None and on_people.agree(x, y)
    }
    same = {"ages", "distinct"}
    assert agreeing == {(a, b) for a in same for b in same} | {("names", "names")}
    assert on_people.grade(answers["distinct"]).correct
    # Texts are never compared: other words for the same rows agree.
    one_row, another = (Answer(text=text, kind=AnswerKind.TEXT) for text in ("SELECT 1", "SELECT  2 - 1"))
    assert on_people.agree(one_row, another)


@pytest.mark.parametrize(
    ("completion", "correct", "extracted", "why"),
    [
        ("SELECT age FROM person WHERE id < 3", True, "SELECT age FROM person WHERE id < 3", "the gold query's result"),
        ("SELECT id FROM person", False, "SELECT id FROM person", "another result"),
        ("SELECT nobody", False, "SELECT nobody", "error: no such column: nobody"),
        ("DROP TABLE person", False, "DROP TABLE person", "refused: delete sqlite_master"),
        ("SELECT zeroblob(2000000000)", False, "SELECT zeroblob(2000000000)", "too_large: string or blob too big"),
        ("Das weiß ich nicht.", False, None, "not_sql: no statement in it"),
        ("", False, None, "empty: a blank answer"),
        ("SELECT 1; SELECT 2", False, None, "two_statements: a second one begins with 'SELECT 2'"),
        ("x" * (1 << 20), False, None, "refused: an answer of 1,048,576 characters"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, str) else None,
)
def test_grades_say_why(tmp_path: Path, completion: str, correct: bool, extracted: str | None, why: str) -> None:
    grade = grader().on(example(people(tmp_path / "people.sqlite"))).grade(completion)
    assert (grade.correct, grade.extracted, grade.why) == (correct, extracted, why)


def test_a_reference_that_does_not_run_or_is_not_there(tmp_path: Path) -> None:
    path = people(tmp_path / "people.sqlite")
    with pytest.raises(DataError, match=r"e: the gold query does not run \(error: no such column: nobody\)"):
        grader().on(example(path, "SELECT nobody")).grade("SELECT 1")
    with pytest.raises(DataError, match="e: the reference is blank"):
        grader().on(example(path, None)).grade("SELECT 1")
    with pytest.raises(DataError, match="e: no 'database' in its metadata"):
        grader().on(Example(id="e", group="", prompt=(), reference="SELECT 1")).grade("SELECT 1")
