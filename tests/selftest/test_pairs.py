"""Files of labelled pairs: both forms, bad rows, LLMBar."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import DataError
from burnish.selftest.labelled import examples_of, read_pairs_file


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def labelled(label: Any, **columns: Any) -> dict[str, Any]:
    return {"prompt": "p", "first": "one", "second": "two", "label": label, **columns}


def test_both_forms_of_a_file_read_alike(tmp_path: Path):
    llmbar = {"input": "p", "output_1": "one", "output_2": "two", "label": 2, "subset": "s", "index": 7}
    file = written(tmp_path / "pairs.jsonl", llmbar, labelled("first"), labelled(1), labelled("second"))
    pairs = read_pairs_file(file)
    assert [pair.first_better for pair in pairs] == [False, True, True, False]
    assert [pair.subset for pair in pairs] == ["s", "", "", ""]
    assert {(pair.comparison.a.completion, pair.comparison.b.completion) for pair in pairs} == {("one", "two")}
    assert {pair.example.prompt[0].content for pair in pairs} == {"p"}
    assert len(examples_of(pairs)) == 4  # the same pair four times: each row is an example of its own
    assert all(examples_of(pairs)[pair.comparison.example_id] is pair.example for pair in pairs)


def test_a_packed_file_reads_too(tmp_path: Path):
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(labelled(1)).encode()))
    assert len(read_pairs_file(path)) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (labelled(0), r"pairs.jsonl:2: label: 0 found; write 1 or \"first\""),
        (labelled(True), "pairs.jsonl:2: label: True found"),
        (labelled("A"), "pairs.jsonl:2: label: 'A' found"),
        (labelled([1]), r"pairs.jsonl:2: label: \[1\] found"),
        ({"prompt": "p", "first": "one", "second": "two"}, "pairs.jsonl:2: no column 'label'"),
        ({"prompt": "p", "first": "one", "label": 1}, "pairs.jsonl:2: no column 'second'"),
        ({"input": "p", "output_1": "one", "label": 1}, "pairs.jsonl:2: no column 'output_2'"),
        ({"question": "p"}, "pairs.jsonl:2: no column 'prompt'"),
        (labelled(1, first=3), "pairs.jsonl:2: column 'first' is int"),
        (labelled(1, prompt=" "), "pairs.jsonl:2: column 'prompt' is blank"),
        (labelled(1, subset=None), "pairs.jsonl:2: column 'subset' is NoneType"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: dict[str, Any], message: str):
    with pytest.raises(DataError, match=message):
        read_pairs_file(written(tmp_path / "pairs.jsonl", labelled(1), row))


def test_a_file_without_pairs_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"pairs.jsonl: holds no pairs"):
        read_pairs_file(written(tmp_path / "pairs.jsonl"))
    with pytest.raises(DataError, match="no such file"):
        read_pairs_file(tmp_path / "nowhere.jsonl")


def test_llmbar_reads_whole(data_dir: Path):
    pairs = read_pairs_file(data_dir / "llmbar" / "llmbar.jsonl.gz")
    assert len(pairs) == len(examples_of(pairs)) == len({pair.comparison.id for pair in pairs}) == 885
    assert Counter(pair.first_better for pair in pairs) == {True: 440, False: 445}
    assert Counter(pair.subset for pair in pairs)["LLMBar/Natural"] == 100
    assert pairs[0].example.prompt[0].content == 'What does the phrase "smaller fish to fry" mean?'
    assert not pairs[0].first_better
    assert sum(not pair.comparison.b.completion.strip() for pair in pairs) == 1  # an empty answer is an answer
