"""SEAM against its formula, written again here, and against the example that is worked by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.algorithms.seam import Response, Variant, check_response, means, scored, seam
from burnish.errors import DataError

FEW = settings(max_examples=60, deadline=None)


def response(reward: float, logprob: float, tokens: int) -> Response:
    return Response(reward=reward, logprob=logprob, tokens=tokens)


GOLD = response(1, -4, 4)
WORSE = [response(2, -2, 2), response(0, -6, 3), response(1, -1, 1)]


def test_the_example_that_is_worked_by_hand() -> None:
    # l is -1 for the gold answer, and -1, -2, -1 for the others; h is 1, 0, 1/2.
    first, second = math.exp(-1), math.exp(-2)
    assert seam(GOLD, WORSE) == pytest.approx(1.5 * first / (2 * first + second))
    expected = {Variant.SEAM: 0.6335, Variant.COUNT: 0.5, Variant.GOLD: 0.4454, Variant.MARGIN: 0.4223}
    assert {variant: seam(GOLD, WORSE, variant) for variant in expected} == pytest.approx(expected, abs=5e-5)


def again(gold: Response, worse: list[Response], variant: Variant) -> float:
    """Return the score by the formula, term by term and without any care for overflow."""
    top = bottom = 0.0
    for one in worse:
        h = 1.0 if one.reward > gold.reward else 0.5 if one.reward == gold.reward else 0.0
        if variant is Variant.MARGIN:
            h = max(0.0, one.reward - gold.reward)
        weight = math.exp(one.logprob / one.tokens)
        if variant is Variant.COUNT:
            weight = 1.0
        if variant is Variant.SEQUENCE:
            weight = math.exp(one.logprob)
        top += weight * h
        bottom += weight
    if variant is Variant.GOLD:
        bottom += math.exp(gold.logprob / gold.tokens)
    return top / bottom


responses = st.builds(
    response,
    st.integers(-3, 3).map(lambda whole: whole / 2),
    st.floats(-40, 0, allow_nan=False),
    st.integers(1, 8),
)


@FEW
@given(responses, st.lists(responses, min_size=1, max_size=6), st.sampled_from(list(Variant)))
def test_every_variant_is_its_formula(gold: Response, worse: list[Response], variant: Variant) -> None:
    found = seam(gold, worse, variant)
    assert found == pytest.approx(again(gold, worse, variant), rel=1e-9, abs=1e-12)
    if variant is not Variant.MARGIN:
        assert found is not None
        assert 0 <= found <= 1 + 1e-12


@FEW
@given(responses, st.lists(responses, min_size=1, max_size=6), st.sampled_from(list(Variant)), st.randoms())
def test_the_order_of_the_answers_and_the_zero_of_the_reward_do_not_matter(
    gold: Response, worse: list[Response], variant: Variant, random: object
) -> None:
    moved = [response(one.reward + 4, one.logprob, one.tokens) for one in reversed(worse)]
    higher = response(gold.reward + 4, gold.logprob, gold.tokens)
    assert seam(higher, moved, variant) == pytest.approx(seam(gold, worse, variant))


def test_an_answer_that_the_policy_never_writes_has_no_weight_and_long_ones_do_not_underflow() -> None:
    rewarded, not_rewarded = response(2, -10_000, 4), response(0, -10_400, 4)
    # exp(-2500) is 0 in floats. What counts is that the first is e^100 times as likely.
    for variant in (Variant.SEAM, Variant.SEQUENCE):
        assert seam(GOLD, [rewarded, not_rewarded], variant) == pytest.approx(1.0)
        assert seam(GOLD, [not_rewarded], variant) == 0.0
    assert seam(GOLD, [rewarded], Variant.GOLD) == pytest.approx(0.0, abs=1e-300)


def test_no_worse_answer_is_no_score_and_is_in_no_mean() -> None:
    assert {variant: seam(GOLD, [], variant) for variant in Variant} == dict.fromkeys(Variant)
    rows = [scored("a", GOLD, WORSE), scored("b", GOLD, []), scored("c", GOLD, [response(0, -1, 1)])]
    found = means(rows)
    assert (found.defined, found.undefined) == (2, 1)
    assert found.values[Variant.COUNT] == pytest.approx((0.5 + 0.0) / 2)
    assert [row.defined for row in rows] == [True, False, True]


def test_the_mean_of_nothing_is_none() -> None:
    for rows in ([], [scored("b", GOLD, [])]):
        assert set(means(rows).values.values()) == {None}
    assert means([]).undefined == 0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (response(math.nan, -1, 1), ["gold.reward", "nan"]),
        (response(math.inf, -1, 1), ["gold.reward", "inf"]),
        (response(1, math.nan, 1), ["gold.logprob", "nan"]),
        (response(1, -math.inf, 1), ["gold.logprob", "-inf"]),
        (response(1, 0.5, 1), ["gold.logprob", "0.5", "at most 0"]),
        (response(1, -1, 0), ["gold.tokens", "0", "at least 1"]),
    ],
)
def test_numbers_that_cannot_be_are_refused_by_name(bad: Response, words: list[str]) -> None:
    with pytest.raises(DataError) as refused:
        check_response(bad, "table.jsonl:3", "gold")
    for word in ["table.jsonl:3", *words]:
        assert word in str(refused.value)


def test_a_log_probability_may_lie_above_zero_by_rounding() -> None:
    check_response(response(1, 1e-6, 1), "row", "gold")
    assert seam(response(1, 1e-6, 1), [response(2, 1e-6, 1)]) == 1.0
