"""Answers that are longer than `decode.max_new_tokens`, and rows that do not fit into a model's context.

The embedded tokenizer makes a token of each word.
"""

from __future__ import annotations

import pytest

from burnish import backends
from burnish.config import Decoding, ModelConfig, TrainSettings
from burnish.errors import BackendError, ConfigError, DataError
from burnish.inputs.lengths import check_fits, check_lengths, spread
from burnish.types import Message, Role, TrainingRow

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


# --- a model's context: 128 tokens


def row(place: int, prompt: int, words: int = 1) -> TrainingRow:
    """Return a row whose prompt has so many tokens. The template adds `task`, `:`, `answer` and `:`."""
    asked = Message(role=Role.USER, content=answer(prompt - 4))
    return TrainingRow(id=f"data.jsonl:{place}", prompt=(asked,), completion=answer(words))


def fits(rows: list[TrainingRow], new: int | None, most: int | None = None, count: int | None = None) -> None:
    decode = None if new is None else Decoding(max_new_tokens=new)
    check_fits(rows, count or len(rows), MODEL, TrainSettings(max_tokens=most), decode)


def test_a_prompt_and_the_new_tokens_fit_into_the_context() -> None:
    assert backends.max_positions(MODEL) == 128
    rows = [row(1, 10), row(2, 28), row(3, 30)]
    assert backends.row_lengths(MODEL, rows) == [(10, 12), (28, 30), (30, 32)]
    fits(rows, 98)
    with pytest.raises(ConfigError) as error:
        fits(rows, 101)
    assert str(error.value) == (
        "decode.max_new_tokens: 101 found, but the model 'builtin:strong' takes at most 128 tokens, prompt and answer "
        "together. The prompts of 2 of 3 rows are too long for that. The first is data.jsonl:2, with 28 tokens. At "
        "most 98 fit with the longest prompt: lower it (--set decode.max_new_tokens=98), or shorten or remove these "
        "rows"
    )
    fits(rows, None)  # a caller's own generator


def test_no_value_fits_a_prompt_that_fills_the_context() -> None:
    with pytest.raises(ConfigError) as error:
        fits([row(1, 100), row(5, 128)], 40, count=10)
    assert "of 2 of 2 rows (evenly spaced among 10) are too long" in str(error.value)
    assert str(error.value).endswith(
        "The longest prompt is data.jsonl:5, with 128 tokens, and no value fits it: shorten or remove these rows"
    )


def test_a_row_with_its_answer_fits_into_the_context() -> None:
    fits([row(1, 20, 107)], 8)
    with pytest.raises(DataError) as error:
        fits([row(1, 20), row(2, 20, 108), row(3, 20, 120)], 8)
    assert str(error.value) == (
        "data.jsonl:2: 129 tokens with its answer and its end, but the model 'builtin:strong' takes at most 128. So it "
        "is with 2 of 3 rows, and the longest has 141. Shorten or remove these rows, or use a model with a longer "
        "context"
    )


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (30, "Set it to 51 (--set train.max_tokens=51), or shorten or remove these rows"),
        (120, "Shorten or remove these rows"),
    ],
)
def test_a_row_with_its_answer_fits_into_the_limit_of_training(words: int, fix: str) -> None:
    fits([row(1, 20, 19)], 8, 40)
    with pytest.raises(ConfigError) as error:
        fits([row(1, 20), row(2, 20, 20), row(3, 20, words)], 8, 40)
    assert str(error.value) == (
        "train.max_tokens: 40 found, but 2 of 3 rows have more tokens with their answer and its end. The first is "
        f"data.jsonl:2, with 41 tokens. {fix}"
    )
