"""annotate import: graded values in a spreadsheet, as on the pages of a study."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import Made, made
from test_annotate import judged, rows_of, said, write

from burnish.errors import ConfigError, DataError
from burnish.people.mailbox import Ask, Mailbox, Purpose, Said
from burnish.people.sheet import Imported, export, import_
from burnish.types import Order


@pytest.fixture
def there(tmp_path: Path) -> Made:
    folder = made(tmp_path)
    Mailbox(folder.path).ask(
        [
            Ask(
                id="compare-1",
                purpose=Purpose.COMPARE,
                comparison_id="1",
                example_id="r1",
                request="question",
                first="one",
                second="two",
                shown=Order.BA,
            )
        ]
    )
    return folder


@pytest.mark.parametrize(
    ("value", "points", "meant", "confidence"),
    [
        ("-3", 7, Said.FIRST, 1.0),
        ("'-2", 7, Said.FIRST, 2 / 3),
        ("0", 7, Said.TIE, 0.0),
        ("2.0", 7, Said.SECOND, 2 / 3),
        ("+1", 7, Said.SECOND, 1 / 3),
        ("2", 5, Said.SECOND, 1.0),
    ],
)
def test_a_value_says_who_is_better_and_how_surely(
    there: Made, tmp_path: Path, value: str, points: int, meant: Said, confidence: float
) -> None:
    export(there.path, tmp_path / "pairs.csv")
    rows = rows_of(tmp_path / "pairs.csv")
    rows[0] |= {"value": value, "note": "why"}
    assert import_(there.path, write(tmp_path / "pairs.csv", rows), "ada", points).added == 1
    (kept,) = said(there).values()
    assert (kept.said, kept.confidence, kept.value, kept.note) == (
        meant,
        confidence,
        int(float(value.strip("'"))),
        "why",
    )


def test_a_file_with_values_alone_is_enough(there: Made, tmp_path: Path) -> None:
    file = write(tmp_path / "v.jsonl", [{"pair": "compare-1", "value": "-1"}])
    assert import_(there.path, file, "ada") == Imported(added=1, unchanged=0, blank=0)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"value": "4"}, "the value '4' cannot be read; write a whole number from -3 .* to 3"),
        ({"value": "1.5"}, "the value '1.5' cannot be read"),
        ({"value": "nan"}, "the value 'nan' cannot be read"),
        ({"value": "inf"}, "the value 'inf' cannot be read"),
        ({"value": "sure"}, "the value 'sure' cannot be read"),
        ({"value": "-2", "verdict": "2"}, "the verdict '2' and the value -2 disagree; leave one of them"),
        ({"value": "0", "verdict": "1"}, "the verdict '1' and the value 0 disagree"),
        ({"value": "-2", "confidence": "1"}, "a value and a confidence are given; leave one of them"),
    ],
)
def test_a_value_that_is_none(there: Made, tmp_path: Path, cells: dict[str, str], message: str) -> None:
    export(there.path, tmp_path / "pairs.csv")
    rows = rows_of(tmp_path / "pairs.csv")
    rows[0] |= cells
    with pytest.raises(DataError, match=rf"pairs\.csv row 1: {message}"):
        import_(there.path, write(tmp_path / "pairs.csv", rows), "ada")
    assert said(there) == {}


@pytest.mark.parametrize("points", [1, 4])
def test_a_scale_without_a_middle_is_refused(there: Made, tmp_path: Path, points: int) -> None:
    with pytest.raises(ConfigError, match=rf"--points: {points} found; write an odd number"):
        import_(there.path, judged(tmp_path / "v.csv", "1"), "ada", points)
