"""Write docs/rules.md, the table of rules of acceptance, from committed results: python scripts/write_rules.py.

The results are those of `burnish run configs/rules.yaml configs/rules-second.yaml --out docs/results/rules`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from burnish.algorithms.stopping import Evidence
from burnish.results import RESULTS_FILE, Results, Run, read_results
from burnish.stats import mean_interval

DOCS = Path(__file__).parent.parent / "docs"
RESULTS = DOCS / "results" / "rules"
WORLDS = {"rules": "first", "rules-second": "second"}
"""{folder of results: name of its world and its set of models}."""
RULES = {
    "paper": "the paper's: the mean of both orders",
    "both-orders": "both orders",
    "gate": "the mean, at least 0.6",
    "auto-both-orders": "both orders, `rounds: auto`",
    "auto-gate": "the mean, at least 0.6, `rounds: auto`",
}
EFFECTS = ("wrong_to_right", "right_to_wrong", "wrong_to_wrong", "right_to_right")
LAST = 4
PAIRS = (
    ("paper", "sft"),
    ("both-orders", "sft"),
    ("gate", "sft"),
    ("auto-both-orders", "sft"),
    ("auto-gate", "sft"),
    ("both-orders", "paper"),
    ("gate", "paper"),
    ("auto-both-orders", "paper"),
    ("auto-gate", "paper"),
    ("auto-both-orders", "both-orders"),
    ("auto-gate", "gate"),
)
HEAD = """<!-- Written by scripts/write_rules.py from docs/results; a test compares them. -->
# Rules of acceptance

