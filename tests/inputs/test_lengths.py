"""Answers that are longer than `decode.max_new_tokens`. The embedded tokenizer makes a token of each word."""

from __future__ import annotations

import pytest

from burnish import backends
from burnish.config import Decoding, ModelConfig
from burnish.errors import BackendError, ConfigError
from burnish.inputs.lengths import check_lengths, spread

MODEL = ModelConfig(source="builtin:strong")


def answer(words: int) -> str:
    """Return an answer of so many tokens; its end is one more."""
    return " ".join(["+"] * words)


def found(answers: list[str], most: int, count: int | None = None) -> str | None:
    return check_lengths(answers, count or len(answers), MODEL, Decoding(max_new_tokens=most), "given answers")


def test_the_end_of_an_answer_counts() -> None:
    assert backends.answer_lengths(MODEL, [answer(3), answer(1), ""]) == [4, 2, 1]
    assert found([answer(7)] * 20, 8) is None
    with pytest.raises(ConfigError, match="all of 20 given answers have more tokens, the shortest 9 with its end"):
        found([answer(8)] * 20, 8)


def test_many_long_answers_are_a_warning_with_a_limit_for_99_of_100() -> None:
    """Of 200 answers 10 are too long: 5 %, the least share that is said. The second longest is the 99th of 100."""
    answers = [answer(7)] * 190 + [answer(11)] * 8 + [answer(15), answer(40)]
    assert found(answers, 8) == (
        "10 of 200 given answers have more than 8 tokens with their end (decode.max_new_tokens). New answers of that "
        "length are cut, and a cut answer counts as none. 12 tokens are enough for 99 of 100 (--set "
        "decode.max_new_tokens=12)"
    )
    assert found(answers[1:], 12) is None  # 2 of 199
    assert found([answer(7)] * 191 + answers[191:], 8) is None  # 9 of 200


def test_where_all_are_too_long_the_error_names_a_limit() -> None:
    with pytest.raises(ConfigError) as error:
        found([answer(10)] * 3 + [answer(20)], 8, count=40)
    assert str(error.value) == (
        "decode.max_new_tokens: 8 found, but all of 4 given answers (evenly spaced among 40) have more tokens, the "
        "shortest 11 with its end. Every new answer would be cut, and a cut answer counts as none. Set it to 21 (--set "
        "decode.max_new_tokens=21)"
    )


def test_no_answer_is_no_fault() -> None:
    assert found([], 8) is None


def test_a_tokenizer_is_read_only_where_it_could_matter() -> None:
    missing = ModelConfig(source="/no/such/model")
    short = check_lengths([answer(3)] * 20, 20, missing, Decoding(max_new_tokens=8), "given answers")
    assert short is None  # 5 bytes are at most 5 tokens
    with pytest.raises(BackendError, match="/no/such/model"):
        check_lengths([answer(9)] * 20, 20, missing, Decoding(max_new_tokens=8), "given answers")


def test_rows_are_spread_over_the_whole_file() -> None:
    assert list(spread(range(10), 10, 4)) == [0, 3, 6, 9]
    assert list(spread(range(4), 4, 4)) == [0, 1, 2, 3]
    assert list(spread(iter(range(9)), 9, 4)) == [0, 3, 6]
    assert len(list(spread(range(2_001), 2_001))) == 667
