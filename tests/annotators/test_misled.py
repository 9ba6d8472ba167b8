"""The oracle that names the wrong side on rows that a second model answers wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiment import run_small, small
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from burnish.annotators.misled import misled_rows
from burnish.config import Config
from burnish.results import Metric

RIGHT = st.dictionaries(st.text(min_size=1, max_size=3), st.booleans(), max_size=30)


@given(RIGHT, st.floats(0, 1), st.integers(0, 3))
def test_only_wrong_rows_mislead_and_no_more_than_stated(right: dict[str, bool], accuracy: float, seed: int) -> None:
    misled = misled_rows(right, accuracy, seed)
    wrong = {id_ for id_, is_right in right.items() if not is_right}
    assert misled <= wrong
    assert len(misled) == min(len(wrong), round((1 - accuracy) * len(right)))
    assert misled_rows(right, None, seed) == wrong
    # A lower accuracy misleads on the same rows and on more of them.
    assert misled <= misled_rows(right, accuracy / 2, seed)


def experiment(accuracy: float | None) -> Config:
    annotator: dict[str, Any] = {"kind": "misled_oracle", "model": "builtin:weak", "accuracy": accuracy}
    return small(supervision={"annotator": annotator}, methods=[{"kind": "ilr", "rounds": 1}])


def annotator_accuracy(accuracy: float | None, where: Path) -> Metric:
    found = run_small(experiment(accuracy), where).results
    (run,) = (run for run in found.runs if (run.method, run.round) == ("ilr", 1))
    return run.metrics["annotator_accuracy"]


@pytest.mark.slow
def test_the_verdicts_are_as_accurate_as_stated(tmp_path: Path) -> None:
    always, mostly, model = (annotator_accuracy(a, tmp_path / str(a)) for a in (1.0, 0.95, None))
    assert always.value == 1.0
    assert mostly.value is not None
    assert model.value is not None
    assert 0 < model.value < mostly.value <= 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"accuracy": 1.5}, "less than or equal to 1"), ({"accuracy": "high"}, "number"), ({"model": None}, "model")],
)
def test_what_cannot_be_read(changes: dict[str, Any], told: str) -> None:
    annotator = {"kind": "misled_oracle", "model": "builtin:weak"} | changes
    with pytest.raises(ValidationError, match=told):
        small(supervision={"annotator": annotator})
