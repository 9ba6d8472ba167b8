"""When two results are the same, by hand and as a property of signatures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.sql.compare import Equality, equal, signature
from burnish.sql.outcome import LENGTH, Kind, QueryOutcome, ResultRow, decoded, encoded

SET, MULTISET, ORDERED = Equality.SET, Equality.MULTISET, Equality.ORDERED


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ([(1,), (2,)], [(2,), (1,)], {SET, MULTISET}),
        ([(1,), (1,)], [(1,)], {SET}),
        ([(1,), (1,), (2,)], [(1,), (2,), (2,)], {SET}),
        ([(1,)], [(1.0,)], {SET, MULTISET, ORDERED}),
        ([(0.0,)], [(-0.0,)], {SET, MULTISET, ORDERED}),
        ([(None,)], [(None,)], {SET, MULTISET, ORDERED}),
        ([], [], {SET, MULTISET, ORDERED}),
        ([], [(None,)], set[Equality]()),
        ([(1,)], [("1",)], set[Equality]()),
        ([("a",)], [(b"a",)], set[Equality]()),
        ([(0.1 + 0.2,)], [(0.3,)], set[Equality]()),
        ([(2**53 + 1,)], [(float(2**53),)], set[Equality]()),
        ([(math.inf,)], [(-math.inf,)], set[Equality]()),
        ([(1, 2)], [(2, 1)], set[Equality]()),
        ([(1, 2)], [(1,), (2,)], set[Equality]()),
        ([("ab", "c")], [("a", "bc")], set[Equality]()),
    ],
)
def test_by_hand(a: list[ResultRow], b: list[ResultRow], same: set[Equality]) -> None:
    assert {one for one in Equality if equal(a, b, one)} == same
    assert {one for one in Equality if signature(a).of(one) == signature(b).of(one)} == same


VALUES = (
    st.none()
    | st.sampled_from([0, 0.0, -0.0, 1, 1.0, "1", b"1", 2**63 - 1, 2.0**63, math.inf])
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=2)
    | st.binary(max_size=2)
)
ROWS = st.lists(st.tuples(VALUES) | st.tuples(st.sampled_from([1, None]), VALUES), max_size=4)


@pytest.mark.slow
@given(ROWS, ROWS, st.randoms())
def test_equal_signatures_are_equal_results(a: list[ResultRow], b: list[ResultRow], order: object) -> None:
    shuffled = sorted(a, key=lambda row: repr((row, order)))
    for other in (b, shuffled, a + a, a[::-1]):
        for equality in Equality:
            assert (signature(a).of(equality) == signature(other).of(equality)) == equal(a, other, equality)


@given(ROWS)
def test_a_message_brings_rows_back(rows: list[ResultRow]) -> None:
    outcome = QueryOutcome(kind=Kind.ROWS, rows=(*rows, ("\udcff",)), message="é\0")
    message = encoded(outcome)
    back = decoded(message[LENGTH.size :])
    assert back == outcome
    assert [list(map(type, row)) for row in back.rows] == [list(map(type, row)) for row in outcome.rows]
    assert LENGTH.unpack(message[: LENGTH.size]) == (len(message) - LENGTH.size,)


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"kind": "x", "message": "", "rows": []}', b'{"rows": [[[1]]]}'])
def test_what_is_no_outcome_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (json's own, or ours)
        decoded(body)
