"""The tables of a report: their columns, their rows, and what the terminal shows of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from burnish.report.page import render
from burnish.report.tables import (
    Cell,
    Table,
    confidence_table,
    costs_table,
    markdown,
    paired_table,
    reasons_table,
    rich_table,
    summary_table,
)
from burnish.results import Confidence, Results, read_results, read_timings

FIXTURE = Path(__file__).parents[1] / "fixtures" / "results-v1"


@pytest.fixture
def results() -> Results:
    return read_results(FIXTURE)


def test_summary_has_a_row_for_each_method_and_round(results: Results) -> None:
    table = summary_table(results)
    assert table.header == (
        "method",
        "round",
        "test accuracy",
        "label accuracy",
        "annotator accuracy",
        "labels replaced",
    )
    assert [(str(row[0]), str(row[1])) for row in table.rows][:3] == [
        ("weak supervisor", "0"),
        ("SFT", "0"),
        ("ILR", "0"),
    ]
    assert str(table.rows[5][2]).replace("\u00a0", " ") == "70.1 % (68.1 to 72.1)"
    assert str(table.rows[5][5]).replace("\u00a0", " ") == "15.0 %"
    assert markdown(summary_table(results)).splitlines()[1] == "| --- | --: | --: | --: | --: | --: |"


def test_an_interval_of_a_share_stays_between_0_and_1(results: Results) -> None:
    rows = tuple(
        row.model_copy(update={"ci95": (-0.721, 1.821)}) if row.metric == "test_accuracy" else row
        for row in results.summary
    )
    table = summary_table(results.model_copy(update={"summary": rows}))
    cells = [str(row[2]).replace("\u00a0", " ") for row in table.rows]
    assert all(cell.endswith("% (0.0 to 100.0)") for cell in cells)


def test_confidence_is_summed_over_seeds(results: Results) -> None:
    rows = [
        Confidence(method="ilr", seed=seed, round=1, judged=[5, 0, 2], accepted=[0, 0, 1 + seed]) for seed in (0, 1)
    ]
    table = confidence_table(results, rows)
    assert table is not None
    assert table.header == ("method", "round", "from 0.00", "from 0.17", "from 0.33")
    assert [[str(cell) for cell in row] for row in table.rows] == [["ILR", "1", "10", "0", "4 (3 accepted)"]]
    page = render(results, read_timings(FIXTURE), [], "", confidence=rows)
    assert "3 accepted" in page.split("How sure the annotator was")[1].split("</section>")[0]
    assert confidence_table(results, []) is None
    assert "How sure the annotator was" not in render(results, read_timings(FIXTURE), [], "")


def test_paired_table_reads_the_interval(results: Results) -> None:
    reading = {(str(row[0]), str(row[1])): str(row[3]) for row in paired_table(results).rows}
    assert reading["ILR, round 3", "SFT, round 0"] == "higher"
    assert reading["naive (no feedback), round 3", "SFT, round 0"] == "lower"
    row = results.paired[0].model_copy(update={"difference": 0.005, "ci95": (-0.01, 0.02)})
    other = results.model_copy(update={"paired": (row, *results.paired[1:])})
    unclear = paired_table(other).rows[0]
    assert (str(unclear[3]), str(unclear[4])) == ("not clear", "+0.5 points (−1.0 to +2.0)")


def test_reasons_are_summed_over_seeds(results: Results) -> None:
    table = reasons_table(results)
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert row["accepted"] == Cell("675", "15.0\u00a0%")
    assert "tie" not in table.header  # never happened


def test_reused_stages_cost_nothing() -> None:
    timings = read_timings(FIXTURE)
    rows = {str(row[0]): [str(cell) for cell in row[1:]] for row in costs_table(timings).rows}
    assert rows["train"][:2] == ["13", "1"]
    assert rows["compare"][-1] == "4,800"
    assert rows["all"][1] == "2"


def test_the_terminal_shows_no_escape_codes_and_no_markup() -> None:
    table = Table(title="", header=("a", "b"), rows=((Cell("\x1b]0;title\x07[bold]x[/bold]\x1b[2J"), Cell("1")),))
    console = Console(record=True, width=80, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(rich_table(table))
    assert "[bold]x[/bold]" in capture.get()
    assert "\x1b" not in capture.get()
    assert markdown(table).splitlines()[2] == r"| \[bold\]x\[/bold\] | 1 |"
