"""The text that the built-in models are pretrained on holds no prompt of an experiment."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import yaml

from burnish.config import SumsTask
from burnish.tasks.sums_world import draw_story, generate, solve

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from pretraining_text import (
    MIXTURES,
    RESERVED_ROWS,
    RESERVED_WORLDS,
    Page,
    decided,
    draw_allowed_story,
    questions_in,
    reserved_questions,
    windows,
)

ROOT = Path(__file__).parents[2]
KINDS = [page for mixture in MIXTURES.values() for page in mixture if "equations" not in page.__name__]
NONE = frozenset[str]()


def questions(mixture: str, seed: int, reserved: frozenset[str], count: int = 100) -> Iterator[str]:
    for words, _ in islice(windows(MIXTURES[mixture], seed, 96, reserved), count):
        yield from questions_in(words)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_no_text_holds_a_reserved_question(mixture: str) -> None:
    seed = 1  # this text held 13 reserved questions in 100 windows before they were rejected
    assert mixture != "plain" or reserved_questions() & set(questions(mixture, seed, NONE))
    found = list(questions(mixture, seed, reserved_questions()))
    assert len(found) > 100
    assert not reserved_questions() & set(found)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_the_check_sees_a_question_that_was_let_through(mixture: str) -> None:
    """The first story of an unchecked text is reserved: the text holds it, and no longer does once it is rejected."""
    planted = next(questions(mixture, 7, NONE))
    assert planted not in set(questions(mixture, 7, frozenset({planted})))


@pytest.mark.parametrize("page", KINDS, ids=[page.__name__ for page in KINDS])
def test_every_kind_of_page_draws_a_reserved_story_again(page: Page) -> None:
    story = draw_story(Random(3))
    told = [*page(Random(3), NONE).split(" "), "<eos>"]
    assert list(questions_in(told)) == [story.question]
    again = [*page(Random(3), frozenset({story.question})).split(" "), "<eos>"]
    assert list(questions_in(again)) != [story.question]


def test_a_base_learns_what_stands_after_the_mark_but_not_to_write_it() -> None:
    text = "2 + 3 = 5 ; 9 - 4 = 5 #### 5 <eos> ann has 2 pens . so"
    words = list[str](text.split(" "))
    counted = [i for i, counts in enumerate(decided(words)) if counts]
    assert [words[i - 1] for i in counted] == ["=", "=", "####"]
    pages = [page(Random(seed), NONE).split(" ") for page in MIXTURES["plain"] for seed in range(20)]
    marked = [page for page in pages if "####" in page]
    assert marked
    assert all("has" not in page for page in marked)  # no story ends as the task wants it


def test_a_story_cut_before_its_end_is_no_question() -> None:
    story = draw_story(Random(0))
    words = f"{story.question} solution : {solve(story.start, story.steps)[0]}".split(" ")
    at = words.index("?")
    assert list(questions_in(words[: at + 1])) == [story.question]
    assert list(questions_in(words[:at])) == []


def test_draws_go_on_until_a_story_is_allowed() -> None:
    random = Random(5)
    first, second, third = (draw_story(random) for _ in range(3))
    allowed = draw_allowed_story(Random(5), frozenset({first.question, second.question}))
    assert allowed == third


def test_the_prompts_of_all_configs_are_reserved() -> None:
    places = [*(ROOT / "configs").rglob("*.yaml"), ROOT / "src" / "burnish" / "demo.yaml"]
    lines = [line for place in places for line in place.read_text().splitlines() if "kind: sums" in line]
    assert len(lines) > 10
    for line in lines:
        task = SumsTask.model_validate(yaml.safe_load(line)["task"])
        assert task.world in RESERVED_WORLDS
        assert task.train + task.test <= RESERVED_ROWS
    assert {problem.question for problem in generate(100, RESERVED_WORLDS[-1])} <= reserved_questions()
