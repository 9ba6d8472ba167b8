"""Rows as values: which form they have, what they say, why they cannot be used, and how their answer changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from burnish.config import Columns, DataConfig
from burnish.errors import DataError
from burnish.forms import BadRow, Form, UsableRow, read_row, recognise, with_completion
from burnish.types import Message, Role

CONFIG = DataConfig(source="data.jsonl", reference_column="gold")


def turn(role: str, content: Any = "text", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def user(content: str) -> Message:
    return Message(role=Role.USER, content=content)


CHAT: list[Any] = [
    turn("system", ""),
    turn("user", "Hi"),
    turn("assistant", "Hello"),
    turn("user", "2+2?"),
    turn("assistant", "5"),
]
ROWS: dict[str, tuple[Form, dict[str, Any]]] = {
    "messages": (Form.MESSAGES, {"source": "x", "messages": CHAT, "n": 1}),
    "messages as JSON text": (Form.MESSAGES, {"messages": json.dumps(CHAT), "n": "1"}),
    "text": (Form.PROMPT_COMPLETION, {"prompt": "2+2?", "n": 1, "completion": "5"}),
    "conversational": (
        Form.PROMPT_COMPLETION,
        {"prompt": [turn("user", "2+2?")], "completion": [turn("assistant", "5", weight=2)]},
    ),
    "question": (Form.QUESTION_ANSWER, {"answer": "5", "question": "2+2?"}),
    "alpaca": (Form.ALPACA, {"instruction": "Add.", "input": "2, 2", "output": "5", "text": "Add. 5"}),
    "alpaca without input": (Form.ALPACA, {"instruction": "2+2?", "output": "5"}),
}


def read(row: dict[str, Any], form: Form | None = None, config: DataConfig = CONFIG) -> UsableRow | BadRow:
    return read_row(form or recognise(row, "data.jsonl:7"), row, "data.jsonl:7", 6, config)


def usable(row: dict[str, Any], config: DataConfig = CONFIG) -> UsableRow:
    found = read(row, config=config)
    assert isinstance(found, UsableRow), found
    return found


def why(row: dict[str, Any], form: Form | None = None) -> str:
    found = read(row, form)
    assert isinstance(found, BadRow), found
    assert (found.where, found.position) == ("data.jsonl:7", 6)
    return found.why


@pytest.mark.parametrize("name", ROWS)
def test_each_form_is_recognised_and_its_answer_read(name: str) -> None:
    form, row = ROWS[name]
    assert recognise(row, "here") is form
    assert usable(row).completion == "5"


def test_a_prompt_is_all_that_comes_before_the_last_answer() -> None:
    assert usable(ROWS["messages"][1]).prompt == (
        Message(role=Role.SYSTEM, content=""),
        user("Hi"),
        Message(role=Role.ASSISTANT, content="Hello"),
        user("2+2?"),
    )
    assert usable(ROWS["messages as JSON text"][1]).prompt == usable(ROWS["messages"][1]).prompt
    for name in ("text", "conversational", "question", "alpaca without input"):
        assert usable(ROWS[name][1]).prompt == (user("2+2?"),)


@pytest.mark.parametrize(
    ("more", "prompt"), [("2, 2", "Add.\n\n2, 2"), (" \n", "Add."), (None, "Add."), (float("nan"), "Add.")]
)
def test_the_input_of_alpaca_follows_the_instruction_where_there_is_one(more: Any, prompt: str) -> None:
    assert usable({"instruction": "Add.", "input": more, "output": "5"}).prompt == (user(prompt),)


def test_a_system_column_is_used_or_an_extra_by_the_user_s_word() -> None:
    row = {"system": "Be terse.", "question": "2+2?", "answer": "5"}
    assert why(row) == (
        "column 'system' may belong to the prompt, and a row of question/answer is read without it; use it with "
        "--columns system=system, or say that it is an extra with --extra-columns system"
    )
    assert usable(row, DataConfig(source="x", extra_columns=("system",))).prompt == (user("2+2?"),)
    used = usable(row, DataConfig(source="x", columns=Columns(system="system")))
    assert used.prompt == (Message(role=Role.SYSTEM, content="Be terse."), user("2+2?"))


@pytest.mark.parametrize("name", ROWS)
def test_a_changed_row_differs_in_its_answer_alone(name: str) -> None:
    form, row = ROWS[name]
    before = json.dumps(row)
    changed = with_completion(form, row, "4 ☃")
    assert json.dumps(row) == before
    assert list(changed) == list(row)
    assert usable(changed).completion == "4 ☃"
    assert with_completion(form, changed, "5").keys() == row.keys()
    back = with_completion(form, changed, "5")
    if isinstance(row.get("messages"), str):
        assert "☃" in str(changed["messages"])
        back["messages"] = json.dumps(json.loads(str(back["messages"])))
    assert back == row


def test_other_keys_of_a_message_survive() -> None:
    form, row = ROWS["conversational"]
    assert with_completion(form, row, "4")["completion"] == [{"role": "assistant", "content": "4", "weight": 2}]


# Ids and references


@pytest.mark.parametrize(
    ("value", "text"), [("a7", "a7"), (12, "12"), (12.0, "12"), (None, None), ("", None), (float("nan"), None)]
)
def test_ids_are_text_or_whole_numbers(value: Any, text: str | None) -> None:
    assert usable({"question": "q", "answer": "a", "id": value}).id == text
    assert usable({"question": "q", "answer": "a", "key": value}, DataConfig(source="x", id_column="key")).id == text


@pytest.mark.parametrize("value", [True, 1.5, ["a"], {"oid": "a"}])
def test_other_ids_make_a_row_unusable(value: Any) -> None:
    assert "column 'id' (id) is" in why({"question": "q", "answer": "a", "id": value})


@pytest.mark.parametrize(("value", "text"), [("#### 4", "#### 4"), (4, "4"), (4.0, "4"), (4.5, "4.5"), (None, None)])
def test_numbers_become_text_in_a_reference(value: Any, text: str | None) -> None:
    assert usable({"question": "q", "answer": "a", "gold": value}).reference == text


def test_a_reference_is_read_only_if_it_is_named() -> None:
    assert usable({"question": "q", "answer": "a", "gold": "4"}, DataConfig(source="x")).reference is None
    assert "column 'gold' (reference) is ['4']; write text or a number" in why(
        {"question": "q", "answer": "a", "gold": ["4"]}
    )


# What cannot be used


def test_a_bad_row_keeps_the_id_of_the_user() -> None:
    found = read({"id": 9, "question": "q", "answer": ""})
    assert isinstance(found, BadRow)
    assert found.id == "9"


def test_no_form_names_the_columns_and_the_four_forms() -> None:
    with pytest.raises(DataError, match=r"^f:1: no known form in the columns 'text', 'n'; write one of: messages; pro"):
        recognise({"text": "a", "n": 1}, "f:1")
    with pytest.raises(DataError, match="or name your columns with --columns prompt=NAME,completion=NAME"):
        recognise({"text": "a"}, "f:1")
    with pytest.raises(DataError, match="in the columns none"):
        recognise({}, "f:1")


def test_several_forms_say_which_columns_to_remove() -> None:
    with pytest.raises(
        DataError,
        match="f:1: columns of 2 forms found; remove or rename 'completion' to keep messages, or 'messages'",
    ):
        recognise({"messages": CHAT, "prompt": "p", "completion": "c"}, "f:1")
    assert recognise({"messages": CHAT, "prompt": "p", "prompt_id": "c"}, "f:1") is Form.MESSAGES


def test_a_row_of_another_form_names_both() -> None:
    assert "the row has the form question/answer, the table messages" in why(
        {"question": "q", "answer": "a"}, Form.MESSAGES
    )
    assert "no known form" in why({"question": "q"}, Form.QUESTION_ANSWER)


BLANKS: list[tuple[Any, str]] = [("", "blank"), (" \n", "blank"), (None, "null"), (float("nan"), "NaN")]


@pytest.mark.parametrize(("value", "found"), BLANKS)
@pytest.mark.parametrize(
    ("asked", "answered"), [("prompt", "completion"), ("question", "answer"), ("instruction", "output")]
)
def test_nothing_in_a_cell_names_the_column(asked: str, answered: str, value: Any, found: str) -> None:
    assert why({asked: "q", answered: value}).startswith(f"empty completion: column {answered!r} is {found}; ")
    assert why({asked: value, answered: "a"}).startswith(f"empty prompt: column {asked!r} is {found}; ")


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (None, "column 'messages' is null"),
        (float("nan"), "column 'messages' is NaN"),
        ("", "column 'messages' is blank"),
        ([], "column 'messages' is []; write a list"),
        (7, "column 'messages' is 7; write a list"),
        ("not JSON", "not JSON"),
        ('[{"role": "user", "content": NaN}]', "[0].content is NaN"),
        ([turn("user")], "no assistant turn"),
        ([turn("assistant")], "begins with the answer"),
        ([turn("user"), turn("assistant"), turn("user")], "ends with a user turn after the last answer"),
        ([turn("user", " "), turn("assistant")], "empty prompt: messages[0].content is blank"),
        ([turn("user"), turn("assistant", "\n")], "empty completion: messages[1].content is blank"),
        ([turn("user"), turn("tool"), turn("assistant")], "messages[1].role is 'tool'"),
        ([turn("user"), {"content": "x"}], "messages[1].role is None"),
        ([turn("user"), {"role": ["assistant"], "content": "x"}], "messages[1].role is ['assistant']"),
        ([turn("user"), "Hello"], "messages[1] is 'Hello'; write {role, content}"),
        ([turn("user", [{"type": "image"}]), turn("assistant")], "messages[0].content is a list of parts"),
        ([turn("user"), turn("assistant", None)], "messages[1].content is null"),
        ([turn("user"), turn("assistant", 4)], "messages[1].content is int, found 4"),
        ([turn("user"), turn("assistant", None, tool_calls=[{"id": "1"}])], "messages[1] has tool_calls"),
        ([turn("user"), turn("assistant", "x", function_call={"name": "f"})], "messages[1] has function_call"),
        ([turn("user", "\ud800"), turn("assistant")], "messages[0].content holds half a surrogate pair"),
    ],
)
def test_conversations_that_cannot_be_used(messages: Any, reason: str) -> None:
    assert reason in why({"messages": messages})


def test_absent_tool_calls_do_no_harm() -> None:
    assert usable({"messages": [turn("user"), turn("assistant", "5", tool_calls=None)]}).completion == "5"


@pytest.mark.parametrize(
    ("prompt", "completion", "reason"),
    [
        ("2+2?", [turn("assistant")], "one of the columns 'prompt' and 'completion' is text"),
        ([turn("user")], "5", "one of the columns 'prompt' and 'completion' is text"),
        ([turn("user")], None, "column 'completion' is null"),
        ([], [turn("assistant")], "column 'prompt' is []"),
        ([turn("user", "")], [turn("assistant")], "empty prompt: prompt[0].content is blank"),
        ([turn("user")], [turn("assistant", "")], "empty completion: completion[0].content is blank"),
        (
            [turn("user")],
            [turn("assistant"), turn("assistant")],
            "has the turns assistant, assistant; write exactly one",
        ),
        ([turn("user")], [turn("user")], "has the turns user; write exactly one"),
    ],
)
def test_conversational_rows_that_cannot_be_used(prompt: Any, completion: Any, reason: str) -> None:
    assert reason in why({"prompt": prompt, "completion": completion})


@pytest.mark.parametrize("value", [True, ["5"], {"text": "5"}])
def test_what_is_no_text_is_named(value: Any) -> None:
    assert f"column 'answer' is {type(value).__name__}, found" in why({"question": "q", "answer": value})
    assert "column 'input' is" in why({"instruction": "i", "input": value, "output": "o"})


def test_a_lone_surrogate_is_no_text() -> None:
    assert "column 'answer' holds half a surrogate pair" in why({"question": "q", "answer": "a\udc80"})
