"""Signs that a label is wrong, by hand."""

from __future__ import annotations

import math

import pytest

from burnish.algorithms.suspicion import (
    CUT,
    KeyedAnswer,
    Sign,
    contradicted,
    preferred_by,
    prompt_key,
    suspicion,
    without_end,
)


def asked(id_: str, prompt: str, answer: int | None) -> KeyedAnswer[int]:
    return KeyedAnswer(id=id_, key=prompt_key(prompt), answer=answer)


def same(a: int, b: int) -> bool:
    return a == b


def test_case_order_and_punctuation_make_no_other_question_but_a_number_does() -> None:
    assert prompt_key("How many apples, Tom?") == prompt_key("how many APPLES Tom")
    assert prompt_key("Tom has 3 apples") != prompt_key("Tom has 4 apples")
    assert prompt_key("apples apples") != prompt_key("apples")


def test_the_minority_is_more_suspicious_than_the_majority() -> None:
    rows = [asked(str(number), "What is 2 + 2?", answer) for number, answer in enumerate((4, 4, 4, 5))]
    others = [asked("alone", "What is 3 + 3?", 7), asked("none", "What is 2 + 2?", None)]
    assert contradicted([*rows, *others], same) == {**dict.fromkeys("012", 1 / 4), "3": 3 / 4}


def test_of_two_rows_that_contradict_each_other_another_sign_decides() -> None:
    found = contradicted([asked("a", "x", 1), asked("b", "X!", 2)], same)
    assert found == {"a": 0.5, "b": 0.5}
    assert suspicion({Sign.CONTRADICTED: found["a"], Sign.MODEL: 0.8}) > suspicion({Sign.CONTRADICTED: found["b"]})


def test_rows_that_agree_have_no_sign() -> None:
    assert contradicted([asked("a", "x", 1), asked("b", "X!", 1)], same) == {}


@pytest.mark.parametrize("text", ["It is (see", "First, second,", "```python\nx = 1", "", "  ", "both [1, 2", "so x ="])
def test_a_text_in_which_something_stays_open_stops_in_the_middle(text: str) -> None:
    assert without_end({"a": text, "b": "Yes", "c": "no"}) == {"a": CUT}


@pytest.mark.parametrize("text", ["It is (here).", "```python\nx = 1\n```", "f(x) = [1]", "12", ":)"])
def test_a_whole_text_has_no_sign(text: str) -> None:
    assert without_end({"a": text, "b": "Yes", "c": "no"}) == {}


def test_a_missing_full_stop_is_a_sign_only_where_others_have_one() -> None:
    usual = {str(number): "A whole sentence." for number in range(19)}
    assert without_end({**usual, "cut": "A sentence that"}) == {"cut": CUT}
    assert without_end({**dict.fromkeys(usual, "yes"), "cut": "A sentence that"}) == {}


@pytest.mark.parametrize("mark", ["#### 7", "so \\boxed{7}"])
def test_a_missing_mark_of_the_final_answer_is_a_sign_only_where_others_have_one(mark: str) -> None:
    usual = {str(number): f"3 + 4 = 7\n{mark}" for number in range(19)}
    assert without_end({**usual, "cut": "3 + 4 = 7"}) == {"cut": CUT}
    assert without_end({**usual, **dict.fromkeys("abc", "3 + 4 = 7")}) == {}


def test_a_models_own_answer_is_preferred_by_the_difference_of_log_probabilities() -> None:
    assert preferred_by(-1.0, -1.0) == 0.5
    assert preferred_by(-2.0, -1.0) == pytest.approx(math.e / (1 + math.e))
    assert preferred_by(-1e9, 0.0) == 1.0
    assert preferred_by(0.0, -1e9) == pytest.approx(0.0, abs=1e-300)


def test_more_signs_are_more_suspicious() -> None:
    assert suspicion({}) == 0
    assert suspicion({Sign.MODEL: 0.5}) == 0.5
    assert suspicion({Sign.MODEL: 0.5, Sign.NO_END: 0.5}) == 0.75
    assert suspicion({Sign.MODEL: 0.5, Sign.CONTRADICTED: 1.0}) == 1
