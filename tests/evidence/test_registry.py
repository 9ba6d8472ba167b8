"""docs/claims.yaml: what a claim must say, and how a mistake is reported."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from burnish.errors import ConfigError
from burnish.evidence.registry import ClaimKind, read_registry

GOOD: dict[str, Any] = {
    "id": "one",
    "statement": "A is better than B.",
    "results": ["first", "second/variant"],
    "a": {"method": "ilr", "round": 4},
    "b": {"method": "sft", "round": 0},
    "kind": "gain",
    "against": "A is not better than B.",
    "registered": "2026-11-27",
}


def written(tmp_path: Path, *claims: dict[str, Any]) -> Path:
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": list(claims)}))
    return path


def test_a_claim_is_read(tmp_path: Path) -> None:
    one, two = read_registry(
        written(tmp_path, GOOD, GOOD | {"id": "two", "kind": "alike", "margin": "2e-2", "seen": True})
    )
    assert (one.kind, one.margin, one.seen, one.registered) == (
        ClaimKind.GAIN,
        None,
        False,
        datetime.date(2026, 11, 27),
    )
    assert (two.margin, two.seen) == (0.02, True)
    assert list(one.places()) == [("first", "first"), ("second/variant", "second/variant")]
    assert one.a.metric == "test_accuracy"


def test_a_side_may_lie_elsewhere(tmp_path: Path) -> None:
    (one,) = read_registry(written(tmp_path, GOOD | {"b": GOOD["a"] | {"results": ["x", "y"]}}))
    assert list(one.places()) == [("first", "x"), ("second/variant", "y")]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "alike"}, "margin: none given, but the kind is alike"),
        ({"margin": 0.02}, "has no effect with kind: gain"),
        ({"kind": "no_gain", "margin": 0}, "margin: 0 found"),
        ({"kind": "better"}, "kind: 'better' found"),
        ({"results": []}, "results"),
        ({"results": ["../elsewhere"]}, "results.0: '../elsewhere' found"),
        ({"results": ["first", "first"]}, "named twice"),
        ({"b": {"method": "sft", "round": 0, "metric": "label_accuracy"}}, "compare one metric"),
        ({"b": {"method": "ilr", "round": 4}}, "the same as a"),
        ({"b": {"method": "sft", "round": -1}}, "b.round: -1 found"),
        ({"b": {"method": "sft", "round": 0, "results": ["x"]}}, "give one for each"),
        ({"statement": "short"}, "statement"),
        ({"verdict": "held"}, "verdict: no such field"),  # verdicts are computed, never written
        ({"registered": "soon"}, "registered: 'soon' found"),
    ],
)
def test_a_wrong_claim_names_the_field_and_the_fix(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_registry(written(tmp_path, GOOD | changes))
    assert said in str(caught.value)
    assert "claims.yaml" in str(caught.value)


def test_no_claim_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'one' is the id of two claims"):
        read_registry(written(tmp_path, GOOD, GOOD))


def test_a_missing_list_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_registry(tmp_path / "claims.yaml")
