"""What the identity of a dataset records of how its rows are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from forms_data import WRITERS, as_csv, as_jsonl, opened
from refinement import rows

from burnish.config import DataConfig
from burnish.forms.reading import recorded


def test_what_is_read_as_ever_records_nothing(tmp_path: Path) -> None:
    plain: list[dict[str, Any]] = [
        {"question": "q", "answer": "a", "context": None, "tools": []},
        {"instruction": "i", "input": "x", "output": "o", "system": "", "history": []},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 1}]},
        {"prompt": "p", "completion": "c", "weight": 0},
    ]
    for number, row in enumerate(plain):
        table = opened(tmp_path / f"{number}.jsonl", as_jsonl([row] * 3))
        assert recorded(table) == {}
        extra = DataConfig(source=str(tmp_path / f"{number}.jsonl"), extra_columns=("n", "tools"))
        assert recorded(opened(Path(extra.source), extra_columns=("n", "tools"))) == {}
    assert recorded(opened(tmp_path / "c.csv", as_csv(rows()))) == {}
    named = opened(tmp_path / "0.jsonl", columns={"prompt": "question", "completion": "answer"})
    assert recorded(named) == {}


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_another_reading_is_recorded(suffix: str, tmp_path: Path) -> None:
    base = {"instruction": "i", "input": "x", "output": "o", "system": ""}
    path = tmp_path / f"d{suffix}"
    later = opened(path, WRITERS[suffix]([base, {**base, "system": "S"}]))
    at = {"prompt": "instruction", "completion": "output", "context": "input", "system": "system"}
    assert recorded(later)["at"] == at
    assert recorded(opened(path, extra_columns=("system",))) == {}
    assert recorded(opened(path, extra_columns=("input", "system")))["at"] == {
        "prompt": "instruction",
        "completion": "output",
    }
    other = recorded(opened(path, columns={"context": "system"}, extra_columns=("input",)))
    assert other["columns"] == {"context": "system"}
    assert other["at"] == {"prompt": "instruction", "completion": "output", "context": "system"}


def test_rows_that_could_not_be_used_at_first_count_where_bad_rows_are_skipped(tmp_path: Path) -> None:
    number = {"question": "q", "answer": 4}
    text = {"question": "q", "answer": "a"}
    blank = {"question": "q", "answer": ""}
    assert recorded(opened(tmp_path / "a.jsonl", as_jsonl([text, blank]), on_bad_row="skip")) == {}
    assert recorded(opened(tmp_path / "b.jsonl", as_jsonl([text, number]), on_bad_row="skip"))["reading"] == 2
