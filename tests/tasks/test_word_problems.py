"""Word problems: equations as demonstrations, both forms of file, and what can be wrong with a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.config import WordProblemsTask
from burnish.errors import DataError
from burnish.protocols import Dataset
from burnish.tasks import make_task
from burnish.tasks.word_problems import demonstration, tidy_number


def mawps(question: str, answer: Any = "3", split: str = "train", **more: Any) -> dict[str, Any]:
    return {"question": question, "equation": "X=1+2", "answer": answer, "split": split, **more}


def load(path: Path, *rows: object) -> Dataset:
    """Write the rows to `words.jsonl` and load them."""
    source = path / "words.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return make_task(WordProblemsTask(kind="word_problems", source=str(source))).load()


@pytest.mark.parametrize(
    ("equation", "answer", "expected"),
    [
        ("X=((22.0-14.0)/4.0)", "2", "(22-14)/4 = 2 #### 2"),
        ("x=3*6", "18", "3*6 = 18 #### 18"),
        ("( 76.0 - 25.0 )", "51", "76-25 = 51 #### 51"),
        ("X=(1.0+2.0)*(3.0)", "9", "(1+2)*(3) = 9 #### 9"),
        ("miles=4.0/30.0*48.0", "6.4", "4/30*48 = 6.4 #### 6.4"),
        ("X-6=52", "58", "X-6 = 52 ; X = 58 #### 58"),
        ("7.0=3.0+x", "4", "7 = 3+x ; x = 4 #### 4"),
        ("3+4=x", "7", "3+4 = 7 #### 7"),
        ("X=2.8333333333333335+2.8333333333333335", "5.66667", "2.83333+2.83333 = 5.66667 #### 5.66667"),
        ("X=0.32=0.21", "0.53", "#### 0.53"),
        ("x+y=3", "1", "#### 1"),
        ("x=x+1", "1", "#### 1"),
        ("X=()", "1", "#### 1"),
        ("X=2^3", "8", "#### 8"),
        ("", "8", "#### 8"),
        ("X=" + "1+" * 600 + "1", "601", "#### 601"),
    ],
)
def test_an_equation_becomes_a_demonstration(equation: str, answer: str, expected: str) -> None:
    assert demonstration(equation, answer) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.333333333333334", "10.3333"),
        ("0.004166666666666667", "0.00416667"),
        ("0.30000000000000004", "0.3"),
        ("1234567.123456789", "1234567.1"),
        ("117094.56", "117094.56"),
        ("0.0", "0"),
        ("1200000.0", "1200000"),
    ],
)
def test_float_noise_is_rounded(text: str, expected: str) -> None:
    assert tidy_number(text) == expected


def test_a_split_column_decides_and_valid_rows_are_left_out(tmp_path: Path) -> None:
    data = load(tmp_path, mawps("A?"), mawps("B?", split="valid"), mawps("C?", 3.0, split="test"), mawps("D?", 3))
    assert [row.prompt[0].content for row in data.train] == ["A?", "D?"]
    assert [row.reference for row in data.test] == ["1+2 = 3 #### 3"]


def test_without_a_split_column_repeats_stay_together(tmp_path: Path) -> None:
    rows = [{"Body": f"Body {n // 2}", "Question": "Q?", "Equation": "( 1.0 )", "Answer": 1.0} for n in range(20)]
    data = load(tmp_path, *rows)
    assert (len(data.train), len(data.test), data.dropped) == (16, 4, 0)
    assert data.test[0].prompt[0].content.endswith(". Q?")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": "A?", "answer": 1, "split": "train"}, "no column 'equation'"),
        ({"Body": "A", "Question": "B?", "Answer": 1, "split": "train"}, "no column 'Equation'"),
        ({"unknown": 1}, "no column 'question', found 'unknown'"),
        (mawps("A?", equation=None), "'equation' is None"),
        (mawps("A?", None), "column 'answer' is None"),
        (mawps("A?", True), "column 'answer' is True"),
        (mawps("A?", "5 or 6"), "column 'answer' is '5 or 6'"),
        (mawps("A?", ""), "column 'answer' is ''"),
        (mawps("A?", [5]), "column 'answer' is"),
        (
            mawps("A?", split="holdout"),
            "column 'split' is 'holdout', which is unknown; write one of train, valid, validation, dev, test",
        ),
        ({"question": "A?", "equation": "", "answer": 1}, "no column 'split'"),
        (mawps("A?", id=1), "id '1' was used at"),
    ],
)
def test_a_bad_word_problem_names_its_line(tmp_path: Path, row: Any, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        load(tmp_path, mawps("Z?", split="test", id=1), row)
    assert str(caught.value).startswith(f"{tmp_path / 'words.jsonl'}:2: ")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no rows"),
        ([mawps("A?")], "the test split is empty"),
        ([mawps("A?", split="valid"), mawps("B?", split="test")], "the train split is empty"),
        ([{"question": "A?", "equation": "", "answer": 1}], "the train split is empty"),
        ([mawps("A?"), mawps("B?", split="valid", id=1), mawps("C?", split="valid", id=1)], "id '1' was used at"),
    ],
)
def test_a_file_without_enough_rows(tmp_path: Path, rows: list[Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        load(tmp_path, *rows)


def test_all_bad_rows_are_said_at_once(tmp_path: Path) -> None:
    rows = [mawps(f"Q{number}?", "5 or 6" if number in {1, 3, 4} else "3") for number in range(6)]
    with pytest.raises(DataError) as error:
        load(tmp_path, *rows)
    assert str(error.value) == (
        f"{tmp_path}/words.jsonl:2: column 'answer' is '5 or 6'; write a number, or a string that is one number "
        "(2 more bad rows: words.jsonl:4, words.jsonl:5)"
    )


def test_of_many_bad_rows_ten_more_are_said(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"words\.jsonl:1: .* \(29 more bad rows: words\.jsonl:2, .*jsonl:11, \.\.\.\)$"
    ):
        load(tmp_path, *(mawps(f"Q{number}?", None) for number in range(30)))
