"""The generator of bad inputs: a small share of each section, and what counts as invented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import bad_counts  # noqa: E402
import bad_inputs  # noqa: E402
from bad_counts import Section  # noqa: E402
from bad_page import page_table, write_page  # noqa: E402
from bad_replies import Names, Said  # noqa: E402


def counts(name: str, share: float, seed: int = 3) -> Section:
    ((_, section),) = bad_inputs.tried([name], share, seed)
    return section


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("configs", 0.06), ("replies", 0.1)])
def test_a_bad_input_is_read_or_refused_and_nothing_else(name: str, share: float) -> None:
    section = counts(name, share)
    assert section.inputs >= 300
    assert (section.tracebacks, section.hangs, section.invented, section.misread) == (0, 0, 0, 0), section.examples
    assert section.read + section.refused == section.inputs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows", "grades"])
def test_bad_rows_are_read_or_refused_and_nothing_else(name: str) -> None:
    section = counts(name, 0.05)
    assert (section.tracebacks, section.hangs) == (0, 0), section.examples


@pytest.mark.slow
def test_a_run_on_a_damaged_store_gives_the_same_bytes_or_a_named_error() -> None:
    section = counts("store", 0.15)
    assert section.inputs == 15
    assert (section.tracebacks, section.hangs, section.differing) == (0, 0, 0), section.examples


@pytest.mark.slow
def test_a_hundred_damaged_stores() -> None:
    section = counts("store", 1.0, seed=11)
    assert section.inputs == 100
    assert (section.tracebacks, section.hangs, section.differing) == (0, 0, 0), section.examples


def test_what_goes_wrong_is_counted() -> None:
    section = Section()
    section.trial(lambda: "x", lambda: 1 / 0)
    section.trial(lambda: "x", lambda: "read")
    assert (section.inputs, section.read, section.tracebacks) == (2, 1, 1)
    assert section.examples[0].startswith("ZeroDivisionError")
    for names, label, verdict in (
        (Names.NOTHING, "", 0.9),
        (Names.SEVERAL, "", 0.5),
        (Names.ONE, "A", 1.0),
        (Names.ONE, "A", 0.0),
        (Names.NOTHING, "", None),
        (Names.ONE, "C", 0.5),
    ):
        bad_inputs.check_verdict(section, Said(names, "x", label), verdict)
    assert (section.invented, section.misread) == (2, 1)


@pytest.mark.slow
def test_a_hang_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_counts, "SECONDS", 1)
    section = Section()

    def endless() -> None:
        while True:
            pass

    section.trial(lambda: "x", endless)
    assert section.hangs == 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_inputs() -> None:
    first, again, other = (counts("configs", 0.02, seed) for seed in (1, 1, 2))
    assert (first.read, first.refused) == (again.read, again.refused)
    assert first.inputs == other.inputs


def test_the_page_has_the_table_of_the_committed_results(tmp_path: Path) -> None:
    result = json.loads((ROOT / "docs" / "results" / "robustness.json").read_text())
    page = (ROOT / "docs" / "robustness.md").read_text()
    assert page_table(result, ROOT / "docs" / "results") in page
    assert result["inputs"] >= 10_000
    copy = tmp_path / "page.md"
    copy.write_text(page)
    write_page(copy, "the table")
    assert "the table" in copy.read_text()
    write_page(copy, page_table(result, ROOT / "docs" / "results"))
    assert copy.read_text() == page


@pytest.mark.slow
def test_it_runs_as_a_script(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "bad_inputs.py"
    command = [
        sys.executable,
        str(script),
        "--sections",
        "replies",
        "--share",
        "0.01",
        "--out",
        str(tmp_path / "r.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads((tmp_path / "r.json").read_text())
    assert json.loads(done.stdout)["sections"]["replies"]["inputs"] == 90
