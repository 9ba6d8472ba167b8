"""Held-out answers against their references, as a judge sees them (appendix A.2): win rates, and what they leave
out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from burnish.lab.experiment import Outcome
from burnish.results import REFERENCE_WIN_RATE, Metric
from burnish.stats import length_controlled, share_over_items
from burnish.steps.artifacts import read_comparisons, read_demonstrations, read_preferences
from burnish.steps.probes import Versus
from burnish.tasks.instruction_answers import CATEGORY
from burnish.types import Artifact, Example

LENGTH_CONTROLLED = "reference_lc_win_rate"
"""The name of the metric."""
EVEN = 0.5
"""P(the answer is better) of a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One prompt on which a judge compared the answer with the reference.

    `p_wins` is P(the answer is better), or None if the judge abstained. `longer_by` is how many characters the answer
    is longer than the reference.
    """

    p_wins: float | None
    longer_by: int
    category: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contests:
    """All prompts by id. Empty answers lose and answers equal to the reference tie; both are counted, and neither is
    judged."""

    by_id: Mapping[str, Contest]
    empty: int
    equal: int

    def metrics(self) -> dict[str, Metric]:
        """Return win rates over all prompts. If there are several categories of prompts, also return them for each
        category."""
        rates = _rates("", self.by_id, lambda _: True)
        categories = sorted({contest.category for contest in self.by_id.values()})
        # With one category, its rate would repeat the rate over all prompts. The default binds the loop's value, since
        # the lambda would else see the last one.
        for category in categories if len(categories) > 1 else ():
            rates |= _rates(f"_{category}", self.by_id, lambda contest, category=category: contest.category == category)
        return rates

    def counts(self) -> dict[str, int]:
        """Return how many prompts were won, tied, lost, abstained from, and not judged."""
        decided = [contest.p_wins for contest in self.by_id.values() if contest.p_wins is not None]
        return {
            "reference_won": sum(p > EVEN for p in decided),
            "reference_tied": sum(p == EVEN for p in decided),
            "reference_lost": sum(p < EVEN for p in decided),
            "reference_abstained": len(self.by_id) - len(decided),
            "reference_equal": self.equal,
            "reference_empty": self.empty,
        }


def contests(
    compared: Artifact, judged: Artifact, examples: Mapping[str, Example], texts: Mapping[str, str]
) -> Contests:
    """Read a judge's preferences between references (side a) and answers (side b).

    `texts` are all answers by example id. An example without a reference is left out of every figure.
    """
    preferences = read_preferences(Path(judged.path))
    pairs = {comparison.example_id: preferences[comparison.id].p_b for comparison in read_comparisons(compared)}
    by_id: dict[str, Contest] = {}
    empty = equal = 0
    for id_, text in texts.items():
        example = examples[id_]
        if example.reference is None:
            continue
        if id_ in pairs:
            p_wins = pairs[id_]
        # The judge is not asked about an empty answer: it can only lose.
        elif not text.strip():
            p_wins, empty = 0.0, empty + 1
        else:
            # What is left was not compared because it equals the reference.
            p_wins, equal = EVEN, equal + 1
        category = str(example.metadata.get(CATEGORY, ""))
        by_id[id_] = Contest(p_wins=p_wins, longer_by=len(text) - len(example.reference), category=category)
    return Contests(by_id=by_id, empty=empty, equal=equal)


def _rates(suffix: str, by_id: Mapping[str, Contest], wanted: Callable[[Contest], bool]) -> dict[str, Metric]:
    """Return the win rate and the length-controlled win rate of the prompts that `wanted` accepts."""
    decided = [contest for contest in by_id.values() if contest.p_wins is not None and wanted(contest)]
    p_wins = [contest.p_wins for contest in decided if contest.p_wins is not None]
    # Judges like long answers. The second figure estimates the win rate at equal length.
    controlled = length_controlled(p_wins, [contest.longer_by for contest in decided])
    mean = share_over_items(p_wins) if p_wins else None
    return {f"{REFERENCE_WIN_RATE}{suffix}": Metric.of(mean), f"{LENGTH_CONTROLLED}{suffix}": Metric.of(controlled)}


def texts_of(outcome: Outcome) -> dict[str, str]:
    """Return the held-out answers by example id."""
    return {id_: answer.completion for id_, answer in read_demonstrations(outcome.answers).items()}


def contests_of(outcome: Outcome, against: Versus) -> Contests:
    """Return the outcome's answers against the references, as the judge saw them."""
    return contests(against.compared, against.judged, outcome.held_out.examples(), texts_of(outcome))
