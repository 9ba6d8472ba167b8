"""Planted pairs: each corruption by hand, the deal, the sides, and that a corrupted copy never equals its label."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.selftest.labelled import bundled_rows
from burnish.selftest.planted import (
    CLOSINGS,
    CORRUPTIONS,
    Planted,
    Planting,
    _cut,
    _other_number,
    _shuffled,
    plant,
    planted_examples,
)
from burnish.types import Message, Role, TrainingRow, prompt_group

TEXT = st.text(alphabet="ab12. \n,-é日", max_size=30)


def row(id_: str, completion: str, prompt: str | None = None) -> TrainingRow:
    return TrainingRow(id=id_, prompt=(Message(role=Role.USER, content=prompt or id_),), completion=completion)


def sides(planted: Planted) -> tuple[str, str]:
    """The label and what was made of it."""
    a, b = planted.comparison.a.completion, planted.comparison.b.completion
    return (a, b) if planted.label_is_a else (b, a)


# --- corruptions


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("3 and 4 make 7.", "3 and 4 make ", "."),  # the last number
        ("It costs 1,250.50 euros", "It costs ", ",250.50 euros"),  # the form of the number stays
        ("The answer is -4", "The answer is -", ""),
        ("1. Add 5.\n2. Stir.", "1. Add ", ".\n2. Stir."),  # a list's own numbers are no claims
        ("42 degrees: H2O boils", "", "2 degrees: H2O boils"),  # nor are digits in names
    ],
)
def test_the_first_digit_of_the_last_number_changes(text: str, before: str, after: str):
    changed = _other_number(text, "0", "row")
    assert changed is not None
    assert changed != text
    assert changed.startswith(before)
    assert changed.endswith(after)
    digit = changed[len(before) : len(changed) - len(after)]
    assert digit in set("123456789")


@pytest.mark.parametrize("text", ["no number", "H2O and v1.2", "1. one\n2) two", ""])
def test_a_text_without_a_number_of_its_own_has_none_to_change(text: str):
    assert _other_number(text, "0", "row") is None


def test_the_words_of_the_longest_sentence_are_shuffled():
    text = "Short one. The cat sat on the mat near us.\nThe end."
    shuffled = _shuffled(text, "0", "row")
    assert shuffled is not None
    assert shuffled != text
    assert shuffled.startswith("Short one. ")
    assert shuffled.endswith("\nThe end.")
    assert sorted(shuffled.split()) == sorted(text.split())


@pytest.mark.parametrize("text", ["three words only", "no no no no no", "One two. Three four. Five six."])
def test_what_means_the_same_in_any_order_is_not_shuffled(text: str):
    assert _shuffled(text, "0", "row") is None


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("abcdefghi", "abcdef"),  # 9 characters: 6 stay
        ("  one two three  ", "one two"),  # 13 without the outer spaces: 8 stay, and the space goes
        ("Fine day. And so on", "Fine day. An"),  # 19: 12 stay
        ("It is so. Yes", "It is"),  # 13: 8 are a whole sentence but for its mark, so its last word goes too
        ("Go on now. Yes!", "Go on"),  # 15: 10 are "Go on now."
        ("Hi there!!!!", None),  # only marks would be lost
        ("short", None),
    ],
)
def test_the_last_third_is_cut_off_within_a_sentence(text: str, cut: str | None):
    assert _cut(text) == cut


# --- the deal


def test_a_text_is_left_out_where_nothing_makes_it_worse():
    assert plant([row("a", "Paris"), row("b", "Paris")], 0) == []
    assert plant([row("a", "  \n")], 0) == []
    assert plant([], 0) == []


def test_another_rows_answer_is_what_remains_for_one_word():
    planted = plant([row("a", "Paris"), row("b", "Rome")], 0)
    other = {one.comparison.example_id: sides(one) for one in planted if one.planting is Planting.OTHER}
    assert other == {"a": ("Paris", "Rome"), "b": ("Rome", "Paris")}


def test_another_rows_answer_is_a_longer_one_if_there_is_one():
    rows = [row("a", "Rome"), row("b", "Oslo"), row("c", "Lisbon")]
    other = {one.comparison.example_id: sides(one)[1] for one in plant(rows, 0) if one.planting is Planting.OTHER}
    assert (other["a"], other["b"]) == ("Lisbon", "Lisbon")
    assert other["c"] in ("Rome", "Oslo")


def test_the_answer_of_a_row_with_the_same_prompt_may_be_right():
    rows = [row("a", "Paris", "capital?"), row("b", "Lutetia", "capital?"), row("c", " Paris ", "where?")]
    planted = plant(rows, 0)
    other = {one.comparison.example_id: sides(one) for one in planted if one.planting is Planting.OTHER}
    assert other == {"b": ("Lutetia", " Paris "), "c": (" Paris ", "Lutetia")}  # for a, nothing differs


def test_the_bundled_rows_are_dealt_evenly():
    planted = plant(bundled_rows(), 0)
    counts = Counter((one.planting, one.label_is_a) for one in planted)
    # 24 rows: 6 of each corruption, half of them on each side; 24 against themselves, 12 longer
    assert counts == {
        **{(kind, side): 3 for kind in CORRUPTIONS for side in (True, False)},
        **{(Planting.SAME, side): 12 for side in (True, False)},
        **{(Planting.LONGER, side): 6 for side in (True, False)},
    }


def test_copies_are_what_their_kind_says():
    for one in plant(bundled_rows(), 0):
        label, other = sides(one)
        assert one.comparison.a.id != one.comparison.b.id
        if one.planting is Planting.SAME:
            assert other == label
        if one.planting is Planting.LONGER:
            assert other.startswith(label)
            assert other.removeprefix(label).strip() in CLOSINGS


def test_seed_and_ids_decide_and_not_the_order():
    rows = bundled_rows()
    one, turned = plant(rows, 3), plant(rows[::-1], 3)
    assert one == plant(rows, 3)
    assert {planted.comparison.id: planted for planted in one} == {planted.comparison.id: planted for planted in turned}
    assert [planted.comparison.example_id for planted in one[:2]] == [rows[0].id, rows[0].id]
    assert one != plant(rows, 4)


def test_a_repeated_id_is_refused():
    with pytest.raises(DataError, match="row 'a': its id occurs twice; make ids unique"):
        plant([row("a", "one"), row("a", "two")], 0)


@given(st.lists(TEXT, max_size=8), st.integers(0, 3))
def test_a_corrupted_copy_never_equals_its_label(texts: list[str], seed: int):
    rows = [row(str(number), text) for number, text in enumerate(texts)]
    planted = plant(rows, seed)
    corrupted = [one for one in planted if one.planting in CORRUPTIONS]
    for one in corrupted:
        label, other = sides(one)
        assert label.split() != other.split()
        assert other.strip()
    on_a = sum(one.label_is_a for one in corrupted)
    assert abs(2 * on_a - len(corrupted)) <= 1
    kinds = Counter(one.planting for one in planted)
    assert kinds[Planting.SAME] == len(corrupted)
    assert kinds[Planting.LONGER] == -(-len(corrupted) // 2)
    ids = [one.comparison.id for one in planted]
    assert len(set(ids)) == len(ids)


def test_an_annotator_sees_the_prompts_by_id():
    examples = planted_examples([row("a", "Paris", "capital?")])
    assert list(examples) == ["a"]
    assert examples["a"].prompt == (Message(role=Role.USER, content="capital?"),)
    assert examples["a"].group == prompt_group(examples["a"].prompt)
    assert examples["a"].reference is None


def test_the_bundled_rows_are_short_and_all_usable():
    rows = bundled_rows()
    assert len(rows) == len({one.id for one in rows}) == len({one.prompt for one in rows}) == 24
    assert all(len(one.completion) < 300 for one in rows)
    assert sum(_other_number(one.completion, "0", one.id) is not None for one in rows) == 12
