"""How often the rules for refusals say so, on SaferPaca's and Alpaca's responses: numbers alone, no texts.

    BURNISH_TEST_DATA=... python benchmarks/refusals.py --out docs/results/refusals.json

Most safe responses that the rules do not take for a refusal are none: they inform, or answer no.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench_output import put

from burnish.stats import wilson
from burnish.store.files import read_objects
from burnish.tasks.refusals import refuses


def share(texts: Iterable[str]) -> dict[str, Any]:
    """Return how many of these are refusals by the rules, with Wilson's interval."""
    found = [refuses(text) for text in texts]
    interval = wilson(sum(found), len(found))
    assert interval.low is not None, interval
    assert interval.high is not None, interval
    return {
        "n": interval.n,
        "refusals": sum(found),
        "share": round(interval.value, 6),
        "ci95": [round(interval.low, 6), round(interval.high, 6)],
    }


def measured(data: Path) -> dict[str, dict[str, Any]]:
    """Return the shares among the references of the test set, and among training responses."""
    test = [row for _, row in read_objects(data / "safety" / "saferpaca_test.jsonl.gz")]
    safety = [row for _, row in read_objects(data / "safety" / "safety_only_training.jsonl.gz")]
    alpaca = [row for _, row in read_objects(data / "alpaca" / "alpaca_subset.jsonl.gz")]
    references = {name: [row["answer"] for row in test if row["category"] == name] for name in ("safety", "general")}
    return {
        "safety_test_references": share(references["safety"]) | {"different_texts": len(set(references["safety"]))},
        "safety_training_responses": share(row["output"] for row in safety),
        "alpaca_responses": share(row["output"] for row in alpaca),
        "general_test_references": share(references["general"]),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    put(measured(Path(os.environ["BURNISH_TEST_DATA"])), arguments.out)


if __name__ == "__main__":
    main()
