"""Held-out answers against their references, as a judge sees them (appendix A.2): win rates and what they leave out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from burnish.results import REFERENCE_WIN_RATE, Metric
from burnish.stats import length_controlled, mean_interval
from burnish.steps.artifacts import read_comparisons, read_preferences
from burnish.tasks.instruction_answers import CATEGORY
from burnish.types import Artifact, Example

LENGTH_CONTROLLED = "reference_lc_win_rate"
EVEN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One prompt: P(the answer is better than the reference), None where the judge abstained; how many characters
    longer than the reference the answer is."""

    p_wins: float | None
    longer_by: int
    category: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contests:
    """All prompts by id. `empty` answers lose and `equal` ones tie without being judged."""

    by_id: Mapping[str, Contest]
    empty: int
    equal: int

    def metrics(self) -> dict[str, Metric]:
        """Return win rates over all prompts and, where there are several kinds, over each kind."""
        found = _rates("", self.by_id, lambda _: True)
        kinds = sorted({one.category for one in self.by_id.values()})
        for kind in kinds if len(kinds) > 1 else ():
            found |= _rates(f"_{kind}", self.by_id, lambda one, kind=kind: one.category == kind)
        return found

    def counts(self) -> dict[str, int]:
        """Return what became of the prompts."""
        decided = [one.p_wins for one in self.by_id.values() if one.p_wins is not None]
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
    """Read a judge's preferences between references (a) and answers (b); `texts` are all answers by example id.

    An example without a reference is in no figure.
    """
    preferences = read_preferences(Path(judged.path))
    pairs = {one.example_id: preferences[one.id].p_b for one in read_comparisons(compared)}
    found: dict[str, Contest] = {}
    empty = equal = 0
    for id_, text in texts.items():
        example = examples[id_]
        if example.reference is None:
            continue
        if id_ in pairs:
            p_wins = pairs[id_]
        elif not text.strip():
            p_wins, empty = 0.0, empty + 1
        else:
            p_wins, equal = EVEN, equal + 1
        category = str(example.metadata.get(CATEGORY, ""))
        found[id_] = Contest(p_wins=p_wins, longer_by=len(text) - len(example.reference), category=category)
    return Contests(by_id=found, empty=empty, equal=equal)


def _rates(suffix: str, by_id: Mapping[str, Contest], wanted: Callable[[Contest], bool]) -> dict[str, Metric]:
    decided = [one for one in by_id.values() if one.p_wins is not None and wanted(one)]
    p_wins = [one.p_wins for one in decided if one.p_wins is not None]
    controlled = length_controlled(p_wins, [one.longer_by for one in decided])
    mean = mean_interval(p_wins) if p_wins else None
    return {f"{REFERENCE_WIN_RATE}{suffix}": Metric.of(mean), f"{LENGTH_CONTROLLED}{suffix}": Metric.of(controlled)}
