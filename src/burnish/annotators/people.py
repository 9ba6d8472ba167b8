"""People as annotators. A run and people exchange pairs and verdicts through a folder.

`waiting.jsonl` has the pairs that people have to judge, each in one order that does not show which answer is which.
`annotations.jsonl` collects their verdicts. Lines are only appended to it. People judge on a page or in a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from burnish.algorithms.comparisons import SECOND_BETTER, combined, majority, request_text, voted
from burnish.algorithms.routing import Route
from burnish.annotators.resources import Resources
from burnish.config import PeopleConfig
from burnish.errors import PeopleAwaited
from burnish.people.mailbox import Annotation, Ask, Mailbox, Purpose
from burnish.people.waiting import ways_of
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Comparison, Example, Order, Preference, short_hash, turned_back


class PeopleAnnotator:
    """Takes the verdicts of people. If some are missing, it writes down the pairs that wait and pauses the run.

    Each pair is shown in only one order, because people notice if they see the same pair twice. A hash of seed and pair
    decides the order. If there are several verdicts on a pair, they vote.
    """

    order_free = False
    fingerprint = "people"

    def __init__(
        self,
        mailbox: Mailbox,
        purpose: Purpose,
        examples: Mapping[str, Example],
        seed: int,
        routes: Mapping[str, Route] | None = None,
    ) -> None:
        """`routes` says why each comparison is asked, if another annotator was asked first."""
        self.mailbox, self.purpose, self.examples, self.seed = mailbox, purpose, examples, seed
        self.routes = routes or {}

    def because(self, routes: Mapping[str, Route]) -> PeopleAnnotator:
        """Return the same people, who are asked for the reasons in `routes`."""
        return PeopleAnnotator(self.mailbox, self.purpose, self.examples, self.seed, routes)

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield one batch with all preferences. Raises PeopleAwaited if there are pairs that nobody has judged."""
        said = self.mailbox.said()
        missing = [self._ask(one) for one in comparisons if self._name(one) not in said]
        # This is called even with an empty list, so that no pair is still waiting after all are judged.
        self.mailbox.ask(missing, frozenset(map(self._name, comparisons)))
        if missing:
            raise PeopleAwaited(
                f"{len(missing)} of {len(comparisons)} pairs wait for people ({self.purpose})",
                ways_of(self.mailbox),
                self.mailbox.folder,
                frozenset(pair.id for pair in missing),
            )
        yield [_together(one.id, said[self._name(one)]) for one in comparisons]

    def _name(self, comparison: Comparison) -> str:
        # A pair may be judged twice: to choose, and to audit the choice. A verdict for one purpose must not count for
        # the other.
        return f"{self.purpose}-{comparison.id}"

    def _ask(self, one: Comparison) -> Ask:
        # It is drawn for each pair, so that neither side is always shown first.
        swapped = int(short_hash("shown", str(self.seed), one.id), 16) % 2 == 1
        first, second = (one.b, one.a) if swapped else (one.a, one.b)
        route = self.routes.get(one.id)
        return Ask(
            id=self._name(one),
            purpose=self.purpose,
            comparison_id=one.id,
            example_id=one.example_id,
            request=request_text(self.examples[one.example_id].prompt),
            first=first.completion,
            second=second.completion,
            shown=Order.BA if swapped else Order.AB,
            weight=1.0 if route is None else 1 / route.p_asked,
            why="" if route is None else str(route.why),
            # A proposal is younger than the label. Two samples of a policy are of one round.
            current=str(one.a.source) if one.a.round < one.b.round else "",
        )


def _together(comparison_id: str, annotations: Sequence[Annotation]) -> Preference:
    """Let all people who judged a pair vote. If any of them said how sure they are, the mean of their probabilities
    counts instead. Then sure verdicts, and verdicts that others share, rank higher."""
    preferences = [_preference(comparison_id, annotation) for annotation in annotations]
    graded = any(annotation.confidence is not None for annotation in annotations)
    # `voted` would drop the confidences, because it counts each person as one vote.
    together = majority(preferences) if graded else voted(preferences)
    return together if len(annotations) == 1 else _in_own_order(together)


def _in_own_order(preference: Preference) -> Preference:
    """Write what several people said as if all of them had seen the pair in its own order.

    The two orders of a judge that disagree show that it looks at the place of an answer. Two people who disagree, each
    of whom saw one order, do not show that: `accept: both-orders` must not turn their majority into a tie.
    """
    raw = tuple(turned_back(p, order) for p, order in zip(preference.raw, preference.shown, strict=True))
    return dataclasses.replace(preference, shown=(Order.AB,) * len(raw), raw=raw)


def _preference(comparison_id: str, annotation: Annotation) -> Preference:
    """Return a person's preference. Confidence c moves P(the preferred answer is better) from 1/2 to (1 + c) / 2."""
    p_second = SECOND_BETTER[annotation.said]
    if p_second is not None and annotation.confidence is not None:
        p_second = 0.5 + (p_second - 0.5) * annotation.confidence
    return combined(comparison_id, (annotation.shown,), (p_second,), f"people:{annotation.by}")


def build(config: PeopleConfig, resources: Resources) -> AnnotatorPlan:
    """Return the plan in which people judge through the folder of the run."""
    purpose, seed = resources.purpose, resources.steps.seed
    return AnnotatorPlan(
        # Each pair is shown in one order, so `accept: both-orders` has nothing to compare.
        order_free=True,
        # People give few different degrees of confidence, so many preferences are equally confident.
        coarse=True,
        kind=config.kind,
        # `several`: what several people say of one pair has no order, which it had in earlier versions.
        config={"kind": config.kind, "purpose": str(purpose), "seed": seed, "several": "in the pair's own order"},
        inputs={},
        over=lambda examples: PeopleAnnotator(resources.mailbox, purpose, examples, seed),
    )
