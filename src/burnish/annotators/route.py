"""Two annotators in a row: the second one is asked where the first one is not sure, and in a random control."""

from __future__ import annotations

from collections.abc import Mapping

from burnish.algorithms.routing import RouteRule
from burnish.config import RouteConfig
from burnish.protocols import Annotator
from burnish.steps.judging import AnnotatorPlan, Routing
from burnish.types import Example


def plan(config: RouteConfig, first: AnnotatorPlan, then: AnnotatorPlan) -> AnnotatorPlan:
    """Return the plan. In a round, each of the two judges in a stage of its own.

    The confidence of both is compared when only some changes may be made. People who do not say how sure they are count
    as fully sure, so what they prefer comes before what the first annotator prefers.
    """

    def over(examples: Mapping[str, Example]) -> Annotator:
        raise AssertionError("a route judges in stages, and no self-test asks it")

    rule = RouteRule(sure=config.sure, control=config.control, budget=config.budget)
    return AnnotatorPlan(
        kind=config.kind,
        # The settings of the rule are in the stages that use it.
        config={"kind": config.kind},
        inputs={
            f"{name}_{key}": one for name, of in (("first", first), ("then", then)) for key, one in of.inputs.items()
        },
        over=over,
        # What was judged in one order only, as by people, fulfils `accept: both-orders` with this order.
        order_free=first.order_free and then.order_free,
        coarse=first.coarse or then.coarse,
        routing=Routing(first=first, then=then, rule=rule),
    )
