"""Forms as people have them: their own column names, ShareGPT, Dolly, text parts, numbers, histories, marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from forms_data import WRITERS, all_given, as_jsonl, as_parquet, one_bad, opened, rows_in

from burnish.config import Columns, DataConfig
from burnish.config.reading import refine_config
from burnish.errors import ConfigError, DataError
from burnish.forms import BadRow, Form, UsableRow, read_row, recognise
from burnish.types import Message, Role


def read(row: dict[str, Any], **settings: Any) -> UsableRow | BadRow:
    config = DataConfig(source="d.jsonl", **settings)
    return read_row(recognise(row, "d.jsonl:1", config), row, "d.jsonl:1", 0, config)


def usable(row: dict[str, Any], **settings: Any) -> UsableRow:
    found = read(row, **settings)
    assert isinstance(found, UsableRow), found
    return found


def why(row: dict[str, Any], **settings: Any) -> str:
    found = read(row, **settings)
    assert isinstance(found, BadRow), found
    return found.why


def said(*turns: tuple[str, str]) -> tuple[Message, ...]:
    return tuple(Message(role=Role(role), content=content) for role, content in turns)


HUMAN = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]

# Columns by the user's own names


OWN = {"query": "2+2?", "response": "5", "n": 1}
MAPPED = Columns(prompt="query", completion="response")


@pytest.mark.parametrize("suffix", [*WRITERS, ".tsv"])
def test_columns_of_any_name_are_read_and_written_back(suffix: str, tmp_path: Path) -> None:
    data = WRITERS.get(suffix, lambda _: b"query\tresponse\tn\n2+2?\t5\t1\n")([OWN])
    table = opened(tmp_path / f"d{suffix}", data, columns=MAPPED)
    (row,) = all_given(table)
    assert (row.prompt, row.completion, row.unused) == (said(("user", "2+2?")), "5", ("n",))
    assert table.layout.words == "prompt/completion (prompt from 'query', completion from 'response')"
    table.write(tmp_path / table.name, {0: "4"}.get)
    if suffix == ".tsv":
        assert (tmp_path / "refined.tsv").read_bytes() == b"query\tresponse\tn\n2+2?\t4\t1\n"
    else:
        assert rows_in(tmp_path / table.name) == [{**rows_in(tmp_path / f"d{suffix}")[0], "response": "4"}]


def test_named_columns_settle_which_of_several_forms_it_is() -> None:
    row: dict[str, Any] = {"messages": HUMAN, "prompt": "p", "completion": "c"}
    with pytest.raises(DataError, match="columns of 2 forms found"):
        recognise(row, "f:1")
    assert usable(row, columns=Columns(messages="messages")).completion == "Ho"
    assert usable(row, columns=Columns(prompt="prompt", completion="completion")).completion == "c"
    assert usable(row, extra_columns=("messages",)).completion == "c"


def test_one_part_may_have_its_known_name() -> None:
    assert usable({"question": "q", "label": "a"}, columns=Columns(completion="label")).prompt == said(("user", "q"))
    with pytest.raises(DataError, match=r"no column for the prompt in the columns 'label', 'text'; name it with"):
        read({"label": "a", "text": "q"}, columns=Columns(completion="label"))


def test_a_named_column_that_is_not_there() -> None:
    with pytest.raises(DataError, match=r"f:1: no column 'reply' \(data\.columns\.completion\) in the columns 'query'"):
        recognise({"query": "q"}, "f:1", DataConfig(source="f", columns=Columns(prompt="query", completion="reply")))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"prompt": "a", "completion": "a"}, "column 'a' is named for two parts"),
        ({"messages": "a", "prompt": "b"}, r"messages \('a'\) and prompt \('b'\) are both named"),
        ({}, "no column is named; write for example prompt=query"),
        ({"promt": "a"}, "data.columns.promt: no such field"),
        ({"prompt": ""}, "data.columns.prompt: '' found"),
    ],
)
def test_columns_that_do_not_fit(columns: dict[str, str], words: str) -> None:
    values = {"data": {"source": "d", "columns": columns}, "model": "builtin:weak", "annotator": {"kind": "people"}}
    with pytest.raises(ConfigError, match=words):
        refine_config(values)


# Names and kinds


def test_capitals_in_column_names() -> None:
    row = {"Question": "q", "ANSWER": "a", "Gold": "g"}
    assert recognise(row, "f") is Form.QUESTION_ANSWER
    assert usable(row).completion == "a"
    assert usable({"Instruction": "i", "Input": "x", "Output": "o"}).prompt == said(("user", "i\n\nx"))
    assert usable({"question": "q", "answer": "a", "Answer": "other"}).completion == "a"


@pytest.mark.parametrize("suffix", [suffix for suffix in WRITERS if ".csv" not in suffix])
def test_sharegpt(suffix: str, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"conversations": [{"from": "system", "value": "S"}, *HUMAN]},
        {"conversations": HUMAN},
    ]
    table = opened(tmp_path / f"d{suffix}", WRITERS[suffix](rows))
    assert table.form is Form.CONVERSATIONS
    first, second = all_given(table)
    assert (first.prompt, first.completion) == (said(("system", "S"), ("user", "Hi")), "Ho")
    assert second.prompt == said(("user", "Hi"))
    table.write(tmp_path / table.name, {0: "Yo"}.get)
    rows[0]["conversations"][2] = {"from": "gpt", "value": "Yo"}
    assert rows_in(tmp_path / table.name) == rows


def test_sharegpt_with_the_keys_of_messages_and_a_system_column() -> None:
    turns = [{"role": "User", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    found = usable({"conversations": turns, "system": "S"})
    assert (found.prompt, found.completion) == (said(("system", "S"), ("user", "Hi")), "Ho")
    twice = [{"from": "system", "value": "S"}, *HUMAN]
    assert "column 'system' and the first turn are both a system text" in why({"conversations": twice, "system": "T"})
    assert usable({"messages": HUMAN}).completion == "Ho"


def test_dolly_uses_its_context() -> None:
    row = {"instruction": "Which?", "context": "A or B.", "response": "A", "category": "closed_qa"}
    assert recognise(row, "f") is Form.DOLLY
    assert usable(row).prompt == said(("user", "Which?\n\nA or B."))
    assert usable({**row, "context": ""}).prompt == said(("user", "Which?"))
    assert usable({**row, "context": ""}).unused == ("category",)


def test_developer_is_a_system_turn_and_text_parts_are_one_text() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    turns = [
        {"role": "developer", "content": "D"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": [{"type": "text", "text": "a", "more": 1}]},
    ]
    found = usable({"messages": turns})
    assert (found.prompt, found.completion) == (said(("system", "D"), ("user", "Hello")), "a")
    assert usable({"prompt": parts, "completion": parts[:1]}).completion == "Hel"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[{"type":"text" , "text":"a", "more": 1.50}]', '[{"type":"text" , "text":"b", "more": 1.50}]'),
        ('[{"type":"text","text":"a"},{"type":"text","text":"c"}]', '[{"type":"text","text":"b"}]'),
        ('"a"', '"b"'),
    ],
)
def test_an_answer_of_parts_keeps_its_shape(before: str, after: str, tmp_path: Path) -> None:
    line = '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": %s, "n": 1E5}]}\n'
    table = opened(tmp_path / "d.jsonl", (line % before).encode())
    table.write(tmp_path / "out.jsonl", {0: "b"}.get)
    assert (tmp_path / "out.jsonl").read_text() == line % after


# Numbers as answers


@pytest.mark.parametrize(
    ("written", "text"),
    [(text, text) for text in ("42", "1.10", "1E5", "3.14159265358979323846", "123456789012345678901234567890", "4.0")],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_a_number_is_an_answer_as_it_is_written(written: str, text: str, suffix: str, tmp_path: Path) -> None:
    row = '{"question": "q", "answer": %s}'
    data = f"[{row % written}]" if suffix == ".json" else row % written
    (found,) = all_given(opened(tmp_path / f"d{suffix}", data.encode()))
    assert found.completion == text


@pytest.mark.parametrize(("new", "written"), [("7", "7"), ("7.50", "7.50"), ("seven", '"seven"'), ("1e999", '"1e999"')])
def test_a_number_stays_one_where_the_new_answer_is_one(new: str, written: str, tmp_path: Path) -> None:
    table = opened(tmp_path / "d.jsonl", b'{"question": "q", "answer": 4.10}\n')
    table.write(tmp_path / "out.jsonl", {0: new}.get)
    assert (tmp_path / "out.jsonl").read_text() == f'{{"question": "q", "answer": {written}}}\n'


def test_numbers_in_parquet_stay_numbers_or_become_a_column_of_texts(tmp_path: Path) -> None:
    rows = [{"question": f"q{i}", "answer": i} for i in range(3)]
    table = opened(tmp_path / "d.parquet", as_parquet(rows))
    assert [row.completion for row in all_given(table)] == ["0", "1", "2"]
    table.write(tmp_path / "out.parquet", {1: "70"}.get)
    assert [row["answer"] for row in rows_in(tmp_path / "out.parquet")] == [0, 70, 2]
    table.write(tmp_path / "out.parquet", {1: "seven", 2: "8"}.get)
    assert [row["answer"] for row in rows_in(tmp_path / "out.parquet")] == ["0", "seven", "8"]


# What belongs to the prompt


def test_alpaca_s_history_and_system_are_used() -> None:
    row = {"instruction": "Go on.", "input": "", "output": "c", "system": "S", "history": [["a", "b"]]}
    assert usable(row).prompt == said(("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "Go on."))
    assert usable({**row, "history": json.dumps([["a", "b"]])}).prompt == usable(row).prompt
    nothings: list[Any] = [[], None, "", "[]"]
    for nothing in nothings:
        assert usable({**row, "history": nothing, "system": None}).prompt == said(("user", "Go on."))
    assert "history[0] is 'a'; write a pair [question, answer]" in why({**row, "history": ["a"]})


@pytest.mark.parametrize("column", ["context", "Context", "history", "system", "system_prompt", "input", "tools"])
def test_a_column_that_may_belong_to_the_prompt_is_named(column: str) -> None:
    row = {"question": "q", "answer": "a", column: "x"}
    assert why(row).startswith(
        f"column {column!r} may belong to the prompt, and a row of question/answer is read without"
    )
    assert f"--extra-columns {column}" in why(row)
    assert usable({**row, column: None}).prompt == said(("user", "q"))
    assert usable(row, extra_columns=(column,)).prompt == said(("user", "q"))
    if column == "tools":
        assert "rows that need it cannot be used" in why(row)
    else:
        assert f"={column}, or say" in why(row)


def test_a_context_makes_prompts_differ() -> None:
    rows = [{"question": "Sum?", "context": f"table {i}", "answer": "1"} for i in range(4)]
    prompts = {usable(row, columns=Columns(context="context")).prompt for row in rows}
    assert prompts == {said(("user", f"Sum?\n\ntable {i}")) for i in range(4)}


def test_messages_take_a_system_column_and_no_context() -> None:
    row = {"messages": HUMAN, "system": "S", "context": ""}
    assert "column 'system' may belong to the prompt" in why(row)
    assert usable(row, columns=Columns(system="system")).prompt == said(("system", "S"), ("user", "Hi"))
    with pytest.raises(DataError, match=r"data\.columns\.context is 'context', and a list of messages holds the whole"):
        read(row, columns=Columns(context="context"))
    assert "rows that need it cannot be used" in why({"messages": HUMAN, "tools": [{"name": "f"}]})
    assert usable({"messages": HUMAN, "tools": []}).completion == "Ho"


@pytest.mark.parametrize("mark", [{"weight": 0}, {"weight": 0.0}, {"train": False}, {"training": False}])
def test_an_answer_that_is_not_to_be_learned_is_no_label(mark: dict[str, Any]) -> None:
    asked = {"role": "user", "content": "q"}
    answer = {"role": "assistant", "content": "a"}
    assert "messages[1] is the answer and is marked as not to be trained on" in why(
        {"messages": [asked, answer | mark]}
    )
    assert "completion[0] is the answer" in why({"prompt": [asked], "completion": [answer | mark]})
    # A turn of the prompt is never learned, so that its mark says what is so anyway.
    assert usable({"messages": [asked, answer | mark, asked, answer]}).completion == "a"
    assert usable({"messages": [asked, answer | {"weight": 1, "train": True}]}).completion == "a"


# Depth


def test_a_row_that_is_too_deep_is_a_bad_row(tmp_path: Path) -> None:
    good = b'{"question": "q", "answer": "a"}'
    deep = b'{"question": "q", "answer": "a", "x": %s%s}' % (b"[" * 100, b"]" * 100)
    fits = deep.replace(b"[" * 100, b"[" * 99).replace(b"]" * 100, b"]" * 99)
    bad = one_bad(opened(tmp_path / "d.jsonl", b"\n".join([good, fits, deep])))
    assert (bad.where, bad.why[:50]) == ("d.jsonl:3", "more than 100 lists and objects inside one another")
    bad = one_bad(opened(tmp_path / "d.json", b"[%s]" % b",".join([good, fits, deep])))
    assert (bad.where, bad.why[:50]) == ("d.json row 3", "more than 100 lists and objects inside one another")
    text = json.dumps(("[" * 101) + ("]" * 101))
    bad = one_bad(opened(tmp_path / "d.csv", b"messages\n" + json_cell(HUMAN) + text.encode()))
    assert bad.why.startswith("more than 100 lists")


def json_cell(value: Any) -> bytes:
    return b'"' + json.dumps(value).replace('"', '""').encode() + b'"\n'


# Multi-turn rows, in every kind of file


TURNS = [{"role": role, "content": f"{role} {i}"} for i, role in enumerate(["system", *["user", "assistant"] * 3])]
MULTI: dict[str, list[dict[str, Any]]] = {
    "messages": [{"n": i, "messages": [*TURNS[:-1], {**TURNS[-1], "content": f"A{i}"}]} for i in range(3)],
    "conversations": [
        {"conversations": [{"from": turn["role"], "value": turn["content"]} for turn in TURNS], "n": i}
        for i in range(3)
    ],
    "conversational": [{"prompt": TURNS[:-1], "n": i, "completion": TURNS[-1:]} for i in range(3)],
    "alpaca": [
        {"instruction": "user 5", "system": "system 0", "output": "A", "n": i}
        | {"history": [["user 1", "assistant 2"], ["user 3", "assistant 4"]]}
        for i in range(3)
    ],
}
CASES = [(form, suffix) for form in MULTI for suffix in WRITERS if (form, suffix[:4]) != ("conversational", ".csv")]


@pytest.mark.parametrize(("form", "suffix"), CASES)
def test_rows_of_several_turns_in_every_form_and_kind_of_file(form: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"d{suffix}"
    table = opened(path, WRITERS[suffix](MULTI[form]))
    rows = all_given(table)
    spoken = said(*((turn["role"], turn["content"]) for turn in TURNS[:-1]))
    assert [row.prompt for row in rows] == [spoken] * 3
    out = tmp_path / table.name
    table.write(out, {1: "new ☃\u2028"}.get)
    again = all_given(opened(out))
    assert [row.completion for row in again] == [rows[0].completion, "new ☃\u2028", rows[2].completion]
    assert [row.prompt for row in again] == [spoken] * 3
    before, after = rows_in(path), rows_in(out)
    assert [after[0], after[2]] == [before[0], before[2]]
    assert list(after[1]) == list(before[1])


def test_jsonl_of_one_column_as_it_was(tmp_path: Path) -> None:
    data = as_jsonl([{"conversations": HUMAN}])
    opened(tmp_path / "d.jsonl", data).write(tmp_path / "out.jsonl", lambda _: None)
    assert (tmp_path / "out.jsonl").read_bytes() == data
