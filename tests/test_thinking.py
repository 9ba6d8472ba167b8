"""Thinking comes off before anybody reads an answer: judges' replies, queries and numbers in one way."""

from __future__ import annotations

import pytest

from burnish.thinking import answer_start, without_thinking


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
