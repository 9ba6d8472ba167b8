"""Which prompts are kept by their SEAM scores: counts, ranks, strata and what has no score."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.algorithms.seam_selection import Decision, Fate, Ranked, SelectionOrder, difficulty_bins, select_prompts
from burnish.errors import ConfigError, DataError

FEW = settings(max_examples=60, deadline=None)


def ranked(scores: dict[str, float | None], **strata: str) -> list[Ranked]:
    return [Ranked(id=id_, score=score, stratum=(strata.get(id_, ""),)) for id_, score in scores.items()]


def kept(decisions: list[Decision]) -> set[str]:
    return {one.id for one in decisions if one.kept}


SCORES = {"a": 0.1, "b": 0.9, "c": 0.5, "d": None, "e": 0.3}


def test_the_lowest_share_is_kept_with_what_has_no_score() -> None:
    decisions = select_prompts(ranked(SCORES), 0.5)
    assert kept(decisions) == {"a", "e", "d"}
    assert [one.id for one in decisions] == list(SCORES)
    by_id = {one.id: one for one in decisions}
    assert {id_: one.rank for id_, one in by_id.items()} == {"a": 1, "e": 2, "c": 3, "b": 4, "d": None}
    assert {one.of for one in decisions} == {4, None}
    assert (by_id["d"].fate, by_id["b"].fate, by_id["a"].fate) == (Fate.UNDEFINED, Fate.DROPPED, Fate.KEPT)


def test_the_controls() -> None:
    assert kept(select_prompts(ranked(SCORES), 0.5, SelectionOrder.HIGHEST)) == {"b", "c", "d"}
    drawn = [kept(select_prompts(ranked(SCORES), 0.5, SelectionOrder.RANDOM, seed)) for seed in range(30)]
    assert {len(one) for one in drawn} == {3}
    assert len({frozenset(one) for one in drawn}) > 3
    # What is drawn does not depend on the scores.
    other = {id_: None if score is None else -score for id_, score in SCORES.items()}
    assert drawn == [kept(select_prompts(ranked(other), 0.5, SelectionOrder.RANDOM, seed)) for seed in range(30)]


@pytest.mark.parametrize("keep", [0, -0.1, 1.01, math.nan])
def test_a_share_outside_its_range_is_refused(keep: float) -> None:
    with pytest.raises(ConfigError, match="keep:"):
        select_prompts(ranked(SCORES), keep)


def test_wrong_rows_are_refused() -> None:
    with pytest.raises(DataError, match=r"'a'.*twice"):
        select_prompts([*ranked(SCORES), Ranked(id="a", score=0.2)], 0.5)
    with pytest.raises(DataError, match="score: nan"):
        select_prompts([Ranked(id="a", score=math.nan)], 0.5)


def test_nothing_to_rank_keeps_everything() -> None:
    assert select_prompts([], 0.5) == []
    assert kept(select_prompts(ranked({"a": None, "b": None}), 0.5)) == {"a", "b"}


scores = st.lists(st.one_of(st.none(), st.integers(0, 4).map(lambda whole: whole / 4)), max_size=30)


@FEW
@given(scores, st.floats(0.01, 1), st.sampled_from(list(SelectionOrder)), st.integers(0, 3), st.integers(1, 4))
def test_each_stratum_keeps_its_share(
    values: list[float | None], keep: float, order: SelectionOrder, seed: int, strata: int
) -> None:
    rows = [Ranked(id=f"r{n}", score=value, stratum=(str(n % strata),)) for n, value in enumerate(values)]
    decisions = select_prompts(rows, keep, order, seed)
    defined = sum(value is not None for value in values)
    total = max(1, math.floor(keep * defined + 0.5)) if defined else 0
    assert Counter(one.fate for one in decisions)[Fate.KEPT] == total
    for name in {row.stratum for row in rows}:
        own = [one for one in decisions if one.stratum == name and one.score is not None]
        kept_here = [one for one in own if one.kept]
        assert abs(len(kept_here) - total * len(own) / max(defined, 1)) < 1 + 1e-6
        dropped = [one.score or 0.0 for one in own if not one.kept]
        sign = {SelectionOrder.LOWEST: 1, SelectionOrder.HIGHEST: -1, SelectionOrder.RANDOM: 0}[order]
        assert all(sign * (one.score or 0.0) <= sign * other for one in kept_here for other in dropped)
    # The order of the rows does not change what is kept.
    assert kept(select_prompts(list(reversed(rows)), keep, order, seed)) == kept(decisions)


def test_bins_of_difficulty_are_of_equal_size() -> None:
    bins = difficulty_bins({f"r{n}": float(n) for n in range(10)}, 4)
    assert set(Counter(bins.values()).values()) <= {2, 3}
    assert set(bins.values()) == {0, 1, 2, 3}
    assert [bins[f"r{n}"] for n in range(10)] == sorted(bins.values())
    assert difficulty_bins({"a": 1.0, "b": 1.0, "c": 1.0}, 3) == {"a": 1, "b": 1, "c": 1}
    assert difficulty_bins({"a": 1.0, "b": 1.0, "c": 9.0, "d": 9.0, "e": 9.0}, 2) == {"a": 0, "b": 0} | dict.fromkeys(
        "cde", 1
    )
    assert difficulty_bins({}, 3) == {}


def test_wrong_bins_are_refused() -> None:
    with pytest.raises(ConfigError, match="strata: 0"):
        difficulty_bins({"a": 1.0}, 0)
    with pytest.raises(DataError, match="difficulty: inf"):
        difficulty_bins({"a": math.inf}, 2)
