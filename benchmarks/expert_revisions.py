"""Do the rows that burnish changes coincide with those that experts revised? (Alpaca, CoachLM's expert revisions)

    python benchmarks/expert_revisions.py prepare FOLDER --alpaca alpaca_subset.jsonl.gz --revised REVISION.jsonl.gz
    burnish refine FOLDER/alpaca.jsonl ... --out FOLDER/refined        (docs/results/expert-revisions/README.md)
    python benchmarks/expert_revisions.py measure FOLDER/refined --out docs/results/expert-revisions/results.json

Half of the rows are raw Alpaca rows of which experts rewrote the response and left the instruction; the other half come
from a random sample of Alpaca and are not among the revised ones (whether an expert looked at them is not known). The
texts are under CC BY-NC: what is written by `measure` holds numbers and ids alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import fisher_exact
from scipy.stats.contingency import odds_ratio

from burnish.algorithms.refinement import drawn
from burnish.ledger.folder import Folder
from burnish.stats import wilson
from burnish.store.files import pretty, read_objects, write_atomic
from burnish.types import short_hash

SEED, LONGEST = 0, 600
"""Of the drawing; characters of the longest request and answer that are taken, so that two cores are enough."""
STRATA = 3
"""Answers of similar length are compared with each other: experts revised short answers more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An Alpaca row, and whether experts rewrote its response."""

    instruction: str
    input: str
    output: str
    revised: bool

    @property
    def id(self) -> str:
        """A hash of the row's texts."""
        return short_hash(self.instruction, self.input, self.output)

    @property
    def usable(self) -> bool:
        """Neither blank nor long."""
        texts = (self.instruction, self.output)
        return all(text.strip() for text in texts) and sum(map(len, (*texts, self.input))) <= LONGEST


def revised_rows(path: Path) -> Iterator[Row]:
    """Yield raw rows of which experts rewrote the response alone."""
    for _, row in read_objects(path):
        request = all(row[f"Raw {part}"] == row[f"Revised {part}"] for part in ("Instruction", "Input"))
        if request and row["Raw Response"] != row["Revised Response"]:
            yield Row(
                instruction=row["Raw Instruction"], input=row["Raw Input"], output=row["Raw Response"], revised=True
            )


