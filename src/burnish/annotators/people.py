"""People as annotators, through a folder: what waits for them, and what they have said.

`waiting.jsonl` has the pairs that a run needs judged, each in one blinded order; `annotations.jsonl` collects verdicts
and is only ever appended to. A page or a file is how they get from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from burnish.algorithms.comparisons import SECOND_BETTER, combined, request_text, voted
from burnish.annotators.resources import Resources
from burnish.config import PeopleConfig
from burnish.errors import Paused
from burnish.people.mailbox import Annotation, Ask, Mailbox, Purpose
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Comparison, Example, Order, Preference, short_hash


class PeopleAnnotator:
    """Takes what people have said; where something is missing, writes it down and pauses the run.

    Each pair is shown in one order, which a hash of seed and pair decides: whoever judges twice notices. Several
    verdicts on a pair vote.
    """

    order_free = False
    fingerprint = "people"

    def __init__(self, mailbox: Mailbox, purpose: Purpose, examples: Mapping[str, Example], seed: int) -> None:
        self.mailbox, self.purpose, self.examples, self.seed = mailbox, purpose, examples, seed

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield what was said in one batch, once each pair has been judged by somebody; else raises Paused."""
        said = self.mailbox.said()
        missing = [self._ask(one) for one in comparisons if self._name(one) not in said]
        self.mailbox.ask(missing)
        if missing:
            folder = self.mailbox.folder
            raise Paused(
                f"{len(missing)} of {len(comparisons)} pairs wait for people ({self.purpose})",
                f"burnish annotate export {folder} --to pairs.csv\nfill in the column `verdict`\n"
                f"burnish annotate import {folder} pairs.csv",
            )
        yield [voted([_preference(one.id, each) for each in said[self._name(one)]]) for one in comparisons]

    def _name(self, comparison: Comparison) -> str:
        return f"{self.purpose}-{comparison.id}"

    def _ask(self, one: Comparison) -> Ask:
        swapped = int(short_hash("shown", str(self.seed), one.id), 16) % 2 == 1
        first, second = (one.b, one.a) if swapped else (one.a, one.b)
        return Ask(
            id=self._name(one),
            purpose=self.purpose,
            comparison_id=one.id,
            example_id=one.example_id,
            request=request_text(self.examples[one.example_id].prompt),
            first=first.completion,
            second=second.completion,
            shown=Order.BA if swapped else Order.AB,
        )


def _preference(comparison_id: str, annotation: Annotation) -> Preference:
    return combined(comparison_id, (annotation.shown,), (SECOND_BETTER[annotation.said],), f"people:{annotation.by}")


def build(config: PeopleConfig, resources: Resources) -> AnnotatorPlan:
    """People judge through the folder of the run."""
    purpose, seed = resources.purpose, resources.steps.seed
    return AnnotatorPlan(
        order_free=True,
        kind=config.kind,
        config={"kind": config.kind, "purpose": str(purpose), "seed": seed},
        inputs={},
        over=lambda examples: PeopleAnnotator(resources.mailbox, purpose, examples, seed),
    )
