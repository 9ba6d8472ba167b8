"""Which possible answers count as worse: each text once, never the gold answer, only wrong ones with a checker."""

from __future__ import annotations

from collections import Counter

import pytest

from burnish.algorithms.edits import edits
from burnish.config import EditKind
from burnish.perturbations.adversarial import edit_kind
from burnish.perturbations.picking import LeftOut, picked
from burnish.perturbations.resources import Checker
from burnish.tasks import task_named
from burnish.tasks.own import TextAnswers
from burnish.types import Example

NUMBERS = Checker(kind="gsm8k", reader="gsm8k, numbers 2", grader=task_named("gsm8k"))


def example(gold: str) -> Example:
    return Example(id="a", group="a", prompt=(), reference=gold)


def test_only_wrong_answers_are_taken() -> None:
    found = picked(example("so #### 14"), ["#### 14", "14.0", "#### 15", "none", "#### 15 ", "#### 16"], 3, NUMBERS)
    assert found.texts == ("#### 15", "none", "#### 16")
    assert found.left_out == {"right": 2, "repeated": 1}


def test_without_a_checker_every_other_text_is_taken_once() -> None:
    found = picked(example("so #### 14"), ["so  #### 14", "", "#### 14", "x", "#### 14"], 9, None)
    assert found.texts == ("#### 14", "x")
    assert found.left_out == {"repeated": 3}


def test_no_more_than_are_wanted_and_earlier_counts_stay() -> None:
    found = picked(example("1"), iter(["2", "3", "4"]), 2, None, Counter({LeftOut.CUT: 5, LeftOut.TOO_SIMILAR: 0}))
    assert found.texts == ("2", "3")
    assert found.left_out == {"cut": 5}


def test_a_gold_answer_without_a_final_answer_gives_none() -> None:
    found = picked(example("no number"), ["#### 15"], 3, NUMBERS)
    assert (found.texts, found.left_out) == ((), {"no_gold": 1})


def test_an_edit_that_leaves_the_answer_right_is_not_taken() -> None:
    gold = "12 + 7 = 19 ; 19 - 5 = 14 #### 14"
    found = picked(example(gold), edits(gold, EditKind.NUMBERS, "a"), 30, NUMBERS)
    matcher = NUMBERS.grader.on(example(gold))
    assert len(found.texts) == 30
    assert found.left_out["right"] > 0
    assert not any(matcher.grade(text).correct for text in found.texts)


@pytest.mark.parametrize(
    ("checker", "kind"),
    [
        (None, EditKind.WORDS),
        (NUMBERS, EditKind.NUMBERS),
        (Checker(kind="text", reader="text", grader=TextAnswers()), EditKind.WORDS),
        (Checker(kind="text_to_sql", reader="sql", grader=TextAnswers()), EditKind.SQL),
    ],
)
def test_what_is_edited_follows_from_the_checker(checker: Checker | None, kind: EditKind) -> None:
    assert edit_kind(checker) is kind
