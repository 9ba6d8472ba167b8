"""Thinking comes off before anybody reads an answer: judges' replies, queries and numbers in one way."""

from __future__ import annotations

import pytest
import sql_data  # skips where sqlglot is missing

from burnish.algorithms.thinking import answer_start, without_thinking
from burnish.annotators.llm.verdicts import Unread, from_text
from burnish.config import JudgeConfig
from burnish.sql.extract import extract
from burnish.sql.outcome import Kind
from burnish.tasks.numbers import final_number
from burnish.types import Answer

assert sql_data


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("B", "B"),
        ("", ""),
        ("<think>A, I think</think>B", "B"),
        ("A, I think</think>\nB", "\nB"),  # the chat template holds the begin
        ("<think>A</think> no <think>B</think> C", " C"),
        ("<thinking>A</thinking>B", "B"),
        ("<reasoning>A</reasoning>B", "B"),
        ("[THINK]A[/THINK]B", "B"),
        ("<THINK>A</Think>B", "B"),
        ("<think>A", None),
        ("<think>A</think>B<think>C", None),
        ("I think B", "I think B"),
    ],
)
def test_the_answer_follows_the_last_end_of_thinking(text: str, answer: str | None) -> None:
    assert without_thinking(text) == answer
    start = answer_start(text)
    assert (None if start is None else text[start:]) == answer


@pytest.mark.parametrize("tag", ["think", "thinking", "reasoning", "Think"])
def test_judges_queries_and_numbers_are_read_after_the_thinking(tag: str) -> None:
    judge = JudgeConfig(kind="judge", base_url="http://127.0.0.1:9/v1", model="m", labels=("A", "B"))
    for begin in ("", f"<{tag}>"):
        assert from_text(f"{begin}A it is.</{tag}>\nB", judge) == 1.0
        assert extract(f"{begin}SELECT 1</{tag}>\nSELECT 2").sql == "SELECT 2"
        assert final_number(f"{begin}#### 1</{tag}>\n2") == Answer(text="2")
    assert from_text(f"<{tag}>A", judge) is Unread.THINKING
    assert extract(f"<{tag}>SELECT 1").kind is Kind.NOT_SQL
    assert final_number(f"<{tag}>#### 1") is None
