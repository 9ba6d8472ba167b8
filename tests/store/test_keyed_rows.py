"""Rows by key on the disk: what a mapping in memory would say, for all kinds of keys and files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.algorithms.comparisons import from_difference
from burnish.errors import DataError
from burnish.steps.artifacts import (
    COMPARISONS,
    DEMONSTRATIONS,
    PREFERENCES,
    SCREENED,
    Screened,
    demonstrations_in,
    preference_row,
    read_comparisons,
    read_demonstrations,
    read_preferences,
    read_screened,
)
from burnish.store.files import dump_line, row_of, write_rows
from burnish.store.keyed_rows import KeyedRows, LazyRows
from burnish.store.keys import packed
from burnish.types import (
    Artifact,
    Comparison,
    Demonstration,
    DemonstrationSource,
    Order,
    Preference,
    Reason,
    Verdict,
)

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=70)


def row(key: str, text: str = "text") -> Demonstration:
    return Demonstration(example_id=key, completion=text, source=DemonstrationSource.GIVEN)


def keyed(path: Path, rows: list[Demonstration]) -> KeyedRows[Demonstration]:
    write_rows(path, rows)
    return KeyedRows(path, Demonstration, "example_id")


@given(st.lists(KEYS, max_size=30))
def test_rows_are_sorted_and_the_last_of_equal_keys_counts(tmp_path_factory: pytest.TempPathFactory, keys: list[str]):
    rows = [row(key, f"{number}") for number, key in enumerate(keys)]
    found = keyed(tmp_path_factory.mktemp("rows") / "rows.jsonl", rows)
    expected = {one.example_id: one for one in rows}
    assert list(found.items()) == sorted(expected.items())
    assert list(found) == sorted(expected)
    assert list(found.values()) == [expected[key] for key in sorted(expected)]
    for key, one in expected.items():
        assert found[key] == one
    assert "no such key" not in found


def test_ids_of_one_length_are_read_as_others_are(tmp_path: Path):
    hashes = [f"{number * 2654435761 % 2**64:016x}" for number in range(500)]
    found = keyed(tmp_path / "rows.jsonl", [row(key, key * 3) for key in hashes])
    assert [(key, one.completion) for key, one in found.items()] == [(key, key * 3) for key in sorted(hashes)]
    # One id with a quote in it, of the same length: the line cannot be read like the others.
    more = keyed(tmp_path / "more.jsonl", [row(key) for key in [*hashes, 'quoted "id" here']])
    assert 'quoted "id" here' in more
    assert len(more) == 501


def test_several_files_are_one_mapping(tmp_path: Path):
    parts: list[Artifact] = []
    for number in range(3):
        (folder := tmp_path / str(number)).mkdir()
        write_rows(folder / DEMONSTRATIONS, [row(f"r{i:03d}", f"{number}") for i in range(number, 3000, 3)])
        parts.append(Artifact(path=str(folder), kind="answer", fingerprint=f"{number}"))
    found = demonstrations_in(parts)
    assert [(one.example_id, one.completion) for one in found.values()] == sorted(
        (f"r{i:03d}", f"{i % 3}") for i in range(3000)
    )
    assert found["r007"].completion == "1"


def test_rows_come_along_other_keys(tmp_path: Path):
    found = keyed(tmp_path / "rows.jsonl", [row(key) for key in ("c", "a", "b")])
    assert [one.example_id for one in found.along(packed([b"b", b"a", b"b"]))] == ["b", "a", "b"]
    assert [one.example_id for one in found.rows_at(np.array([2, 0]))] == ["c", "a"]
    assert list(found.fields_at(None, "example_id", "round")) == [("a", 0), ("b", 0), ("c", 0)]
    with pytest.raises(KeyError, match="d"):
        found.along(packed([b"a", b"d"]))


def test_rows_that_are_not_wanted_are_left_out(tmp_path: Path):
    write_rows(tmp_path / "rows.jsonl", [row(key) for key in ("c", "a", "b")])
    found = KeyedRows(tmp_path / "rows.jsonl", Demonstration, "example_id", packed([b"a", b"c", b"z"]))
    assert list(found) == ["a", "c"]


@pytest.mark.parametrize(
    "line", [b"[1]\n", b'{"id": 1}\n', b'{"example_id": 5}\n', b"nothing\n", b'{"example_id":"x","completion":"y\n']
)
def test_a_damaged_line_is_an_error_that_names_the_file(tmp_path: Path, line: bytes):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(dump_line(row("a")) + line)
    with pytest.raises(DataError, match=r"rows\.jsonl"):
        list(KeyedRows(path, Demonstration, "example_id").values())


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        KeyedRows(tmp_path / "none.jsonl", Demonstration, "example_id")


def test_rows_of_a_stage_are_those_that_a_check_of_every_value_gives(tmp_path: Path):
    a, b = row("x", "1"), dataclasses.replace(row("x", "2"), source=DemonstrationSource.PROPOSAL, finished=False)
    pair = Comparison(example_id="x", a=a, b=b)
    judged = [
        Preference(
            comparison_id="c", shown=(Order.AB, Order.BA), verdict=Verdict.B, p_b=0.9, judge="j", raw=(0.8, 0.0)
        ),
        Preference(comparison_id="d", shown=(), verdict=Verdict.ABSTAIN, p_b=None, judge="j"),
        from_difference("e", 38.0, "j"),
    ]
    screened = [Screened(example_id="x", reason=None), Screened(example_id="y", reason=Reason.INVALID)]
    stage = Artifact(path=str(tmp_path), kind="stage", fingerprint="f")
    write_rows(tmp_path / DEMONSTRATIONS, [b])
    write_rows(tmp_path / COMPARISONS, [pair])
    write_rows(tmp_path / PREFERENCES, map(preference_row, judged))
    write_rows(tmp_path / SCREENED, screened)
    assert list(read_demonstrations(stage).values()) == [b]
    assert list(read_comparisons(stage)) == [pair] == [read_comparisons(stage)[0]]
    assert list(read_preferences(tmp_path).values()) == judged
    assert list(read_screened(stage)) == screened
    assert type(read_demonstrations(stage)["x"].source) is DemonstrationSource
    # A line without a logit has the bytes that it had before there were logits.
    assert [b"logit" in line for line in (tmp_path / PREFERENCES).read_bytes().splitlines()] == [False, False, True]
    first = b'{"comparison_id":"c","shown":["ab","ba"],"verdict":"B","p_b":0.9,"judge":"j","raw":[0.8,0.0]}'
    assert (tmp_path / PREFERENCES).read_bytes().splitlines()[0] == first


def test_a_line_of_an_older_version_gets_the_defaults_and_a_strange_field_is_an_error(tmp_path: Path):
    stage = Artifact(path=str(tmp_path), kind="stage", fingerprint="f")
    path = tmp_path / DEMONSTRATIONS
    path.write_bytes(b'{"example_id":"x","completion":"1","source":"given"}\n')
    assert list(read_demonstrations(stage).values()) == [row("x", "1")]
    path.write_bytes(b'{"example_id":"x","completion":"1","source":"given","colour":"red"}\n')
    with pytest.raises(DataError, match="colour"):
        list(read_demonstrations(stage).values())
    with pytest.raises(DataError, match="source"):
        row_of({"example_id": "x", "completion": "1", "source": "nobody"}, Demonstration, path)


def test_lazy_rows_are_a_sequence():
    found = LazyRows(5, lambda place: place * place, lambda: (place * place for place in range(5)))
    assert (list(found), len(found), found[-1], found[1:3], found[::-2]) == (
        [0, 1, 4, 9, 16],
        5,
        16,
        [1, 4],
        [16, 4, 0],
    )
    with pytest.raises(IndexError):
        found[5]
