"""Edits that make an answer worse: what they change, and that they are the same for the same key."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.algorithms.edits import MOST, edits
from burnish.config import EditKind
from burnish.tasks.numbers import SumAnswers
from burnish.types import Example

FEW = settings(max_examples=40, deadline=None)
SUM = "12 + 7 = 19 ; 19 - 5 = 14 #### 14"
QUERY = "SELECT name FROM city WHERE size >= 10 AND state = 'and = 10' ORDER BY size DESC LIMIT 3"
PROSE = "The river is always higher after rain. Boats can pass under the old bridge before noon."


@FEW
@given(st.text(max_size=40) | st.just(SUM) | st.just(QUERY), st.sampled_from(list(EditKind)), st.integers(0, 5))
def test_copies_differ_from_the_text_and_from_each_other(text: str, kind: EditKind, key: int) -> None:
    made = list(edits(text, kind, str(key)))
    looks = [" ".join(copy.split()) for copy in made]
    assert len(set(looks)) == len(looks) <= MOST
    assert " ".join(text.split()) not in looks
    assert made == list(edits(text, kind, str(key)))


@pytest.mark.parametrize(
    ("text", "kind"),
    [(SUM, EditKind.NUMBERS), (QUERY, EditKind.SQL), (PROSE, EditKind.WORDS), (PROSE, EditKind.CHARACTERS)],
)
def test_the_key_decides_the_order(text: str, kind: EditKind) -> None:
    first, second = (list(edits(text, kind, key)) for key in ("a", "b"))
    assert first != second
    assert len(first) > 20


def test_numbers_keep_their_length_and_a_checker_finds_enough_worse_ones() -> None:
    made = list(edits(SUM, EditKind.NUMBERS, "a"))
    assert all(
        re.findall(r"\d+", copy) != re.findall(r"\d+", SUM) or "+" not in copy or "-" not in copy for copy in made
    )
    assert {tuple(map(len, re.findall(r"\d+", copy))) for copy in made} == {tuple(map(len, re.findall(r"\d+", SUM)))}
    grader = SumAnswers().on(Example(id="a", group="a", prompt=(), reference=SUM))
    worse = [copy for copy in made if not grader.grade(copy).correct]
    assert len(worse) > 20
    # A result that is used again changes everywhere, so that the copy looks consistent.
    assert "12 + 7 = 29 ; 29 - 5 = 14 #### 14" in made
    assert "12 + 7 = 19 ; 19 - 5 = 15 #### 15" in made
    assert "12 - 7 = 19 ; 19 - 5 = 14 #### 14" in made


def test_digits_of_names_stay() -> None:
    assert all("H2O" in copy and "v1" in copy for copy in edits("H2O at 20 degrees, v1", EditKind.NUMBERS, "a"))
    assert list(edits("H2O and v1", EditKind.NUMBERS, "a")) == []
    assert "5" in set(edits("0", EditKind.NUMBERS, "a"))
    assert not any(copy.startswith("0") for copy in edits("41", EditKind.NUMBERS, "a"))


def test_a_query_changes_outside_its_quotes_only() -> None:
    made = set(edits(QUERY, EditKind.SQL, "a"))
    assert all("'and = 10'" in copy for copy in made)
    for change in [(">=", "<"), (" AND ", " OR "), ("state =", "state !="), (" DESC", " ASC"), ("LIMIT 3", "LIMIT 5")]:
        assert QUERY.replace(*change) in made
    assert list(edits("SELECT a NOT IN (b)", EditKind.SQL, "a")) == []
    assert set(edits("SELECT MIN(a) IN (b)", EditKind.SQL, "a")) == {"SELECT MAX(a) IN (b)", "SELECT MIN(a) NOT IN (b)"}


def test_opposites_come_before_other_edits_of_words() -> None:
    made = list(edits(PROSE, EditKind.WORDS, "a"))
    assert set(made[:6]) == {
        PROSE.replace(old, new)
        for old, new in [
            ("is", "isn't"),
            ("always", "never"),
            ("higher", "lower"),
            ("after", "before"),
            ("can", "cannot"),
            ("before", "after"),
        ]
    }
    known = set(PROSE.split())
    assert all(set(copy.split()) <= known for copy in made[6:])


def test_characters_stay_near_the_text() -> None:
    for copy in list(edits(PROSE, EditKind.CHARACTERS, "a"))[:50]:
        assert len(copy.split()) == len(PROSE.split())
        changed = sum(a != b for a, b in zip(copy.split(), PROSE.split(), strict=True))
        assert 1 <= changed <= 5


@pytest.mark.parametrize("kind", list(EditKind))
def test_a_text_without_anything_to_edit(kind: EditKind) -> None:
    assert list(edits("", kind, "a")) == []
    assert list(edits("  \n", kind, "a")) == []
