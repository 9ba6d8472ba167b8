"""Two annotators in a row: the second one is asked where the first one is not sure, and in a random control."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from burnish.algorithms.routing import RouteRule, doubt
from burnish.config import RouteConfig
from burnish.protocols import Annotator, AsksAgain
from burnish.steps.artifacts import without_references
from burnish.steps.judging import AnnotatorPlan, Routing
from burnish.types import Comparison, Example, Preference, short_hash


class InTurn:
    """Asks the second annotator about all pairs of which the first one is not sure, without control and budget.

    This is used where there is no stage that keeps the judgements of each annotator.
    """

    def __init__(self, first: Annotator, then: Annotator, sure: float) -> None:
        self.first, self.then, self.sure = first, then, sure
        self.fingerprint = short_hash("route", first.fingerprint, then.fingerprint, repr(sure))
        self.order_free = first.order_free and then.order_free

    def again(self) -> InTurn:
        """Return the same annotators, but made so that they ask again instead of reusing their earlier answers."""
        first, then = (one.again() if isinstance(one, AsksAgain) else one for one in (self.first, self.then))
        return InTurn(first, then, self.sure)

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield the batches of the pairs on which the first annotator is sure, then those of the second one."""
        unsure: dict[str, Comparison] = {one.id: one for one in comparisons if one.id not in done}
        for batch in self.first.judge(comparisons, done):
            sure = [one for one in batch if one.comparison_id in unsure and doubt(one, self.sure) is None]
            for one in sure:
                unsure.pop(one.comparison_id, None)
            yield sure
        if unsure:
            yield from self.then.judge(list(unsure.values()), done)


def plan(config: RouteConfig, first: AnnotatorPlan, then: AnnotatorPlan) -> AnnotatorPlan:
    """Return the plan. In a round, each of the two judges in a stage of its own.

    The confidence of both is compared when only some changes may be made. People who do not say how sure they are count
    as fully sure, so what they prefer comes before what the first annotator prefers.
    """

    def over(examples: Mapping[str, Example]) -> Annotator:
        plain = without_references(examples)
        made = [one.over(examples if one.reads_references else plain) for one in (first, then)]
        return InTurn(made[0], made[1], config.sure)

    rule = RouteRule(sure=config.sure, control=config.control, budget=config.budget)
    return AnnotatorPlan(
        kind=config.kind,
        config={"kind": config.kind, "sure": config.sure, "first": dict(first.config), "then": dict(then.config)},
        inputs={
            f"{name}_{key}": one for name, of in (("first", first), ("then", then)) for key, one in of.inputs.items()
        },
        over=over,
        reads_references=first.reads_references or then.reads_references,
        # What was judged in one order only, as by people, fulfils `accept: both-orders` with this order.
        order_free=first.order_free and then.order_free,
        coarse=first.coarse or then.coarse,
        routing=Routing(first=first, then=then, rule=rule),
    )
