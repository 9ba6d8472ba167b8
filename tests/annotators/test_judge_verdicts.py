"""What a judge's reply says, by log-probabilities and by the forms that name one label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import judge_config

from burnish.annotators.llm import verdicts
from burnish.annotators.llm.verdicts import KEPT, kept_positions
from burnish.annotators.llm.wording import Unread
from burnish.config import JudgeConfig
from burnish.services.calls import Position, Reply

A, B, TIE, NOTHING = 0.0, 1.0, 0.5, None


def plain(found: float | Unread) -> float | None:
    return None if isinstance(found, Unread) else found


def from_text(text: str, config: JudgeConfig) -> float | None:
    return plain(verdicts.from_text(text, config))


def from_positions(positions: Sequence[Position], config: JudgeConfig) -> float | None:
    return plain(verdicts.from_positions(positions, config))


def read_reply(reply: Reply, config: JudgeConfig) -> float | None:
    return plain(verdicts.read_reply(reply, config))


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
        ("b", B),
        ("a", A),
        (" c.", TIE),
        ("Answer: B", B),
        ("answer: b", B),
        ("**Answer:** A", A),
        ("Answer A", A),
        ("The answer is A.", A),
        ("The better answer is B", B),
        ("My verdict: A", A),
        ("Final answer: C", TIE),
        ("Therefore, the better response is (B).", B),
        ("The winner is: A", A),
        ("B is better", B),
        ("**B** is better.", B),
        ("Response A is the better answer!", A),
        ("Answer B is clearly better", B),
        ("A wins", A),
        ("I prefer answer B.", B),
        ("I would choose A", A),
        ("\\boxed{B}", B),
        ("$\\boxed{\\text{A}}$", A),
        ("The answer is $\\boxed{B}$.", B),
        ('{"verdict": "B"}', B),
        ('{"Answer": "a", "confidence": 0.9}', A),
        ('```json\n{"reason": "A is too short", "verdict": "B"}\n```', B),
        ("Both are fine.\nAnswer: B", B),
        ("AB", NOTHING),
        ("A or B", NOTHING),
        ("A and B are equally good", NOTHING),
        ("A\nB", NOTHING),
        ("A better answer would be short", NOTHING),
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
        ("<think>A", NOTHING),
        ("<think>Hm.</think> <think>A", NOTHING),
        ("!", NOTHING),
        ("Not A, but B", NOTHING),
        ("A careful comparison shows that B is", NOTHING),
        ("B is better than A", NOTHING),
        ("B is not better", NOTHING),
        ("A is worse", NOTHING),
        ("A is better? No.", NOTHING),
        ("C is better", NOTHING),  # the tie is no answer that could be the better one
        ("I prefer neither.", NOTHING),
        ("Answer: not A", NOTHING),
        ("Answer: A\nAnswer: B", NOTHING),
        ("Verdict: A\nVerdict: B", NOTHING),
        ("\\boxed{A} \\boxed{B}", NOTHING),
        ('{"verdict": "A", "verdict": "B"}', NOTHING),
        ('{"verdict": "A", "answer": "B"}', NOTHING),
        ('{"verdict": "A or B"}', NOTHING),
        ('{"verdict": ["A"]}', NOTHING),
        ('[{"verdict": "A"}]', NOTHING),
        ('{"comment": "A"}', NOTHING),
        ("I cannot help with that.", NOTHING),
        ("[" * 100_000, NOTHING),
        ("answer is" + " " * 100_000, NOTHING),
    ],
)
def test_a_text_says_it_plainly_or_says_nothing(reply: str, verdict: float | None):
    assert from_text(reply, config()) == verdict


def test_a_tie_is_no_verdict_where_ties_are_off_and_labels_can_be_words():
    assert from_text("C", config(tie=None)) is None
    words = config(labels=("first", "second"), tie="equal")
    assert [from_text(text, words) for text in ("first", "Second", "second.", "Verdict: equal")] == [A, B, B, TIE]
    assert from_text("The first one is worse than the second", words) is None
    capitals = config(labels=("a", "A"), tie=None)
    assert [from_text(text, capitals) for text in ("a", "A", "The answer is A")] == [A, B, B]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", Unread.EMPTY),
        ("<think>A", Unread.THINKING),
        ("I cannot help with that.", Unread.NO_LABEL),
        ("a long answer", Unread.NO_LABEL),  # the word, not the letter
        ("A or B", Unread.SEVERAL),
        ("Verdict: A\nAnd that is all.", Unread.UNCLEAR),
    ],
)
def test_an_abstention_has_a_reason(text: str, why: Unread):
    assert verdicts.from_text(text, config()) is why


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
        ({"A": 0.1, "B": 0.3, "The": 0.6}, 0.75),
        ({"a": 0.1, "_b": 0.1, "B.": 0.1, '"B"': 0.1}, 0.75),  # capitals, quotes and a stop do not matter
    ],
)
def test_p_second_is_the_share_of_the_labels_weight(top: Mapping[str, float], p_second: float):
    assert from_positions([position("A", **top)], config()) == pytest.approx(p_second)


def test_the_first_label_decides_where_marks_alone_stand_before_it():
    told = [position("**", The=1.0), position(" B", A=0.25, B=0.75), position("A", A=1.0)]
    assert from_positions(told, config()) == pytest.approx(0.75)
    prose = [position("The", The=0.9, A=0.06, B=0.02), position(" answer", B=1.0)]
    assert from_positions(prose, config()) is None
    late = [position("The", The=0.2, A=0.6, B=0.2), position(" B", B=1.0)]
    assert from_positions(late, config()) is None


@pytest.mark.parametrize(
    ("mass", "p_second"), [({"A": 0.2, "B": 0.05}, 0.2), ({"A": 0.2, "B": 0.04}, None), ({"A": 0.1, "C": 0.16}, 4 / 13)]
)
def test_the_labels_need_a_least_probability_together(mass: Mapping[str, float], p_second: float | None):
    assert from_positions([position("A", The=0.7, **mass)], config(min_mass=0.2499)) == pytest.approx(p_second)
    assert from_positions([position("A", The=0.7, **mass)], config(min_mass=0.0)) is not None
    if p_second is None:
        assert verdicts.from_positions([position("A", **mass)], config()) is Unread.LITTLE_MASS


def told(*tokens: str, **settings: Any) -> float | Unread:
    """Read a reply of these tokens; every label among them has P(A) = 0.2 and P(B) = 0.6."""
    likely = [position(token, A=0.2, B=0.6) if token.strip() in "ABab" else position(token) for token in tokens]
    reply = Reply(text="".join(tokens), positions=tuple(likely), prompt_tokens=1, completion_tokens=1)
    return verdicts.read_reply(reply, config(**settings))


@pytest.mark.parametrize(
    ("tokens", "found"),
    [
        (("B",), 0.75),
        (("B", ""), 0.75),  # llama.cpp ends so
        (("**", "B", "**"), 0.75),
        (("B", "\n\n", "Answer", " B", " is", " more"), 0.75),  # cut off in its reasons
        (("B", ".", " It", " is", " right"), 0.75),
        (("Answer", ":", " B"), 0.75),
        (("The", " better", " answer", " is", " B", "."), 0.75),
        (("B", " is", " better"), 0.75),
        (('{"', "verdict", '":', ' "', "B", '"}'), 0.75),
        (("\\", "boxed", "{", "B", "}"), 0.75),
        (("A", " careful", " comparison", " shows", " that", " B", " is"), Unread.SEVERAL),
        (("Not", " A", ",", " but", " B"), Unread.SEVERAL),
        (("B", "\n", "A"), Unread.SEVERAL),
        (("A", " long", " answer", " is", " worse"), Unread.UNCLEAR),
        (("I", " cannot", " help", " with", " that", "."), Unread.NO_LABEL),
        (("I", " would", " say"), Unread.NO_LABEL),
        (("", "\n"), Unread.EMPTY),
        (("Answer", ": B"), Unread.NO_PROBABILITY),  # the label shares its token with something else
    ],
)
def test_the_text_has_to_agree_with_the_log_probabilities(tokens: Sequence[str], found: float | Unread):
    got = told(*tokens)
    assert got == (found if isinstance(found, Unread) else pytest.approx(found))


def test_a_refusal_with_next_to_no_weight_on_a_label_is_an_abstention():
    refusal = (position("I", I=0.9, A=0.00001, B=0.0001), position("'m"), position(" sorry"))
    reply = Reply(text="I'm sorry", positions=refusal, prompt_tokens=1, completion_tokens=3)
    assert verdicts.read_reply(reply, config()) is Unread.NO_LABEL
    assert verdicts.from_positions(refusal, config()) is Unread.NO_LABEL


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
    kept = kept_positions(likely, explained=True)
    reply = Reply(text="".join(tokens), positions=kept, prompt_tokens=1, completion_tokens=len(tokens))
    with_text, without = read_reply(reply, config(explain=True)), from_positions(kept, config(explain=True))
    assert with_text == without, tokens
    return with_text


def test_an_explanation_decides_after_its_last_verdict_alone():
    assert explained("A", " is", " bad", ".\n", "Verdict", ":", " B") == pytest.approx(0.8)
    assert explained("**", "Verdict", ":", "**", " B") == pytest.approx(0.8)
    assert explained("Verdict", ":", " A", "? No.\n", "Verdict", ":", " none") is None
    assert explained("Verdict", ":", " B", "\n", "It", " is", " right", ".") == pytest.approx(0.8)
    assert explained("A", " is", " better") is None
    assert explained("Verdict", ":", " both", " A", " and", " B") is None


def test_thinking_is_passed_over():
    thought = [position(token) for token in ("<think>", "A", "</think>", "\n\n")]
    kept = kept_positions([*thought, position("B", A=0.5, B=0.5)], explained=False)
    assert from_positions(kept, config()) == 0.5
    reply = Reply(text="<think>A</think>\n\nB", positions=kept, prompt_tokens=1, completion_tokens=5)
    assert read_reply(reply, config()) == 0.5
    assert kept_positions(thought[:2], explained=False) == ()


def test_a_long_reply_is_kept_in_part():
    assert len(kept_positions([position("x")] * 100, explained=False)) == KEPT