When may a proposal replace a label, and when should a refinement end? Here are the paper's rule, two stricter ones and
the stopping rule of [`rounds: auto`](refine.md#how-many-rounds), side by side: the same labels, annotator and proposals
of round 1, {seeds} seeds on each of two worlds with two sets of models. No rule was chosen on these seeds; the stopping
rule and the learning rates were fixed on seeds 0 and 1 ([lab log](lab-log.md)). At most 15 % of the labels change in a
round.

```sh
burnish run configs/rules.yaml configs/rules-second.yaml --out docs/results/rules
```
"""


def page(worlds: dict[str, Results]) -> str:
    """Return the whole page."""
    (count,) = {len({run.seed for run in results.runs}) for results in worlds.values()}
    parts = [HEAD.format(seeds=count)]
    for name, results in worlds.items():
        parts += [f"## The {name} world\n", accuracies(results), changes(results)]
    parts += ["## Differences after round 4\n", differences(worlds)]
    parts += ["## What the stopping rule decides\n", decisions(worlds), elsewhere(RESULTS.parent)]
    return "\n".join(parts)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def of(results: Results, method: str, number: int) -> list[Run]:
    """Return the runs of a method's round, in the order of their seeds."""
    found = [run for run in results.runs if run.method == method and run.round == number]
    return sorted(found, key=lambda run: run.seed)


def mean(runs: Sequence[Run], metric: str) -> str:
    """Return the mean of a metric over seeds, in percent."""
    values = [value for run in runs if (value := run.metrics[metric].value) is not None]
    return f"{100 * sum(values) / len(values):.1f}"


def accuracies(results: Results) -> str:
    """Return accuracy on test prompts and the share of right labels by rule and round."""
    rows = [
        [
            words,
            *(f"{mean(runs, 'test_accuracy')} ({mean(runs, 'label_accuracy')})" for runs in by_round(results, rule)),
        ]
        for rule, words in RULES.items()
    ]
    weak, sft, ceiling = (mean(of(results, name, 0), "test_accuracy") for name in ("weak", "sft", "ceiling"))
    labels = mean(of(results, "sft", 0), "label_accuracy")
    said = (
        f"The weak supervisor answers {weak} % of the test prompts right, and {labels} % of the labels are right.\n"
        f"SFT on these labels reaches {sft} %, and on right labels {ceiling} %. The table has the accuracy on test\n"
        "prompts, and in brackets the share of right labels, in percent.\n\n"
    )
    return said + table(["rule", *(f"round {number}" for number in range(1, LAST + 1))], rows)


def by_round(results: Results, rule: str) -> Iterator[list[Run]]:
    """Yield the runs of each round."""
    return (of(results, rule, number) for number in range(1, LAST + 1))


def changes(results: Results) -> str:
    """Return what the changes did: the mean number a seed, by rule and round."""

    def cell(runs: Sequence[Run]) -> str:
        return " / ".join(f"{sum(run.counts.get(effect, 0) for run in runs) / len(runs):.0f}" for effect in EFFECTS)

    rows = [[words, *map(cell, by_round(results, rule))] for rule, words in RULES.items()]
    said = (
        "Changes of labels in a round, as the mean over seeds: wrong to right / right to wrong / wrong to wrong /\n"
        "right to right.\n\n"
    )
    return said + table(["rule", *(f"round {number}" for number in range(1, LAST + 1))], rows)


def differences(worlds: dict[str, Results]) -> str:
    """Return differences in test accuracy after the last round: for each world, and over the seeds of both."""
    said = (
        "Differences in accuracy on test prompts, in points, with 95 % t intervals over seeds. They are paired by\n"
        "seed: the same labels, prompts and annotator. An interval holds the noise of seeds, and not that of other\n"
        "worlds.\n\n"
    )
    rows = [[f"{a} − {b}", *(_interval(found) for found in _found(worlds, a, b))] for a, b in PAIRS]
    return said + table(["", *(f"{name} world" for name in worlds), "both"], rows)


def _found(worlds: dict[str, Results], a: str, b: str) -> list[list[float]]:
    each = [_differences(results, a, b) for results in worlds.values()]
    return [*each, [value for values in each for value in values]]


def _differences(results: Results, a: str, b: str) -> list[float]:
    def values(method: str) -> list[float]:
        runs = of(results, method, 0 if method == "sft" else LAST)
        return [run.metrics["test_accuracy"].value or 0.0 for run in runs]

    return [100 * (one - other) for one, other in zip(values(a), values(b), strict=True)]


def _interval(values: Sequence[float]) -> str:
    found = mean_interval(values)
    if found.ci95 is None:
        return f"{found.value:+.1f} (the same in every seed)"
    return f"{found.value:+.1f} ({found.ci95[0]:+.1f} to {found.ci95[1]:+.1f})"


def decisions(worlds: dict[str, Results]) -> str:
    """Return by rule and round in how many seeds the refinement goes on or ends, and how good the changes were."""
    said = (
        "`rounds: auto` ends before a round in which less than a fifth of the preferred proposals holds. Here are all\n"
        "rounds of the rules with four rounds, also those after the first one before which it would have ended.\n"
        "*Good* is the share of the changes that were from wrong to right.\n\n"
    )
    rows = [
        [name, RULES[rule], str(number), *_decided(of(results, rule, number))]
        for name, results in worlds.items()
        for rule in ("both-orders", "gate")
        for number in range(1, LAST + 1)
    ]
    return said + table(
        ["world", "rule", "round", "rounds that go on", "good", "rounds before which it ends", "good"], rows
    )


def elsewhere(folder: Path) -> str:
    """Return what the stopping rule would have decided in all other committed results below `folder`."""
    rounds: dict[tuple[str, str], list[Evidence]] = {}
    silent: set[str] = set()
    for path in sorted(folder.rglob(RESULTS_FILE)):
        name = path.parent.relative_to(folder).parts[0]
        content = json.loads(path.read_text())
        if name == RESULTS.name or "runs" not in content:
            continue
        counted = [run for run in content["runs"] if "held" in run.get("counts", {})]
        if not counted and any(run["round"] for run in content["runs"]):
            silent.add(name)
        for run in counted:
            found = Evidence(preferred=run["counts"]["preferred"], held=run["counts"]["held"])
            rounds.setdefault((name, run["method"]), []).append(found)
    rows = [
        [name, method, str(len(found)), str(sum(not one.enough for one in found)), _shares(found)]
        for (name, method), found in rounds.items()
        if any(one.preferred for one in found)  # a method that compares nothing has no such rounds
    ]
    said = (
        "The same for all other committed results. One row may stand for several settings. With the paper's rule\n"
        "every preferred proposal holds, so the stopping rule never ends such a refinement, and `rounds: auto` is\n"
        "refused with this rule.\n\n"
    )
    without = ", ".join(sorted(silent - {name for name, _ in rounds}))
    none = (
        "\nNo counts of preferred proposals are in the results of DPO alone, and in those from before the counts were\n"
        f"kept: {without}.\n"
        "Their refinements follow the paper's rule, with which the stopping rule never ends.\n"
    )
    header = ["results", "method", "rounds of all seeds", "rounds before which it ends", "held, in percent"]
    return said + table(header, rows) + none


def _shares(found: Sequence[Evidence]) -> str:
    """Return the smallest and the largest share of preferred proposals that hold."""
    shares = [100 * one.share for one in found if one.share is not None]
    low, high = f"{min(shares):.0f}", f"{max(shares):.0f}"
    return low if low == high else f"{low} to {high}"


def _decided(runs: Sequence[Run]) -> list[str]:
    on = [run for run in runs if Evidence(preferred=run.counts["preferred"], held=run.counts["held"]).enough]
    off = [run for run in runs if run not in on]
    return [text for some in (on, off) for text in (str(len(some)), _good(some))]


def _good(runs: Sequence[Run]) -> str:
    count: Callable[[str], int] = lambda effect: sum(run.counts.get(effect, 0) for run in runs)  # noqa: E731
    every = sum(map(count, EFFECTS))
    return f"{100 * count('wrong_to_right') / every:.0f} % of {every:,}" if every else ""


def main() -> None:
    """Read the results and write the page."""
    worlds = {name: read_results(RESULTS / folder) for folder, name in WORLDS.items()}
    (DOCS / "rules.md").write_text(page(worlds), encoding="utf-8")


if __name__ == "__main__":
    main()
