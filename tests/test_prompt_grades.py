"""grades.json.gz: what is read back, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import DataError
from burnish.results import GRADES_FILE, Answered, PromptGrades, read_prompt_grades, write_prompt_grades

ROW: dict[str, Any] = {"method": "sft", "seed": 0, "round": 0, "prompts": 0, "right": ["101", "100"]}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    assert read_prompt_grades(tmp_path) is None  # folders of earlier versions
    grades = PromptGrades(prompts=(("a", "b", "c"),), answered=(Answered(**ROW),))
    write_prompt_grades(tmp_path, grades)
    first = (tmp_path / GRADES_FILE).read_bytes()
    assert read_prompt_grades(tmp_path) == grades
    write_prompt_grades(tmp_path, grades)
    assert (tmp_path / GRADES_FILE).read_bytes() == first
    (row,) = grades.of(("sft", 0)).values()
    assert dict(grades.by_prompt(row)) == {"a": [1, 1], "b": [0, 0], "c": [1, 0]}
    assert grades.of(("sft", 1)) == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"right": ["10"]}, "do not fit the 3 prompts"),
        ({"right": []}, "do not fit the 3 prompts"),
        ({"right": ["102"]}, "should match pattern"),
        ({"prompts": 1}, "list 1 of prompts is named, but there are 1"),
        ({"more": 1}, "Extra inputs"),
    ],
)
def test_grades_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    value = {"schema_version": 1, "prompts": [["a", "b", "c"]], "answered": [ROW | changes]}
    (tmp_path / GRADES_FILE).write_bytes(gzip.compress(json.dumps(value).encode()))
    with pytest.raises(DataError, match=said) as caught:
        read_prompt_grades(tmp_path)
    assert GRADES_FILE in str(caught.value)


@pytest.mark.parametrize(
    "content",
    # Names of their own: gzip writes the time, and all workers of a test run must find the same names.
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no gzip", id="no-gzip"),
        pytest.param(gzip.compress(b"x" * 99)[:-9], id="cut"),
        pytest.param(gzip.compress(b"{"), id="no-json"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / GRADES_FILE).write_bytes(content)
    with pytest.raises(DataError, match=r"grades\.json\.gz"):
        read_prompt_grades(tmp_path)
