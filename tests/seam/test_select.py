"""`burnish seam select`: what is written, why each row is kept, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from refused import check_refused

from burnish.cli import main
from burnish.report.histogram import counts


def answer(reward: float, text: str = "", logprob: float = -2.0) -> dict[str, Any]:
    return {"reward": reward, "logprob": logprob, "tokens": 2, "text": text}


def table(where: Path, count: int = 10, **columns: Callable[[str], object]) -> Path:
    """Write a table whose row n has a SEAM of n / count; the last row has no worse answer."""
    rows: list[dict[str, Any]] = []
    for n in range(count):
        worse = [answer(2.0 if place < n else 0.0) for place in range(count)]
        gold = answer(1.0, f"gold {n}", -1.0 - n % 3)
        rows.append({"id": f"r{n}", "prompt": f"question {n}", "gold": gold, "worse": worse})
    rows.append({"id": "none", "prompt": "question none", "gold": answer(1.0, "gold none"), "worse": []})
    for row in rows:
        row.update({name: make(row["id"]) for name, make in columns.items()})
    path = where / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def select(path: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["seam", "select", str(path), "--out", str(out), *options])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def kept(out: Path) -> list[str]:
    return [row["id"] for row in lines(out / "kept.jsonl")]


def test_the_lowest_share_is_written_in_the_form_of_trl(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = select(table(tmp_path), out, "--keep", "0.6")
    assert done.exit_code == 0
    rows = lines(out / "kept.jsonl")
    assert [row["id"] for row in rows] == ["r0", "r1", "r2", "r3", "r4", "r5", "none"]
    assert rows[3] == {"id": "r3", "prompt": "question 3", "reference": "gold 3"}
    assert "11 prompts: 6 kept, 4 dropped by score" in done.stdout
    assert "1 prompt without a worse answer kept (no score)" in done.stdout


def test_the_ledger_says_why_each_row_is_kept_or_dropped(tmp_path: Path) -> None:
    out = tmp_path / "out"
    select(table(tmp_path), out, "--drop", "0.4", "--json")
    ledger = {row["id"]: row for row in lines(out / "ledger.jsonl")}
    assert list(ledger) == [*(f"r{n}" for n in range(10)), "none"]
    assert ledger["r6"] == {
        "id": "r6",
        "kept": False,
        "reason": "dropped",
        "score": pytest.approx(0.6),
        "rank": 7,
        "of": 10,
        "source": "",
        "stratum": [""],
    }
    assert (ledger["none"]["reason"], ledger["none"]["score"], ledger["none"]["rank"]) == ("undefined", None, None)
    assert Counter(row["reason"] for row in ledger.values()) == {"kept": 6, "dropped": 4, "undefined": 1}
    recorded = json.loads((out / "selection.json").read_text())
    assert recorded["options"]["keep"] == pytest.approx(0.6)
    assert recorded["counts"]["dropped"] == 4


def test_controls_and_variants(tmp_path: Path) -> None:
    path = table(tmp_path)
    select(path, tmp_path / "highest", "--keep", "0.3", "--order", "highest")
    assert kept(tmp_path / "highest") == ["r7", "r8", "r9", "none"]
    select(path, tmp_path / "random", "--keep", "0.3", "--order", "random", "--seed", "3")
    assert len(kept(tmp_path / "random")) == 4
    select(path, tmp_path / "margin", "--keep", "0.3", "--by", "margin")
    assert kept(tmp_path / "margin") == ["r0", "r1", "r2", "none"]


def test_ranks_are_taken_within_each_source(tmp_path: Path) -> None:
    # All scores of `own` are above those of `weaker`. Without ranks within sources, only the latter would be kept.
    path = table(tmp_path, source=lambda id_: "own" if id_ > "r4" else "weaker")
    done = select(path, tmp_path / "out", "--keep", "0.4")
    assert kept(tmp_path / "out") == ["r0", "r1", "r5", "r6", "none"]
    assert "ranks were taken within each of 2 sources: own, weaker" in done.stdout


def test_each_level_of_difficulty_keeps_its_share(tmp_path: Path) -> None:
    path = table(tmp_path, level=lambda id_: 1 if id_ in {"r0", "r1", "r2", "r3", "r4"} else 9)
    select(path, tmp_path / "out", "--keep", "0.4", "--stratify", "level", "--strata", "2")
    assert kept(tmp_path / "out") == ["r0", "r1", "r5", "r6", "none"]
    select(path, tmp_path / "likely", "--keep", "0.3", "--stratify", "likelihood", "--strata", "3")
    strata = Counter(tuple(row["stratum"]) for row in lines(tmp_path / "likely" / "ledger.jsonl") if row["kept"])
    assert set(strata) == {("", f"likelihood {level} of 3") for level in (1, 2, 3)}


def test_the_rows_of_a_dataset_are_copied_as_they_are(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    written = [
        '{"id": "r1",  "question": "q1", "answer": "a1", "extra": 1.10}',
        '{"id": "r8", "question": "q8", "answer": "a8"}',
        '{"id": "r2", "question": "q2", "answer": ""}',
        '{"id": "new", "question": "q", "answer": "a"}',
        *(f'{{"id": "r{n}", "question": "q{n}", "answer": "a{n}"}}' for n in (0, 2, 3, 4, 5, 6, 7, 9)),
        '{"id": "none", "question": "q", "answer": "a"}',
    ]
    data.write_text("\n".join(written) + "\n")
    done = select(table(tmp_path), tmp_path / "out", "--keep", "0.3", "--data", str(data))
    assert done.exit_code == 0
    copied = (tmp_path / "out" / "kept.jsonl").read_text().splitlines()
    assert copied == [written[0], written[3], written[4], written[5], written[-1]]
    assert "1 row of the dataset kept that the table does not have" in done.stdout
    assert "1 row of the dataset left out that cannot be used" in done.stdout


def test_a_dataset_that_was_not_scored_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"id": "r0", "question": "q", "answer": "a"}\n')
    done = select(table(tmp_path), tmp_path / "out", "--keep", "0.3", "--data", str(data))
    check_refused(done, "--data", "no row 'r1'", "10 of 11 ids")
    assert not (tmp_path / "out" / "ledger.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--keep", "0"], ["keep: 0.0", "above 0 and at most 1"]),
        (["--keep", "1.2"], ["keep: 1.2"]),
        (["--keep", "nan"], ["keep: nan"]),
        (["--drop", "1"], ["--drop: 1.0"]),
        (["--drop", "-0.1"], ["--drop: -0.1"]),
        ([], ["--keep", "--drop"]),
        (["--keep", "0.5", "--drop", "0.5"], ["one of them and not both"]),
        (["--keep", "0.5", "--stratify", "prompt"], ["prompt: 'question 0'", "needs a number", "likelihood"]),
        (["--keep", "0.5", "--stratify", "nothing"], ["nothing: None"]),
        (["--keep", "0.5", "--stratify", "likelihood", "--strata", "0"], ["strata: 0"]),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: list[str], words: list[str]) -> None:
    check_refused(select(table(tmp_path), tmp_path / "out", *options), *words)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    check_refused(select(table(tmp_path), out, "--keep", "0.5"), "--out", "not empty", "--overwrite")
    assert select(table(tmp_path), out, "--keep", "0.5", "--overwrite").exit_code == 0
    assert (out / "mine.txt").read_text() == "mine"


def test_a_table_without_prompts_gives_the_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    row: dict[str, Any] = {"id": 5, "gold": {"reward": 1, "logprob": -1, "tokens": 1}, "worse": []}
    path.write_text(json.dumps(row) + "\n")
    done = select(path, tmp_path / "out", "--keep", "0.5")
    assert lines(tmp_path / "out" / "kept.jsonl") == [{"id": 5}]
    assert "the table has no prompts" in done.stdout


def test_bins_of_a_histogram() -> None:
    assert counts([0.0, 0.05, 0.1, 0.3, 0.999, 1.0]) == [2, 1, 0, 1, 0, 0, 0, 0, 0, 2]
