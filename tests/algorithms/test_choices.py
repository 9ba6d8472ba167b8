"""Choices between labels and proposals, and lengths of answers: counts and intervals worked by hand."""

from __future__ import annotations

import pytest

from burnish.algorithms.choices import (
    LabelChoice,
    LabelWriter,
    Strength,
    change_of_preferred,
    choice_counts,
    strength_of,
)
from burnish.algorithms.lengths import AnswerLengths, shorter, words_of
from burnish.stats import median_interval, paired_difference, wilson


def choice(id_: str, lean: float, writer: LabelWriter = LabelWriter.ORIGINAL) -> LabelChoice:
    return LabelChoice(example_id=id_, writer=writer, lean=lean)


def test_the_points_of_a_scale_of_seven() -> None:
    assert [strength_of(value / 3) for value in range(-3, 4)] == list(Strength)


@pytest.mark.parametrize(
    ("lean", "strength"),
    [
        (0.5, Strength.PROPOSAL_SLIGHT),  # 1 of 2 on a scale of five points
        (-1.0, Strength.LABEL_SURE),
        (0.75, Strength.PROPOSAL_MODERATE),  # 3 of 4 on a scale of nine points
        ((2 + 2 + 1) / 9, Strength.PROPOSAL_SLIGHT),  # three people
        ((3 - 3) / 6, Strength.ALIKE),
        (-0.01, Strength.LABEL_SLIGHT),
        (0.1 + 0.2 - 0.3, Strength.ALIKE),  # 5.6e-17
    ],
)
def test_other_scales_and_means_of_several_people(lean: float, strength: Strength) -> None:
    assert strength_of(lean) is strength


def test_a_round_is_counted_whole_and_by_writer() -> None:
    first = [choice("a", 1.0), choice("b", 2 / 3), choice("c", -1 / 3), choice("d", 0.0)]
    second = [choice("a", -1.0, LabelWriter.PROPOSAL), choice("b", 2 / 3), choice("c", -1 / 3)]
    rows = choice_counts([first, [], second])
    assert [(row.round, row.writer, row.n) for row in rows] == [
        (1, None, 4),  # one writer: its row would be the same
        (3, None, 3),
        (3, LabelWriter.ORIGINAL, 2),
        (3, LabelWriter.PROPOSAL, 1),
    ]
    assert [row.preferred for row in rows] == [wilson(2, 4), wilson(1, 3), wilson(1, 2), wilson(0, 1)]
    assert rows[0].counts == dict.fromkeys(Strength, 0) | {
        Strength.PROPOSAL_SURE: 1,
        Strength.PROPOSAL_MODERATE: 1,
        Strength.LABEL_SLIGHT: 1,
        Strength.ALIKE: 1,
    }


def test_the_change_is_over_the_prompts_of_both_rounds() -> None:
    before = [choice("a", 1.0), choice("b", 1.0), choice("c", 0.0), choice("only before", 1.0)]
    after = [choice("a", 1.0), choice("b", 0.0), choice("c", 0.0), choice("only after", 1.0)]
    assert change_of_preferred(before, after) == paired_difference(1, 1, 0, 1)
    assert change_of_preferred(before, after[3:]) is None


def test_lengths_are_compared_on_the_prompts_of_both() -> None:
    assert [words_of(text) for text in ("", " one\n two\tthree ", "a-b c")] == [0, 3, 2]
    people = AnswerLengths(name="people", words={"a": 3, "b": 5, "c": 9})
    reference = AnswerLengths(name="model", words={"a": 4, "b": 5})
    assert shorter(people, reference) == wilson(1, 2)
    assert shorter(people, AnswerLengths(name="model", words={"z": 1})) is None
    assert people.median.value == 5


@pytest.mark.parametrize(
    ("n", "ranks"),
    [(5, None), (6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (2000, (956, 1045))],
)
def test_the_interval_of_a_median_has_the_ranks_of_the_sign_test(n: int, ranks: tuple[int, int] | None) -> None:
    found = median_interval([float(value) for value in range(n, 0, -1)])
    assert (found.value, found.n, found.ci95) == ((n + 1) / 2, n, ranks)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_no_median_of_nothing(values: list[float]) -> None:
    with pytest.raises(ValueError, match="have no median"):
        median_interval(values)
