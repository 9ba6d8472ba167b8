"""SQL out of what a model wrote: every form, what is none, and hostile text in a bounded time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import sql_data  # skips where sqlglot is missing

from burnish.errors import BackendError
from burnish.sql.extract import Extracted, extract, holds_a_statement
from burnish.sql.outcome import Kind

assert sql_data
QUERY = "SELECT a FROM t"


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        (QUERY, QUERY),
        (f"  {QUERY} ;\n", QUERY),
        ("select a from t;;", "select a from t"),
        (f"```sql\n{QUERY};\n```", QUERY),
        (f"```SQL\n{QUERY}```", QUERY),
        (f"```\n{QUERY}\n```", QUERY),
        (f"```sqlite\n{QUERY}", QUERY),
        (f"```{QUERY}```", QUERY),
        (f"```sql {QUERY}```", QUERY),
        (f"{QUERY}\n```", QUERY),
        (f"It's this:\n\n```sql\n{QUERY}\n```\nIt doesn't matter; it's {QUERY}.", QUERY),
        (f"```sql\nSELECT b FROM t\n```\nBetter:\n```sql\n{QUERY}\n```", QUERY),
        (f"```python\nprint(1)\n```\n{QUERY}", QUERY),
        (f"SQL: {QUERY}", QUERY),
        (f"**SQL query:** `{QUERY}`.", QUERY),
        (f"Sure. The answer is {QUERY}", QUERY),
        (f"The answer is `{QUERY}`, as asked.", QUERY),
        (f"> {QUERY}", QUERY),
        (f"{QUERY}; This query's result is the name.", QUERY),
        (f"{QUERY}\n\nThis query's result is the name.", QUERY),
        (f"{QUERY}\nIn this query we look for a.", QUERY),
        (f"{QUERY}\n\n### Note\nfine", QUERY),
        (f"1. {QUERY}\n2. That is all", QUERY),
        (f"SQL: {QUERY}\n\nQuestion: another\nSQL: SELECT b FROM t", QUERY),
        ("SELECT a\n\nFROM t", "SELECT a\n\nFROM t"),
        ("-- first;\nSELECT a FROM t -- last;", "-- first;\nSELECT a FROM t -- last"),
        (
            "/* ; */ SELECT ';' FROM `t;` WHERE \"x;\" = 'it''s;'",
            "/* ; */ SELECT ';' FROM `t;` WHERE \"x;\" = 'it''s;'",
        ),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH x AS (SELECT 1) SELECT * FROM x"),
        ("with recursive x(n) as (values(1)) select n from x", "with recursive x(n) as (values(1)) select n from x"),
        ("VALUES (1, 2)", "VALUES (1, 2)"),
        ("\ufeffSELECT 1", "SELECT 1"),
        # Thinking, end tokens, tags and JSON come off.
        (f"<think>SELECT b FROM t</think>{QUERY}", QUERY),
        (f"I try\n```sql\nSELECT b FROM t\n```\n</think>\n{QUERY}", QUERY),
        (f"<think>\n{QUERY}\n</think>\n```sql\n{QUERY}\n```", QUERY),
        (f"{QUERY}</s>", QUERY),
        (f"{QUERY};\n</s>", QUERY),
        (f"```sql\n{QUERY}\n```<|im_end|>\n<|endoftext|>", QUERY),
        (f"<sql>{QUERY}</sql>", QUERY),
        (f"It is <SQL>\n{QUERY};\n</SQL> as asked", QUERY),
        (f"<sql>SELECT b FROM t</sql> or rather <sql>{QUERY}</sql>", QUERY),
        (f"<answer>\n```sql\n{QUERY}\n```\n</answer>", QUERY),
        (json.dumps({"sql": QUERY}), QUERY),
        (json.dumps({"thought": "a { b", "SQL": f"{QUERY};"}, indent=1), QUERY),
        (f"```json\n{json.dumps({'sql': QUERY})}\n```", QUERY),
        (f"Here it is: {json.dumps({'reason': {'a': 1}, 'query': QUERY})}. Fine.", QUERY),
        ('{"sql": "SELECT a\nFROM t"}', "SELECT a\nFROM t"),
        ("""SELECT '{"sql": "SELECT 2"}', a<sql>b FROM t""", """SELECT '{"sql": "SELECT 2"}', a<sql>b FROM t"""),
        ("SELECT a\n- b FROM t", "SELECT a\n- b FROM t"),
        (f"{QUERY}\n- a is the name", QUERY),
        # What is wrong stays wrong: nothing is cut that goes on with a query.
        ("SELECT a FROM t\nWHERE no good here", "SELECT a FROM t\nWHERE no good here"),
        ("SELECT a FROM t\n\nGROUP WITH b", "SELECT a FROM t\n\nGROUP WITH b"),
        ("SELECT 'no end; SELECT 2", "SELECT 'no end; SELECT 2"),
        ("SELECT a b c d FROM", "SELECT a b c d FROM"),
        # The sandbox refuses these by name.
        ("DROP TABLE t;", "DROP TABLE t"),
        ("```sql\nPRAGMA writable_schema = 1\n```", "PRAGMA writable_schema = 1"),
        ("EXPLAIN SELECT 1", "EXPLAIN SELECT 1"),
        ("ATTACH 'x' AS y", "ATTACH 'x' AS y"),
    ],
)
def test_the_query_is_taken_out_untouched(text: str, sql: str) -> None:
    assert extract(text) == Extracted(sql=sql)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Kind.EMPTY),
        (" \n;\n", Kind.EMPTY),
        ("```sql\n```", Kind.EMPTY),
        ("I don't know.", Kind.NOT_SQL),
        ("Ich weiß es nicht.", Kind.NOT_SQL),
        ("我不知道答案。", Kind.NOT_SQL),
        ("We select the best from the table.", Kind.NOT_SQL),
        ("With this in mind, begin. Update the table, then analyze it.", Kind.NOT_SQL),
        ("```python\nprint(cursor.fetchall())\n```", Kind.NOT_SQL),
        ("SELECT 1; SELECT 2", Kind.TWO_STATEMENTS),
        ("SELECT 1; -- and\n DROP TABLE t", Kind.TWO_STATEMENTS),
        ("```sql\nSELECT 1;\n\nDELETE FROM t;\n```", Kind.TWO_STATEMENTS),
        ("DROP TABLE t; SELECT 1", Kind.TWO_STATEMENTS),
        # A list, a rule or a comment between two queries does not make one of them the answer.
        ("SELECT 1\n- \nSELECT 2", Kind.TWO_STATEMENTS),
        ("SELECT a FROM t\n- SELECT b FROM t", Kind.TWO_STATEMENTS),
        ("1. SELECT 1\n2. SELECT 2", Kind.TWO_STATEMENTS),
        ("SELECT 1\n---\nSELECT 2", Kind.TWO_STATEMENTS),
        ("SELECT 1\n-- the other\nSELECT 2", Kind.TWO_STATEMENTS),
        ("<think>SELECT 1", Kind.NOT_SQL),
        ("<think>SELECT 1</think>", Kind.EMPTY),
        ('{"sql": ""}', Kind.NOT_SQL),
        ('{"sql": "SELECT 1; SELECT 2"}', Kind.TWO_STATEMENTS),
        (f"SELECT '{'x' * (1 << 20)}'", Kind.REFUSED),
    ],
)
def test_what_holds_no_single_query_says_why(text: str, kind: Kind) -> None:
    found = extract(text)
    assert (found.kind, found.sql) == (kind, "")
    assert found.message


@pytest.mark.parametrize(
    ("text", "learned"),
    [
        (QUERY, True),
        ("<think>SELECT 1", True),  # no answer, and it was learned from before
        ("1. SELECT 1\n2. SELECT 2", True),
        ('{"sql": "SELECT 1"}', True),
        ("SELECT 1; SELECT 2", False),
        ("I don't know.", False),
        ("", False),
        (f"SELECT '{'x' * (1 << 20)}'", False),
    ],
)
def test_what_training_learns_is_what_the_first_version_took_for_a_statement(text: str, learned: bool) -> None:
    assert holds_a_statement(text) is learned


HOSTILE = [
    "SELECT a\n" * 5000,
    "SELECT a FROM t\n\nx" * 500,
    "`SELECT " * 5000,
    "```" * 30_000,
    "/*" * 45_000,
    "/**/" * 20_000 + "x",
    "--\n" * 30_000,
    "WITH x(" + "y," * 40_000,
    "WITH [" * 15_000,
    "\n" * 99_000 + "x",
    " " * 90_000 + "x",
    "sql " * 20_000,
    "SELECT " + "(" * 4000 + "1" + ")" * 4000,
    "SELECT " + "CASE WHEN 1 THEN " * 500 + "1" + " END" * 500,
    "SELECT 'a;" * 9000,
    "SELECT 1;" * 10_000,
    # sqlglot reads what stands in these brackets twice, at each level.
    *(f"SELECT {'CHAR(' * depth}1{')' * depth}" for depth in (12, 25, 900)),
    "SELECT TIME(TIMESTAMPDIFF(CHAR(" * 300,
    "so SELECT " + "DECIMAL(1, " * 30 + "1" + ")" * 30 + "\n\nso it is" * 30,
    "SELECT a FROM t WHERE " + "(CHAR(" * 20 + "1" + "))" * 20,
    ("<sql>so SELECT " + "INT(" * 9 + "1" + ")" * 9 + "</sql>") * 900,
    "<sql>" * 15_000,
    '{"sql": ' * 10_000,
    '{"sql": "' + "[" * 50_000,
    '{"sql": ' + "[" * 50_000,
    "</s>" * 20_000,
    "<think>" * 10_000 + "</think>SELECT 1",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_text_is_read_in_a_bounded_time(text: str) -> None:
    # A regular expression that tries again and again would take minutes or days here.
    found = extract(text)
    assert (found.kind is None) == bool(found.sql)


@pytest.mark.slow
def test_every_gold_query_comes_out_of_four_forms(data_dir: Path) -> None:
    queries: set[str] = set()
    for name in ("geoquery/geography.jsonl", "bird_superhero/dev_superhero.jsonl", "spider_dev/dev.jsonl"):
        with (data_dir / name).open() as lines:
            queries |= {json.loads(line)["sql"].strip("; \n") for line in list(lines)[::3]}
    assert len(queries) > 400
    for sql in queries:
        prose = f"Here's what you asked for:\n\n{sql}\n\nIt doesn't need more than this."
        for text in (sql, f"```sql\n{sql};\n```", f"SQL: {sql};", prose):
            assert extract(text).sql == sql


def test_without_sqlglot_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    with pytest.raises(BackendError, match=r"pip install 'burnish\[sql\]'"):
        extract("SELECT 'nobody asked this before'")
