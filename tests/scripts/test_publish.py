"""Publishing a results folder: numbers and ids stay, nobody's texts do."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest
from experiment import run_small, small

from burnish.report.page import write_report
from burnish.results import read_changes, read_prompt_grades, read_results

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from publish_results import publish


@pytest.mark.slow
def test_texts_stay_behind(tmp_path: Path):
    run_small(small(), tmp_path)
    source, into = tmp_path / "out", tmp_path / "published"
    publish(source, into)
    before, after = read_changes(source), read_changes(into)
    assert len(before) == len(after) > 0
    assert all(change.prompt for change in before)
    files = [path for path in into.rglob("*") if path.is_file()]
    opened = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files]
    written = b"".join(opened).decode()
    for old, new in zip(before, after, strict=True):
        assert (new.example_id, new.reason, new.p_b) == (old.example_id, old.reason, old.p_b)
        assert (new.before_correct, new.after_correct) == (old.before_correct, old.after_correct)
        assert old.prompt not in written
    assert read_results(into) == read_results(source)
    assert read_prompt_grades(into) == read_prompt_grades(source) is not None
    assert write_report(into).is_file()
