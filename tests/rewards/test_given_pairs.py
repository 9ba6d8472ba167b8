"""Preference pairs in people's forms: what is read, what is left out and counted, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from folders import made
from forms_data import arrow, parquet

from burnish.errors import DataError
from burnish.ledger.preference_pairs import write_pairs
from burnish.rewards.pairs import GivenPair, GivenPairs, read_pairs
from burnish.types import Message, Role

ASKED = [{"role": "user", "content": "q"}]
GOOD, BAD = [{"role": "assistant", "content": "good"}], [{"role": "assistant", "content": "bad"}]


def read(where: Path, *rows: Any, **options: Any) -> GivenPairs:
    path = where / "pairs.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return read_pairs(path, **options)


def user(text: str = "q") -> tuple[Message, ...]:
    return (Message(role=Role.USER, content=text),)


def seen(pair: GivenPair) -> tuple[Any, ...]:
    return pair.prompt, pair.chosen, pair.rejected


HH = "\n\nHuman: q\n\nAssistant: "


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"prompt": ASKED, "chosen": GOOD, "rejected": BAD},
        {"chosen": ASKED + GOOD, "rejected": ASKED + BAD},
        {"prompt": "q", "chosen": ASKED + GOOD, "rejected": ASKED + BAD},
        {"prompt": ASKED, "chosen": ASKED + GOOD, "rejected": ASKED + BAD},
        {"chosen": f"{HH}good", "rejected": f"{HH}bad"},
        {"prompt": "q", "first": "good", "second": "bad", "label": 1},
        {"prompt": "q", "first": "bad", "second": "good", "label": "second"},
        {"input": "q", "output_1": "bad", "output_2": "good", "label": 2},
        {"pair": "x", "request": "q", "answer_1": "good", "answer_2": "bad", "verdict": "1"},
        {"prompt": "q", "first": "good", "second": "bad", "verdict": "first"},
        {"chosen": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "good"}], "rejected": ASKED + BAD},
    ],
)
def test_every_form_gives_the_same_pair(tmp_path: Path, row: dict[str, Any]) -> None:
    (pair,) = read(tmp_path, row).pairs
    assert seen(pair) == (user(), "good", "bad")


def test_longer_conversations_keep_their_turns(tmp_path: Path) -> None:
    system = [{"role": "system", "content": "s"}]
    earlier = [*ASKED, *GOOD, {"role": "user", "content": "and?"}]
    (pair,) = read(tmp_path, {"chosen": system + earlier + GOOD, "rejected": system + earlier + BAD}).pairs
    assert [turn.content for turn in pair.prompt] == ["s", "q", "good", "and?"]
    (pair,) = read(tmp_path, {"prompt": system, "chosen": ASKED + GOOD, "rejected": ASKED + BAD}).pairs
    assert [turn.content for turn in pair.prompt] == ["s", "q"]
    text = "\n\nHuman: q\n\nAssistant: good\n\nHuman: and?\n\nAssistant: "
    (pair,) = read(tmp_path, {"chosen": f"{text}yes", "rejected": f"{text}no"}).pairs
    assert ([turn.content for turn in pair.prompt], pair.chosen) == (["q", "good", "and?"], "yes")


def test_pairs_without_a_winner_are_left_out_and_counted(tmp_path: Path) -> None:
    shown = {"prompt": "q", "first": "a", "second": "b"}
    found = read(
        tmp_path,
        {**shown, "label": 1},
        {**shown, "label": "tie"},
        {**shown, "label": "skip"},
        {**shown, "label": None},
        {**shown, "label": ""},
        {"prompt": "q", "chosen": "a  b", "rejected": "a b"},
    )
    assert len(found.pairs) == 1
    assert found.left_out == {"tie": 1, "abstained": 3, "equal": 1}


def test_ids_groups_and_sources(tmp_path: Path) -> None:
    row = {"prompt": "q", "chosen": "a", "rejected": "b", "id": "same"}
    found = read(tmp_path, row, row, {**row, "rejected": "c", "subset": "math"}, {**row, "prompt": "p", "source": 3})
    assert len({pair.id for pair in found.pairs}) == 4
    assert len({pair.group for pair in found.pairs}) == 2
    assert [pair.source for pair in found.pairs] == ["", "", "math", "3"]
    # The place of a pair in the file is no part of its id.
    assert {pair.id for pair in read(tmp_path, {**row, "rejected": "c"}, row, row).pairs} < {p.id for p in found.pairs}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"chosen": "a", "rejected": "b"}, "no prompt"),
        ({"prompt": "q", "chosen": "a"}, "found the columns 'prompt', 'chosen'"),
        ({"prompt": "q", "chosen": None, "rejected": "b"}, "'chosen' is null"),
        ({"prompt": "q", "chosen": 3, "rejected": "b"}, "'chosen'"),
        ({"prompt": "q", "chosen": ASKED, "rejected": "b"}, "ends with a user turn"),
        ({"prompt": [], "chosen": "a", "rejected": "b"}, "prompt"),
        ({"chosen": ASKED + GOOD, "rejected": [{"role": "user", "content": "x"}, *BAD]}, "differ before their last"),
        ({"prompt": "q", "first": "a", "second": "b", "label": 3}, "'label' is 3"),
        ({"prompt": "q", "first": "a", "second": "b", "label": True}, "'label' is True"),
        ("[1]", "JSON object"),
        ('{"prompt": "q", "chosen": NaN, "rejected": "b"}', "NaN"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: Any, words: str) -> None:
    good = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    with pytest.raises(DataError, match=r"pairs\.jsonl:2") as refused:
        read(tmp_path, good, row)
    assert words in str(refused.value)
    found = read(tmp_path, good, row, skip_bad=True)
    assert (len(found.pairs), found.left_out) == (1, {"bad_row": 1})


def test_files_without_a_pair_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        read(tmp_path)
    with pytest.raises(DataError, match="1 tie"):
        read(tmp_path, {"prompt": "q", "first": "a", "second": "b", "label": "tie"})
    with pytest.raises(DataError, match="no such file"):
        read_pairs(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match=r"refinement\.json"):
        read_pairs(tmp_path)
    (tmp_path / "pairs.txt").write_text("x")
    with pytest.raises(DataError, match="no known kind"):
        read_pairs(tmp_path / "pairs.txt")


def test_other_kinds_of_file(tmp_path: Path) -> None:
    row = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    (tmp_path / "pairs.json").write_text(json.dumps([row]))
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["request", "answer_1", "answer_2", "verdict"])
        writer.writeheader()
        writer.writerow({"request": "q", "answer_1": "bad", "answer_2": "good", "verdict": "2"})
        writer.writerow({"request": "q", "answer_1": "bad", "answer_2": "good", "verdict": "tie"})
    for name in ("pairs.json", "pairs.csv"):
        assert [seen(pair) for pair in read_pairs(tmp_path / name).pairs] == [(user(), "good", "bad")]


def test_parquet(tmp_path: Path) -> None:
    row = {"prompt": ASKED, "chosen": GOOD, "rejected": BAD, "source": "mine"}
    parquet.write_table(arrow.Table.from_pylist([row]), tmp_path / "pairs.parquet")
    (pair,) = read_pairs(tmp_path / "pairs.parquet").pairs
    assert (seen(pair), pair.source) == ((user(), "good", "bad"), "mine")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_pairs(tmp_path / "broken.parquet")


def test_the_comparisons_of_a_refinement(tmp_path: Path) -> None:
    there = made(tmp_path)
    written = write_pairs(there.folder, tmp_path / "pairs.jsonl")
    found, from_file = read_pairs(there.path), read_pairs(tmp_path / "pairs.jsonl")
    assert len(found.pairs) == written.pairs == 8
    assert sorted(map(seen, found.pairs), key=str) == sorted(map(seen, from_file.pairs), key=str)
    counted = {"tie": written.ties, "abstained": written.abstained, "taken_back": written.taken_back}
    assert found.left_out == {why: number for why, number in sorted(counted.items()) if number}
    assert written.ties + written.abstained > 0
