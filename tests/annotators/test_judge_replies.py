"""The body of a judge's reply: what is no completion, and which log-probabilities are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from burnish.annotators.llm.replies import reply_of
from burnish.services.calls import Position, Reply


def body(**choice: Any) -> str:
    return json.dumps({"choices": [{"finish_reason": "stop", **choice}], "usage": {"prompt_tokens": 3}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "null",
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": null}',
        '{"choices": [{}]}',
        '{"choices": [{"message": {"content": null}}]}',
        '{"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}',
        '{"error": {"message": "no"}}',
        body(message={"content": "A"})[:-5],
    ],
)
def test_what_is_no_completion(text: str):
    assert reply_of(text, explained=False) is None


def test_null_content_of_a_finished_completion_is_an_empty_answer():
    reply = reply_of(body(message={"content": None, "refusal": "no"}), explained=False)
    assert reply == Reply(text="", positions=None, prompt_tokens=3, completion_tokens=None)


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": None}, {"content": []}, {"tokens": ["A"], "token_logprobs": [-1.0]}, "none", 5]
)
def test_log_probabilities_that_are_missing_or_not_understood(logprobs: object):
    reply = reply_of(body(message={"content": "A"}, logprobs=logprobs), explained=False)
    assert reply is not None
    assert (reply.text, reply.positions) == ("A", None)


def test_the_generated_token_belongs_to_the_likely_ones():
    content = [{"token": "A", "logprob": -0.5, "top_logprobs": [{"token": "B", "logprob": -2.0}]}]
    reply = reply_of(body(message={"content": "A"}, logprobs={"content": content}), explained=False)
    assert reply is not None
    assert reply.positions == (Position(token="A", top=(("B", -2.0), ("A", -0.5))),)


def test_minus_infinity_is_probability_zero():
    text = body(message={"content": "A"}, logprobs={"content": [{"token": "A", "logprob": 0.0, "top_logprobs": []}]})
    reply = reply_of(text.replace("0.0", "-Infinity"), explained=False)
    assert reply is not None
    assert reply.positions == (Position(token="A", top=()),)
