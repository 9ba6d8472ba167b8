"""A killed server loses nothing that was acknowledged: a small version of benchmarks/study_kills.py."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import study_kills
import study_load


@pytest.mark.slow
def test_a_killed_server_loses_nothing_that_was_acknowledged(tmp_path: Path):
    found = asyncio.run(study_kills.measured(tmp_path, kills=2, clients=5, seed=1))
    assert found["acknowledged"] > 0
    assert (found["lost"], found["questions_with_two_answers"], found["statuses_5xx"]) == (0, 0, 0)
    assert (found["integrity_check"], found["broken_invariants"]) == ("ok", [])


@pytest.mark.slow
def test_people_at_a_steady_pace_meet_no_error(tmp_path: Path):
    found = asyncio.run(study_load.measured(tmp_path, clients=4, seconds=2, every=0.5))
    assert (found["statuses_5xx"], found["statuses_429"]) == (0, 0)
    assert found["GET"]["count"] == found["POST"]["count"] >= 4


def test_quantiles_are_of_the_sorted_times():
    times = [number / 1000 for number in range(100, 0, -1)]
    assert study_load.spread(times) == {"count": 100, "p50_ms": 50.0, "p99_ms": 99.0, "largest_ms": 100.0}
