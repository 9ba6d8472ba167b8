"""Which rows are held out: whole prompts, exactly as many as asked for, whatever the order of the rows is."""

from __future__ import annotations

import pytest

from burnish.algorithms.holdout import LEAST_LEFT, RowOfPrompt, held_out
from burnish.errors import DataError


def rows(prompts: int, each: int = 1, referenced: int | None = None) -> list[RowOfPrompt]:
    """Return rows `p3-0`, `p3-1`, ... of each prompt; the first `referenced` prompts have a reference."""
    known = prompts if referenced is None else referenced
    return [
        RowOfPrompt(id=f"p{p}-{i}", group=f"p{p}", referenced=p < known) for p in range(prompts) for i in range(each)
    ]


def test_the_rows_of_a_prompt_stay_together_and_one_of_them_is_asked() -> None:
    held = held_out(rows(40, each=3), 10, seed=0)
    prompts = {id_.split("-")[0] for id_ in held.asked}
    assert held.asked == tuple(f"{prompt}-0" for prompt in sorted(prompts, key=lambda name: int(name[1:])))
    assert sorted(held.beside) == sorted(f"{prompt}-{i}" for prompt in prompts for i in (1, 2))
    assert (len(held.asked), held.rows, len(held.kept)) == (10, 30, 90)
    assert not {id_.split("-")[0] for id_ in held.kept} & prompts


def test_only_a_row_with_a_reference_is_asked_and_its_siblings_are_held_out_too() -> None:
    some = [
        RowOfPrompt(id=f"{name}{p:02d}", group=f"p{p}", referenced=name == "b")
        for p in range(30)
        for name in ("a", "b")
    ]
    held = held_out(some, 5, seed=0)
    assert {id_[0] for id_ in held.asked} == {"b"}
    assert {id_[1:] for id_ in held.beside} == {id_[1:] for id_ in held.asked}
    assert {id_[0] for id_ in held.beside} == {"a"}


def test_prompts_without_a_reference_are_never_held_out() -> None:
    held = held_out(rows(60, referenced=30), 10, seed=0)
    assert all(int(id_[1:].split("-")[0]) < 30 for id_ in held.asked)
    assert held.beside == ()


def test_the_draw_depends_on_the_seed_and_not_on_the_order() -> None:
    there = rows(50, each=2)
    first, again, other = held_out(there, 9, 0), held_out(there[::-1], 9, 0), held_out(there, 9, 1)
    assert sorted(again.asked) == sorted(first.asked)
    assert sorted(again.kept) == sorted(first.kept)
    assert sorted(other.asked) != sorted(first.asked)


def test_too_few_prompts_with_a_reference_are_an_error_with_the_most_that_is_possible() -> None:
    assert len(held_out(rows(30), 30 - LEAST_LEFT, 0).asked) == 10
    with pytest.raises(
        DataError, match=r"holdout: 11 found, but only 30 different prompts .* at most 10, or give more"
    ):
        held_out(rows(90, each=2, referenced=30), 11, 0)
    with pytest.raises(DataError, match=r"holdout: 1 found, but only 20 .* leave it out, or give more"):
        held_out(rows(20), 1, 0)
