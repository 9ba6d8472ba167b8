"""What a judge's reply says, by log-probabilities and by strict parsing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import judge_config

from burnish.annotators.llm.replies import reply_of
from burnish.annotators.llm.verdicts import KEPT, from_positions, from_text, kept_positions, read_reply
from burnish.config import JudgeConfig
from burnish.services.calls import Position, Reply

A, B, TIE, NOTHING = 0.0, 1.0, 0.5, None


def config(**settings: Any) -> JudgeConfig:
    return judge_config("http://localhost:1/v1", **settings)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("A", A),
        ("B", B),
        ("C", TIE),
        (" B\n", B),
        ("\n\n  A  \n", A),
        ("A.", A),
        ("(B)", B),
        ("B)", B),
        ("[A]", A),
        ("[[B]]", B),
        ("**A**", A),
        ("**B.**", B),
        ("**B**.", B),
        ('"A"', A),
        ("`B`", B),
        ("“A”", A),
        ("A:", A),
        ("Both are fine.\nVerdict: B", B),
        ("Verdict: C", TIE),
        ("A is wrong.\n\n**Verdict: A**", A),
        ("**Verdict:** B", B),
        ("Verdict: **A**.\n", A),
        ("verdict: [[B]]", B),
        ("<think>A is short, so B.</think>\n\nA", A),
        ("it started in the template</think>B", B),
        ("", NOTHING),
        ("   \n", NOTHING),
        ("a", NOTHING),
        ("AB", NOTHING),
        ("A or B", NOTHING),
        ("A and B are equally good", NOTHING),
        ("A\nB", NOTHING),
        ("A better answer would be short", NOTHING),
        ("Answer A", NOTHING),
        ("The answer is A.", NOTHING),
        ("D", NOTHING),
        ("tie", NOTHING),
        ("((A))", NOTHING),
        ("**A", NOTHING),
        ("Die Antwort B ist besser.", NOTHING),
        ("答案是B", NOTHING),
        ("Ａ", NOTHING),
        ("Verdict: A or B", NOTHING),
        ("Verdict:", NOTHING),
        ("Verdict: A\nAnd that is all.", NOTHING),
        ("My verdict: A", NOTHING),
        ("<think>A", NOTHING),
        ("<think>Hm.</think> <think>A", NOTHING),
        ("!", NOTHING),
    ],
)
def test_a_text_says_it_plainly_or_says_nothing(reply: str, verdict: float | None):
    assert from_text(reply, config()) == verdict


def test_a_tie_is_no_verdict_where_ties_are_off_and_labels_can_be_words():
    assert from_text("C", config(tie=None)) is None
    words = config(labels=("first", "second"), tie="equal")
    assert [from_text(text, words) for text in ("first", "Second", "second.", "Verdict: equal")] == [A, None, B, TIE]


@given(st.text())
def test_no_text_is_misread(text: str):
    assert from_text(text, config()) in {A, B, TIE, NOTHING}


def position(token: str, **probabilities: float) -> Position:
    """Names are tokens, with `_` for a leading space."""
    return Position(token=token, top=tuple((name.replace("_", " "), math.log(p)) for name, p in probabilities.items()))


@pytest.mark.parametrize(
    ("top", "p_second"),
    [
        ({"A": 0.6, "B": 0.2}, 0.25),
        ({"A": 0.3, "B": 0.1, "C": 0.1}, 0.3),  # (0.1 + 0.05) / 0.5
        ({"A": 0.2, "_A": 0.1, "_B": 0.5, "B": 0.1}, 2 / 3),
        ({"A": 0.5, "The": 0.4}, 0.0),
        ({"A": 0.001, "B": 0.003, "The": 0.9}, 0.75),
    ],
)
def test_p_second_is_the_share_of_the_labels_weight(top: Mapping[str, float], p_second: float):
    assert from_positions([position("A", **top)], config()) == pytest.approx(p_second)


def test_the_first_label_decides_and_without_one_the_first_position():
    told = [position("**", The=1.0), position(" B", A=0.25, B=0.75), position("A", A=1.0)]
    assert from_positions(told, config()) == pytest.approx(0.75)
    prose = [position("The", The=0.9, A=0.06, B=0.02), position(" answer", B=1.0)]
    assert from_positions(prose, config()) == pytest.approx(0.25)


def test_no_label_among_the_likely_tokens_is_an_abstention_whatever_the_text_says():
    reply = Reply(text="A", positions=(position("The", The=1.0),), prompt_tokens=1, completion_tokens=1)
    assert read_reply(reply, config()) is None
    assert read_reply(reply, config(read="text")) == A
    assert from_positions([], config()) is None


def test_a_label_whose_probability_is_zero_decides_nothing():
    assert from_positions([Position(token="A", top=(("A", -1e6), ("B", -1e6)))], config()) is None


@given(st.lists(st.tuples(st.sampled_from(["A", " B", "C", "x"]), st.floats(-1e6, 50)), max_size=8))
def test_p_second_lies_between_0_and_1(top: list[tuple[str, float]]):
    p = from_positions([Position(token="A", top=tuple(top))], config())
    assert p is None or 0 <= p <= 1


def explained(*tokens: str) -> float | None:
    likely = [position(token, A=0.2, B=0.8) if token.strip() in {"A", "B"} else position(token) for token in tokens]
    return from_positions(kept_positions(likely, explained=True), config(explain=True))


def test_an_explanation_decides_after_its_last_verdict_alone():
    assert explained("A", " is", " bad", ".\n", "Verdict", ":", " B") == pytest.approx(0.8)
    assert explained("**", "Verdict", ":", "**", " B") == pytest.approx(0.8)
    assert explained("Verdict", ":", " A", "? No.\n", "Verdict", ":", " none") is None
    assert explained("A", " is", " better") is None
    assert explained("Verdict", ":", " both", " A", " and", " B") is None


def test_thinking_is_passed_over():
    thought = [position(token) for token in ("<think>", "A", "</think>", "\n\n")]
    kept = kept_positions([*thought, position("B", A=0.5, B=0.5)], explained=False)
    assert from_positions(kept, config()) == 0.5
    assert kept_positions(thought[:2], explained=False) == ()


def test_a_long_reply_is_kept_in_part():
    assert len(kept_positions([position("x")] * 100, explained=False)) == KEPT


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