def random_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of the random sample."""
    for _, row in read_objects(path):
        if "alpagasus_random_9k" in row["subsets"]:
            yield Row(instruction=row["instruction"], input=row["input"], output=row["output"], revised=False)


def prepare(folder: Path, alpaca: Path, revised: Path, size: int) -> None:
    """Write `size` rows of each kind, mixed by hash; `revised` is an extra column that nobody reads."""
    every = {row.instruction.strip() for _, row in _raw(revised)}
    kinds = (
        [row for row in revised_rows(revised) if row.usable],
        [row for row in random_rows(alpaca) if row.usable and row.instruction.strip() not in every],
    )
    rows: list[Row] = []
    for kind in kinds:
        by_id = {row.id: row for row in kind}
        rows += [by_id[id_] for id_ in drawn(by_id, size, SEED, 0, "rows")]
    rows.sort(key=lambda row: short_hash("order", row.id))
    lines = (
        {
            "id": row.id,
            "instruction": row.instruction,
            "input": row.input,
            "output": row.output,
            "revised": row.revised,
        }
        for row in rows
    )
    write_atomic(folder / "alpaca.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    print(f"{len(rows)} rows, {sum(row.revised for row in rows)} of them revised by experts")


def _raw(path: Path) -> Iterator[tuple[int, Row]]:
    for number, row in read_objects(path):
        yield number, Row(instruction=row["Raw Instruction"], input="", output="", revised=True)


def measure(refined: Path, data: Path) -> Mapping[str, Any]:
    """Return how often rows of both kinds were changed, with intervals, and the odds ratio, stratified by length."""
    rows = [(row["id"], bool(row["revised"]), len(row["output"])) for _, row in read_objects(data)]
    changed = frozenset(Folder(refined).standing())
    summary = Folder(refined).summary
    revised_N = np.array([revised for _, revised, _ in rows])
    changed_N = np.array([id_ in changed for id_, _, _ in rows])
    length_N = np.array([length for _, _, length in rows])
    edges = np.quantile(length_N, np.linspace(0, 1, STRATA + 1)[1:-1])
    stratum_N = np.searchsorted(edges, length_N, side="left")
    table = _table(revised_N, changed_N)
    ratio = odds_ratio(table)
    bounds = ratio.confidence_interval(confidence_level=0.95)
    return {
        "rows": len(rows),
        "revised": _share(changed_N[revised_N]),
        "not_revised": _share(changed_N[~revised_N]),
        "odds_ratio": {"value": ratio.statistic, "ci95": [bounds.low, bounds.high]},
        "fisher_p": float(fisher_exact(np.array(table)).pvalue),
        "by_length": [
            {
                "characters_up_to": int(length_N[stratum_N == stratum].max()),
                "revised": _share(changed_N[revised_N & (stratum_N == stratum)]),
                "not_revised": _share(changed_N[~revised_N & (stratum_N == stratum)]),
            }
            for stratum in range(STRATA)
        ],
        "mantel_haenszel": mantel_haenszel(
            [_table(revised_N[stratum_N == s], changed_N[stratum_N == s]) for s in range(STRATA)]
        ),
        "rounds": [one.model_dump(mode="json", include={"round", "counts", "compared"}) for one in summary.rounds],
        "selftest": None if summary.selftest is None else summary.selftest.model_dump(mode="json"),
        "changed_ids": sorted(changed),
    }


def _table(revised_N: Any, changed_N: Any) -> list[list[int]]:
    return [
        [int((revised_N & changed_N).sum()), int((revised_N & ~changed_N).sum())],
        [int((~revised_N & changed_N).sum()), int((~revised_N & ~changed_N).sum())],
    ]


def mantel_haenszel(tables: Sequence[Sequence[Sequence[int]]]) -> Mapping[str, Any]:
    """Return the common odds ratio of 2 x 2 tables with Robins, Breslow and Greenland's 95 % interval (1986)."""
    terms = [(a * d / n, b * c / n, (a + d) / n, (b + c) / n) for (a, b), (c, d) in tables if (n := a + b + c + d)]
    top, bottom = sum(r for r, _, _, _ in terms), sum(s for _, s, _, _ in terms)
    if top == 0 or bottom == 0:
        return {"value": None, "ci95": None}
    variance = (
        sum(r * p for r, _, p, _ in terms) / (2 * top**2)
        + sum(r * q + s * p for r, s, p, q in terms) / (2 * top * bottom)
        + sum(s * q for _, s, _, q in terms) / (2 * bottom**2)
    )
    reach = 1.959964 * variance**0.5
    value = top / bottom
    return {"value": value, "ci95": [value * float(np.exp(-reach)), value * float(np.exp(reach))]}


def _share(changed_N: Any) -> Mapping[str, Any]:
    interval = wilson(int(changed_N.sum()), len(changed_N))
    return {"changed": int(changed_N.sum()), "n": len(changed_N), "value": interval.value, "ci95": interval.ci95}


def main() -> None:
    """Prepare or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    preparing = verbs.add_parser("prepare")
    preparing.add_argument("folder", type=Path)
    preparing.add_argument("--alpaca", type=Path, required=True)
    preparing.add_argument("--revised", type=Path, required=True)
    preparing.add_argument("--size", type=int, default=200)
    measuring = verbs.add_parser("measure")
    measuring.add_argument("refined", type=Path)
    measuring.add_argument("--data", type=Path, required=True)
    measuring.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.verb == "prepare":
        prepare(options.folder, options.alpaca, options.revised, options.size)
        return
    figures = measure(options.refined, options.data)
    print(json.dumps({key: value for key, value in figures.items() if key != "changed_ids"}, indent=2))
    if options.out:
        write_atomic(options.out, pretty(figures))


if __name__ == "__main__":
    main()
