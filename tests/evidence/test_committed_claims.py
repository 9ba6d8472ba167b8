"""docs/results/claims.json and docs/claims.md are what the committed results give."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from write_claims import DOCS, RESULTS, written  # noqa: E402


def close(found: Any, committed: Any) -> bool:
    """Whether two values of JSON are equal, except for the last digit of numbers."""
    match found, committed:
        case dict(), dict():
            return found.keys() == committed.keys() and all(close(found[key], committed[key]) for key in found)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list(), list():
            return len(found) == len(committed) and all(map(close, found, committed))  # pyright: ignore[reportUnknownArgumentType]
        case float(), float() | int():
            return found == pytest.approx(committed, abs=2e-6)
        case _:
            return found == committed


def test_the_committed_verdicts_are_what_the_committed_results_give() -> None:
    found = written()
    claims = json.loads((RESULTS / "claims.json").read_text())
    assert close(json.loads(found[RESULTS / "claims.json"]), claims), "stale: run make claims"
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == found[DOCS / "claims.md"].decode(), "stale: make claims"
    assert len(claims["claims"]) > 30
    # No interval is without width: "0.0 (0.0 to 0.0)" would say that chance plays no part.
    intervals = [
        one["ci95"] for claim in claims["claims"] for one in (claim, *claim.get("worlds", [])) if "ci95" in one
    ]
    assert intervals
    assert all(low < high for low, high in intervals)


def test_a_changed_number_is_noticed() -> None:
    claims = json.loads((RESULTS / "claims.json").read_text())
    changed = json.loads((RESULTS / "claims.json").read_text())
    decided = next(claim for claim in changed["claims"] if "difference" in claim)
    decided["difference"] += 0.001
    assert close(claims, json.loads((RESULTS / "claims.json").read_text()))
    assert not close(changed, claims)
