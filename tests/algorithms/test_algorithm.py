"""Split, check of the cross-labelling, cap and selection: Algorithm 1's invariants, as properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.algorithms import caps
from burnish.algorithms import refinement as algorithm
from burnish.algorithms.comparisons import verdict_of
from burnish.algorithms.ranking import Candidate
from burnish.errors import ConfigError, StageError
from burnish.types import Demonstration, DemonstrationSource, Reason, Verdict

ALPHA = st.sampled_from([0.1, 0.15, 0.29, 0.5, 1.0])
GROUPS = st.lists(st.integers(0, 15), max_size=40).map(
    lambda drawn: {f"e{i:02d}": f"g{g}" for i, g in enumerate(drawn)}
)
P_B = st.none() | st.sampled_from([0.0, 0.2, 0.5, 0.6, 0.8, 1.0])
SCREENED = st.sampled_from([Reason.AGREED, Reason.INVALID, Reason.NOT_COMPARED])


def judged(example_id: str, p_b: float | None, source: str = "") -> Candidate:
    return Candidate(example_id=example_id, screened=None, verdict=verdict_of(p_b), p_b=p_b, source=source)


def screened(example_id: str, reason: Reason) -> Candidate:
    return Candidate(example_id=example_id, screened=reason, verdict=None, p_b=None)


@st.composite
def candidate_lists(draw: st.DrawFn) -> list[Candidate]:
    names = draw(st.permutations([f"e{i:02d}" for i in range(draw(st.integers(0, 25)))]))
    return [screened(name, draw(SCREENED)) if draw(st.booleans()) else judged(name, draw(P_B)) for name in names]


def proposed(example_id: str, producer: str) -> Demonstration:
    return Demonstration(
        example_id=example_id, completion="", source=DemonstrationSource.PROPOSAL, producer=producer, round=1
    )


# --- split


@given(GROUPS, st.integers(0, 5), st.integers(2, 5))
def test_parts_are_disjoint_cover_all_and_keep_groups_together(groups: dict[str, str], seed: int, count: int):
    parts = algorithm.split(groups, seed, 1, parts=count)
    assert len(parts) == count
    assert sorted(name for part in parts for name in part) == sorted(groups)
    assert all(part == tuple(sorted(part)) for part in parts)
    for group in set(groups.values()):
        assert sum(any(groups[name] == group for name in part) for part in parts) == 1


@given(GROUPS, st.integers(0, 5), st.integers(2, 5))
def test_parts_differ_by_no_more_than_the_largest_group(groups: dict[str, str], seed: int, count: int):
    sizes = [len(part) for part in algorithm.split(groups, seed, 1, parts=count)]
    largest = max((list(groups.values()).count(group) for group in groups.values()), default=0)
    assert max(sizes) - min(sizes) <= largest


@given(st.integers(0, 41), st.integers(0, 5), st.integers(2, 5))
def test_parts_of_single_rows_are_even(n: int, seed: int, count: int):
    sizes = [len(part) for part in algorithm.split({f"e{i}": f"g{i}" for i in range(n)}, seed, 1, parts=count)]
    assert sorted(sizes, reverse=True) == [(n + count - 1 - place) // count for place in range(count)]


def test_one_large_group_does_not_upset_the_balance():
    groups = {f"e{i:03d}": "large" if i < 50 else f"g{i}" for i in range(100)}
    assert [len(half) for half in algorithm.split(groups, 0, 1)] == [50, 50]


@given(GROUPS, st.randoms(use_true_random=False), st.integers(2, 4))
def test_parts_do_not_depend_on_the_order_of_input(groups: dict[str, str], shuffler: Any, count: int):
    items = list(groups.items())
    shuffler.shuffle(items)
    assert algorithm.split(dict(items), 3, 2, parts=count) == algorithm.split(groups, 3, 2, parts=count)


def test_halves_change_with_round_seed_and_purpose():
    groups = {f"e{i}": f"g{i}" for i in range(40)}
    keys = [(0, 1, "cross"), (0, 2, "cross"), (1, 1, "cross"), (0, 1, "supervision")]
    splits = [algorithm.split(groups, *key) for key in keys]
    assert len({frozenset(map(frozenset, split)) for split in splits}) == 4


def test_parts_are_the_same_on_every_machine():
    letters = {name: name for name in "abcdef"}
    # Shuffled they are d c b f e a; they are dealt in turn.
    assert algorithm.split(letters, 0, 1) == (("b", "d", "e"), ("a", "c", "f"))
    assert algorithm.split(letters, 0, 1, parts=3) == (("d", "f"), ("c", "e"), ("a", "b"))


# --- drawn


@pytest.mark.slow
@given(st.sets(st.text(max_size=3), max_size=20), st.integers(0, 25), st.integers(0, 3))
def test_so_many_are_drawn_and_a_larger_draw_holds_the_smaller(ids: set[str], count: int, seed: int):
    chosen = algorithm.drawn(ids, count, seed, 1, "budget")
    assert chosen <= ids
    assert len(chosen) == min(count, len(ids))
    assert chosen == algorithm.drawn(sorted(ids, reverse=True), count, seed, 1, "budget")
    assert chosen <= algorithm.drawn(ids, count + 1, seed, 1, "budget")


def test_a_draw_changes_with_round_seed_and_purpose_and_is_the_same_on_every_machine():
    ids = [f"e{i}" for i in range(40)]
    keys = [(0, 1, "budget"), (0, 2, "budget"), (1, 1, "budget"), (0, 1, "naive")]
    assert len({algorithm.drawn(ids, 20, *key) for key in keys}) == 4
    assert algorithm.drawn(ids[:6], 3, 0, 1, "budget") == {"e1", "e4", "e5"}


# --- check_cross_label


def test_a_model_of_the_other_half_may_propose():
    proposals = [proposed("b", "m1"), proposed("a", "m2")]
    assert list(algorithm.cross_labelled({"m1": {"a"}, "m2": {"b"}}, proposals)) == proposals


def test_a_model_that_proposes_for_its_own_half_is_named():
    with pytest.raises(StageError, match=r"example a: .*m1, which was trained on it"):
        list(algorithm.cross_labelled({"m1": {"a"}, "m2": {"b"}}, [proposed("a", "m1")]))


def test_an_unknown_producer_is_named():
    with pytest.raises(StageError, match=r"example a: its proposal comes from 'm3'"):
        list(algorithm.cross_labelled({"m1": {"a"}, "m2": {"b"}}, [proposed("a", "m3")]))


# --- cap


@pytest.mark.parametrize(
    ("alpha", "n", "expected"),
    [(0.15, 20, 3), (0.29, 100, 29), (0.15, 19, 2), (1.0, 7, 7), (0.1, 9, 0), (0.3, 10, 3), (1 / 3, 3, 1)],
)
def test_cap_is_the_floor_of_alpha_as_written(alpha: float, n: int, expected: int):
    assert caps.cap(alpha, n) == expected


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.01, float("nan")])
def test_alpha_outside_its_range_is_refused(alpha: float):
    with pytest.raises(ConfigError, match="alpha: "):
        caps.cap(alpha, 10)


# --- select


@given(candidate_lists(), ALPHA)
def test_selection_keeps_the_cap_and_takes_the_most_confident(candidates: list[Candidate], alpha: float):
    reasons = algorithm.select(candidates, alpha, len(candidates))
    accepted = [c for c, reason in zip(candidates, reasons, strict=True) if reason is Reason.ACCEPTED]
    over = [c for c, reason in zip(candidates, reasons, strict=True) if reason is Reason.OVER_CAP]
    total = caps.cap(alpha, len(candidates))
    assert len(accepted) == min(total, len(accepted) + len(over))
    assert all(c.p_b is not None and c.p_b > 0.5 for c in accepted + over)
    for one in accepted:
        for other in over:
            assert one.p_b is not None
            assert other.p_b is not None
            assert (-one.p_b, one.example_id) < (-other.p_b, other.example_id)


@given(candidate_lists(), ALPHA)
def test_what_is_not_eligible_has_its_own_reason(candidates: list[Candidate], alpha: float):
    said = {Verdict.A: Reason.REJECTED, Verdict.TIE: Reason.TIE, Verdict.ABSTAIN: Reason.ABSTAINED}
    for candidate, reason in zip(candidates, algorithm.select(candidates, alpha, len(candidates)), strict=True):
        if candidate.verdict is Verdict.B:
            assert reason in {Reason.ACCEPTED, Reason.OVER_CAP}
        else:
            assert reason is (candidate.screened or said[candidate.verdict or Verdict.ABSTAIN])


@given(candidate_lists(), st.randoms(use_true_random=False))
def test_selection_does_not_depend_on_the_order_of_input(candidates: list[Candidate], shuffler: Any):
    def by_id(rows: list[Candidate]) -> dict[str, Reason]:
        return dict(zip([row.example_id for row in rows], algorithm.select(rows, 0.29, len(rows)), strict=True))

    expected = by_id(candidates)
    shuffler.shuffle(candidates)
    assert by_id(candidates) == expected


@given(candidate_lists(), st.floats(0.01, 1))
def test_candidates_in_the_order_of_their_ids_may_come_from_an_iterator(candidates: list[Candidate], alpha: float):
    ordered = sorted(candidates, key=lambda candidate: candidate.example_id)
    found = dict(zip([one.example_id for one in ordered], algorithm.select(iter(ordered), alpha, 25), strict=True))
    assert [found[one.example_id] for one in candidates] == algorithm.select(candidates, alpha, 25)


def test_equal_confidence_is_ranked_by_id():
    reasons = algorithm.select([judged("c", 0.9), judged("a", 0.9), judged("b", 0.9)], 0.67, 3)
    assert reasons == [Reason.OVER_CAP, Reason.ACCEPTED, Reason.ACCEPTED]


def test_every_reason_of_a_round_is_given():
    candidates = [
        *(screened(reason, reason) for reason in (Reason.AGREED, Reason.INVALID, Reason.NOT_COMPARED)),
        *(judged(f"p{p_b}", p_b) for p_b in (None, 0.1, 0.5, 0.7, 0.9)),
    ]
    assert algorithm.select(candidates, 0.2, 8) == [
        Reason.AGREED,
        Reason.INVALID,
        Reason.NOT_COMPARED,
        Reason.ABSTAINED,
        Reason.REJECTED,
        Reason.TIE,
        Reason.OVER_CAP,
        Reason.ACCEPTED,
    ]


def test_a_verdict_at_odds_with_its_probability_is_refused():
    with pytest.raises(AssertionError):
        algorithm.select([Candidate(example_id="a", screened=None, verdict=Verdict.B, p_b=0.4)], 1.0, 1)


def test_an_example_that_comes_twice_is_refused():
    with pytest.raises(AssertionError, match="once"):
        algorithm.select([judged("a", 0.9), judged("a", 0.8)], 1.0, 2)


# --- mixed feedback


def test_an_oracle_does_not_fill_the_cap():
    candidates = [judged(f"o{i}", 1.0, "oracle") for i in range(9)] + [judged(f"w{i}", 0.6, "weak") for i in range(9)]
    reasons = algorithm.select(candidates, 4 / 18, 18, {"oracle": 0.5, "weak": 0.5})
    chosen = [c.example_id for c, reason in zip(candidates, reasons, strict=True) if reason is Reason.ACCEPTED]
    assert chosen == ["o0", "o1", "w0", "w1"]


def test_what_one_source_leaves_the_other_does_not_get():
    candidates = [judged(f"o{i}", 1.0, "oracle") for i in range(9)] + [judged("w", 0.4, "weak")]
    reasons = algorithm.select(candidates, 0.4, 10, {"oracle": 0.5, "weak": 0.5})
    assert reasons.count(Reason.ACCEPTED) == 2


@given(candidate_lists(), st.integers(0, 4), ALPHA)
def test_no_source_goes_over_its_share(candidates: list[Candidate], quarters: int, alpha: float):
    sources = {c.example_id: "xy"[index % 2] for index, c in enumerate(candidates)}
    mixed = [judged(c.example_id, c.p_b, sources[c.example_id]) for c in candidates]
    shares = {"x": quarters / 4, "y": 1 - quarters / 4}
    reasons = algorithm.select(mixed, alpha, len(mixed), shares)
    room = caps.split_cap(caps.cap(alpha, len(mixed)), shares)
    for source, places in room.items():
        mine = [reason for c, reason in zip(mixed, reasons, strict=True) if c.source == source]
        assert mine.count(Reason.ACCEPTED) <= places


@pytest.mark.parametrize(
    ("total", "shares", "expected"),
    [
        (10, {"a": 0.5, "b": 0.5}, {"a": 5, "b": 5}),
        (5, {"b": 0.5, "a": 0.5}, {"a": 3, "b": 2}),  # 2.5 each: the place left goes to the first name
        (5, {"a": 0.25, "b": 0.75}, {"a": 1, "b": 4}),  # 1.25 and 3.75: to the larger fraction
        (3, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, {"a": 1, "b": 1, "c": 1}),
        (4, {"a": 1.0, "b": 0.0}, {"a": 4, "b": 0}),
        (0, {"a": 1.0}, {"a": 0}),
    ],
)
def test_the_cap_is_split_by_shares(total: int, shares: dict[str, float], expected: dict[str, int]):
    assert caps.split_cap(total, shares) == expected


@pytest.mark.parametrize("shares", [{"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": float("nan")}, {}])
def test_shares_must_make_a_whole(shares: dict[str, float]):
    with pytest.raises(ConfigError, match="shares: "):
        algorithm.select([], 0.15, 10, shares)


def test_a_source_without_a_share_is_named():
    with pytest.raises(ConfigError, match="'y'"):
        algorithm.select([judged("a", 0.9, "y")], 0.5, 2, {"x": 1.0})


# --- naive


@given(candidate_lists(), ALPHA, st.integers(0, 3))
def test_naive_choice_fills_the_cap_from_the_valid(candidates: list[Candidate], alpha: float, seed: int):
    reasons = algorithm.naive_choice(candidates, alpha, len(candidates), seed, 1)
    valid = [c for c in candidates if c.screened is not Reason.INVALID]
    assert reasons.count(Reason.ACCEPTED) == min(caps.cap(alpha, len(candidates)), len(valid))
    for candidate, reason in zip(candidates, reasons, strict=True):
        assert (reason is Reason.INVALID) == (candidate.screened is Reason.INVALID)
        assert reason in {Reason.INVALID, Reason.ACCEPTED, Reason.OVER_CAP}


def test_naive_choice_depends_on_seed_and_round_and_not_on_order():
    rows = [screened(f"e{i:02d}", Reason.AGREED) for i in range(40)]

    def chosen(candidates: list[Candidate], seed: int, number: int) -> frozenset[str]:
        reasons = algorithm.naive_choice(candidates, 0.25, 40, seed, number)
        return frozenset(
            c.example_id for c, reason in zip(candidates, reasons, strict=True) if reason is Reason.ACCEPTED
        )

    assert chosen(rows, 0, 1) == chosen(rows[::-1], 0, 1)
    assert len({chosen(rows, 0, 1), chosen(rows, 0, 2), chosen(rows, 1, 1)}) == 3
