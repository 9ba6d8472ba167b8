"""The benchmark of `rank`: planted sets know their errors, and shares are those of the first rows."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import rank_precision as bench

from burnish.algorithms.suspicion import Sign
from burnish.refinery.ranking import RankedRow
from burnish.tasks.sums_world import generate


def row(id_: str, score: float) -> RankedRow:
    signs = {Sign.NO_END: score} if score else {}
    return RankedRow(id=id_, where="", prompt="", label="", score=score, signs=signs)


def test_shares_are_those_of_the_first_rows() -> None:
    rows = [row(str(number), 0.5 if number < 30 else 0.0) for number in range(60)]
    # 10 of the first 20, 15 of the first 50, 20 of all 60; 10 of the 30 with a sign.
    suspicious = {str(number): "cut" for number in (*range(10), *range(40, 45), *range(50, 55))}
    found = bench.measured(rows, suspicious)
    assert found["base_rate"]["value"] == pytest.approx(1 / 3)
    assert {k: (share["count"], share["n"]) for k, share in found["precision"].items()} == {
        "20": (10, 20),
        "50": (15, 50),
    }
    assert found["precision"]["20"]["kinds"] == {"cut": 10}
    assert (found["signs"]["no_end"]["count"], found["signs"]["no_end"]["n"]) == (10, 30)
    assert found["with_a_sign"] == 30


def test_a_planted_set_has_its_errors_and_no_others(tmp_path: Path) -> None:
    right = {one.question: one.solution for one in generate(bench.ROWS, 7)}
    noisy = bench.planted(list(right.items()), tmp_path, "sums", 48)
    rows = [json.loads(line) for line in noisy.path.read_text().splitlines()]
    assert len(rows) == bench.ROWS + bench.TWICE
    wrong = {row["id"] for row in rows if row["answer"] != right[row["question"]]}
    assert wrong == noisy.suspicious.keys()
    counted = Counter(noisy.suspicious.values())
    assert counted["contradiction"] == bench.TWICE
    assert sum(counted.values()) == bench.WRONG + bench.TWICE
    assert len(counted) == 5
    questions = Counter(row["question"] for row in rows)
    assert sum(count == 2 for count in questions.values()) == bench.TWICE
