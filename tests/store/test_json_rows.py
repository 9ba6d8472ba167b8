"""Lines of rows: whichever library writes them, the bytes are those of orjson."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.store.json_rows import dump_line, row_decoder
from burnish.types import (
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    Message,
    Order,
    Preference,
    Role,
    Verdict,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    text: str
    colour: Colour | None
    counts: tuple[int, ...]
    turns: list[Message]
    sure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    plain: Plain
    score: float | None


PLAIN = st.builds(
    Plain,
    text=TEXTS,
    colour=st.sampled_from([Colour.RED, None]),
    counts=st.lists(st.integers(-(2**63), 2**64 - 1), max_size=3).map(tuple),
    turns=st.lists(st.builds(Message, role=st.sampled_from(Role), content=TEXTS), max_size=2),
    sure=st.booleans(),
)


@given(PLAIN, st.floats() | st.none())
def test_the_bytes_are_those_of_orjson(plain: Plain, score: float | None):
    for value in (plain, Scored(plain=plain, score=score), {"plain": plain, "score": score}, [plain]):
        line = dump_line(value)
        assert line == orjson.dumps(value) + b"\n"
    assert row_decoder(Plain)(dump_line(plain)) == plain


def demonstration(text: str) -> Demonstration:
    return Demonstration(example_id="x", completion=text, source=DemonstrationSource.GIVEN, producer="p", round=3)


@pytest.mark.parametrize(
    "row",
    [
        demonstration("a\n\u2028\x00\x7f"),
        Comparison(example_id="x", a=demonstration("é"), b=demonstration("")),
        # Large floats are written in two ways by the two libraries.
        Preference(comparison_id="c", shown=(), verdict=Verdict.B, p_b=1e20, judge="j", raw=(1e-20, 1e17)),
        Example(id="x", group="g", prompt=(), metadata={"score": 1e22}),
    ],
)
def test_every_kind_of_row_is_written_as_orjson_does(row: object):
    assert dump_line(row) == orjson.dumps(row) + b"\n"


def test_a_row_is_read_again_as_it_was():
    row = Preference(comparison_id="c", shown=(Order.AB,), verdict=Verdict.B, p_b=0.75, judge="j", raw=(1e20,))
    assert row_decoder(Preference)(dump_line(row)) == row


@pytest.mark.parametrize("value", [demonstration("\ud800"), {"x": "\ud800"}, {"x": {1}}])
def test_what_has_no_json_form_is_a_type_error(value: Any):
    with pytest.raises(TypeError):
        dump_line(value)


def test_a_mapping_that_is_no_dict_is_written_as_one():
    assert dump_line({"x": MappingProxyType({"y": 1})}) == b'{"x":{"y":1}}\n'
