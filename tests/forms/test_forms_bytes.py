"""A changed row keeps every byte but its answer's, and an answer that goes back is written as it was."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from forms_data import WRITERS, all_given, as_jsonl, opened
from hypothesis import given as given_values
from hypothesis import strategies as st

from burnish.forms import DataTable
from burnish.forms.answers import TEXT, place_of

LINES = [
    '{"question": "q", "answer": %s, "n": 1.10, "m": 1E5, "big": 123456789012345678901234567890}',
    '{"answer":%s,"question" :\t"q","digits": 0.12345678901234567890123, "u": "\\u2028 \\/ \\u00e9 \u2028"}',
    '  {"question": "first", "question": "q", "answer": [1, {"answer": "x"}], "answer": %s} ',
    '{"x": {"answer": "inner"}, "question": "q", "answer" : %s , "dup": 1, "dup": 2}',
    '{"question": "q", "answer": %s, "\\u0041": [ 1 , 2 ], "e": {}, "l": [], "t": true, "f": false, "z": null}',
    '{"question": "q", "answer": %s, "neg": -0.0, "huge": 1' + "0" * 300 + "}",
]


def there_and_back(table: DataTable, folder: Path, new: str, completions: list[str]) -> tuple[bytes, bytes]:
    """Change every answer to `new` and back again; returns the bytes of both files."""
    kept: dict[int, str] = {}
    changed, back = folder / f"changed-{table.name}", folder / f"back-{table.name}"
    table.write(changed, lambda _: new, keep=kept.__setitem__)
    opened(changed).write(back, dict(enumerate(completions)).get, original_at=kept.get)
    return changed.read_bytes(), back.read_bytes()


@pytest.mark.parametrize("old", ['"a"', '"caf\\u00e9 \\/ \\u2028"', '"\\ud83d\\ude00 \\"\\\\"', '"a\u2028é"'])
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_line_of_json_keeps_its_bytes(line: str, old: str, end: str, tmp_path: Path) -> None:
    data = ("\ufeff" + line % old + end).encode()
    table = opened(tmp_path / "d.jsonl", data)
    changed, back = there_and_back(table, tmp_path, 'new "☃"\n', [json.loads(old)])
    assert changed == ("\ufeff" + line % '"new \\"☃\\"\\n"' + end).encode()
    assert back == data


@pytest.mark.parametrize("line", [line for line in LINES if "000" not in line])
def test_a_json_list_keeps_its_bytes(line: str, tmp_path: Path) -> None:
    text = "\ufeff [\n " + line % '"a"' + "\t,\r\n\n" + line % '"\\u00e9"' + ', {"bad" : 1.0},"x" ]\n\n'
    table = opened(tmp_path / "d.json", text.encode(), on_bad_row="skip")
    kept: dict[int, str] = {}
    table.write(tmp_path / "changed.json", {0: "new", 1: "other"}.get, keep=kept.__setitem__)
    assert (tmp_path / "changed.json").read_bytes() == text.replace('"a"', '"new"').replace(
        '"\\u00e9"' + line.partition("%s")[2], '"other"' + line.partition("%s")[2]
    ).encode()
    opened(tmp_path / "changed.json").write(tmp_path / "back.json", {0: "a", 1: "é"}.get, original_at=kept.get)
    assert (tmp_path / "back.json").read_bytes() == text.encode()


INNER = '[ {"role":"user", "content": "q \\u2028 é"} ,{"content": %s, "weight": 1.10, "role": "assistant" } ]'


@pytest.mark.parametrize("ascii_", [True, False])
def test_a_conversation_held_as_text_keeps_its_bytes(ascii_: bool, tmp_path: Path) -> None:
    def line(answer: str) -> bytes:
        return b'{"messages": %s, "n": 1.10}\n' % json.dumps(INNER % answer, ensure_ascii=ascii_).encode()

    data = line('"caf\\u00e9"')
    table = opened(tmp_path / "d.jsonl", data)
    changed, back = there_and_back(table, tmp_path, 'a "b"', ["café"])
    assert changed == line('"a \\"b\\""')
    assert back == data


def test_a_conversation_in_a_cell_of_csv_keeps_its_bytes(tmp_path: Path) -> None:
    def file(answer: str) -> bytes:
        cell = (INNER % answer).replace('"', '""')
        return f'"n";messages\r\n "x" ;"{cell}"\r\n7;"{cell}"\r\n'.encode()

    table = opened(tmp_path / "d.csv", file('"caf\\u00e9"'))
    changed, back = there_and_back(table, tmp_path, 'a "b"', ["café", "café"])
    assert changed == file('"a \\"b\\""')
    assert back == file('"caf\\u00e9"')


@pytest.mark.parametrize("old", ["a", '"a"', '"a""b"', 'a"b', '"a"b', '"a\r\nb"', " a "])
def test_a_record_of_csv_keeps_its_bytes(old: str, tmp_path: Path) -> None:
    def file(answer: str) -> bytes:
        return f'"question",answer, "x"\n"q, ""1""",{answer}, 1.10 \nq,{answer},"""\n'.replace(
            ',"""\n', ',""""\n'
        ).encode()

    data = file(old)
    completions = [row.completion for row in all_given(opened(tmp_path / "d.csv", data))]
    changed, back = there_and_back(opened(tmp_path / "d.csv"), tmp_path, "new", completions)
    assert changed == file('"new"' if old.startswith('"') else "new")
    assert back == data


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))


@pytest.mark.slow
@given_values(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, st.booleans()), min_size=1, max_size=4))
def test_any_texts_go_there_and_back(rows: list[tuple[str, str, str, bool]]) -> None:
    lines = [json.dumps({"question": q, "answer": a, "x": x}, ensure_ascii=plain) for q, a, x, plain in rows]
    with tempfile.TemporaryDirectory() as folder:
        data = "".join(f"{line}\n" for line in lines).encode()
        table = opened(Path(folder, "d.jsonl"), data)
        changed, back = there_and_back(table, Path(folder), rows[0][2], [row[1] for row in rows])
        assert back == data
        found = [orjson.loads(line) for line in changed.splitlines(keepends=True)]
        assert [(row["question"], row["answer"], row["x"]) for row in found] == [
            (q, rows[0][2], x) for q, _, x, _ in rows
        ]


@pytest.mark.slow
@given_values(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_any_cells_go_there_and_back(rows: list[tuple[str, str, str]], quoting: Any) -> None:
    out = io.StringIO()
    writer = csv.writer(out, quoting=quoting)
    writer.writerows([("question", "answer", "x"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        table = opened(Path(folder, "d.csv"), out.getvalue().encode())
        changed, back = there_and_back(table, Path(folder), rows[0][2], [row[1] for row in rows])
        assert back == out.getvalue().encode()
        found = list(csv.reader(io.StringIO(changed.decode(), newline="")))[1:]
        assert found == [[q, rows[0][2], x] for q, _, x in rows]


def test_rows_that_have_their_answer_again_are_left_alone(tmp_path: Path) -> None:
    data = b'{"question": "q", "answer": "caf\\u00e9"}\n'
    table = opened(tmp_path / "d.jsonl", data)
    table.write(tmp_path / "out.jsonl", lambda _: "café")
    assert (tmp_path / "out.jsonl").read_bytes() == data


@pytest.mark.parametrize("suffix", WRITERS)
def test_values_go_there_and_back_in_every_kind_of_file(suffix: str, tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": f"é{i}", "x": "y"} for i in range(3)]
    table = opened(tmp_path / f"d{suffix}", WRITERS[suffix](rows))
    there_and_back(table, tmp_path, "new", [f"é{i}" for i in range(3)])
    assert [row.completion for row in all_given(opened(tmp_path / f"back-{table.name}"))] == ["é0", "é1", "é2"]


def test_the_place_of_a_value_in_text_inside_text() -> None:
    text = json.dumps({"a": json.dumps([json.dumps({"b": "é☃😀"}), 2])})
    place = place_of(text, ("a", TEXT, 0, TEXT, "b"))
    assert place.wrapped == 2
    assert json.loads(json.loads(json.loads(place.put(text, '"x"'))["a"])[0]) == {"b": "x"}
    assert as_jsonl([json.loads(place.put(text, json.dumps("é☃😀")))]) == as_jsonl([json.loads(text)])
