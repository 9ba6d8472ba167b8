"""Print the table of refinements of the noisy problems: python benchmarks/real_noise_table.py FOLDER [FOLDER ...].

Each FOLDER holds the refinement.json of one `burnish refine ... --holdout N`. All of them must have held the same rows
out, so that their students can be compared: the table has a difference against the model that learned the labels of the
first FOLDER before any refinement.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from burnish.ledger.summary import HoldoutSummary, Summary, read_summary
from burnish.results import Metric
from burnish.types import Effect

EFFECTS = (Effect.WRONG_TO_RIGHT, Effect.RIGHT_TO_WRONG, Effect.WRONG_TO_WRONG, Effect.RIGHT_TO_RIGHT)


def percent(metric: Metric | None) -> str:
    """Return a share with its interval, in percent."""
    if metric is None or metric.value is None:
        return ""
    low, high = metric.ci95 or (float("nan"), float("nan"))
    return f"{100 * metric.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def changes(summary: Summary) -> str:
    """Return the four kinds of change for each round."""
    rounds = [" / ".join(str((found.effects or {}).get(effect, 0)) for effect in EFFECTS) for found in summary.rounds]
    return "; ".join(rounds)


def held(summary: Summary) -> HoldoutSummary:
    """Return what the held-out prompts say."""
    if summary.holdout is None:
        raise SystemExit("a refinement has no held-out prompts; run it with --holdout and to its end")
    return summary.holdout


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    folders: list[Path] = parser.parse_args().folders
    found = {folder.name: read_summary(folder) for folder in folders}
    if len({held(summary).ids for summary in found.values()}) > 1:
        raise SystemExit("the refinements held different rows out, so their students cannot be compared")
    print("| | rows | right labels, before | after | changes | student, before | after | difference |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, summary in found.items():
        labels = summary.right_labels
        after = labels[1] if labels is not None else None
        student = held(summary)
        rows = summary.data.usable
        cells = [name, str(rows), percent(summary.given_accuracy), percent(after), changes(summary)]
        cells += [percent(student.before), percent(student.after), percent(student.difference).replace(" %", " points")]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
