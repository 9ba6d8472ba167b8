"""Many texts in little memory: what Python's own sets and lists would say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.store import keys
from burnish.store.files import pretty
from burnish.store.keys import KeyReader, KeySet, SeenNumbers, packed, packed_columns, texts_of
from burnish.store.listings import listed, write_listings

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), max_size=20)


@given(TEXTS, TEXTS)
def test_a_set_of_keys_is_a_set(members: list[str], others: list[str]):
    found = KeySet(members)
    assert list(found) == sorted(set(members))
    assert [other in found for other in others] == [other in set(members) for other in others]
    assert [place >= 0 for place in found.positions(others)] == [other in set(members) for other in others]
    assert len(found) == len(set(members))
    assert "a" * 1000 not in found


@given(TEXTS)
def test_keys_keep_their_order_and_their_text(texts: list[str]):
    assert list(texts_of(packed(text.encode() for text in texts))) == texts
    first, second = packed_columns([(text, f"{text}!") for text in texts], 2)
    assert (list(texts_of(first)), list(texts_of(second))) == (texts, [f"{text}!" for text in texts])


def test_keys_of_different_pieces_may_have_different_lengths(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keys, "_PIECE", 2)
    texts = ["b", "a", "x" * 65, "y\0", "cc"]
    assert list(KeySet(texts)) == sorted(texts)


@given(st.lists(st.integers(0, 40) | st.integers(0, 2**64 - 1), max_size=200), st.integers(0, 64))
def test_numbers_are_new_once(numbers: list[int], shift: int):
    seen, known = SeenNumbers(), set[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "_PIECE", 3)  # so that numbers are settled
        patch.setattr(seen, "_bits", bytearray(1))  # so that different numbers share a bit, and bits are added
        for number in [(number << shift) % 2**64 for number in numbers]:
            assert seen.add(number) is (number not in known)
            known.add(number)


def test_a_key_is_read_with_its_escapes():
    read = KeyReader("id")
    assert read(b'{"id":"plain","x":1}') == b"plain"
    assert read(b'{"id":"a \\"quote\\"","x":1}') == b'a "quote"'
    assert read('{"x":1,"id":"later é"}'.encode()) == "later é".encode()
    for line in (b'{"x":1}', b"[1]", b'{"id":5}', b""):
        with pytest.raises((KeyError, TypeError, ValueError)):
            read(line)


@given(TEXTS, TEXTS)
def test_listings_have_the_bytes_of_pretty(tmp_path_factory: pytest.TempPathFactory, one: list[str], two: list[str]):
    path = tmp_path_factory.mktemp("listing") / "lists.json"
    write_listings(path, {"2": two, "1: [": one, "count": 3})
    assert path.read_bytes() == pretty({"2": two, "1: [": one, "count": 3})
    assert list(listed(path, {"1: ["})) == one
    assert list(listed(path, {"1: [", "2"})) == [*one, *two]


def test_a_list_that_another_program_wrote_is_read_too(tmp_path: Path):
    path = tmp_path / "lists.json"
    path.write_text('{"1": ["a", "b"], "2": ["c"]}')
    assert list(listed(path, {"2"})) == ["c"]
