"""A language model on an OpenAI-compatible server as an annotator. It judges both orders of each pair, each call is
paid for once, and a budget limits the calls."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from burnish.algorithms.comparisons import combined
from burnish.annotators.llm.asker import Asker
from burnish.annotators.llm.purse import Purse
from burnish.annotators.llm.questions import CallEstimate, check_budget, estimate, questions_of
from burnish.annotators.llm.server import Server
from burnish.annotators.resources import Resources
from burnish.config import JudgeConfig
from burnish.services.calls import CallBudget, Calls, Spent
from burnish.steps.judging import AnnotatorPlan
from burnish.store.canonical import canonical
from burnish.types import Comparison, Example, Order, Preference

JUDGE = "judge"
"""The name of the judge in its preferences."""


class ServerJudge:
    """Asks a model which of two answers is better, in both orders. If one order has no verdict, it is an abstention.

    Every reply is kept in `calls` when it arrives, so that it is not paid for again after a kill or in a second
    session. `run` is the name, an output folder, under which the budget and the ledger count. Only one process at a
    time may judge for a run. `repeat` is a number that keeps repeated questions apart in the cache. Raises ConfigError
    if the key or needed prices are missing, and AnnotatorError if the package openai is not installed.
    """

    order_free = False

    def __init__(
        self,
        config: JudgeConfig,
        examples: Mapping[str, Example],
        calls: Calls,
        run: str,
        budget: CallBudget,
        say: Callable[[str], None],
        repeat: int = 0,
    ) -> None:
        check_budget(config, budget)
        self.config, self.examples = config, examples
        self.fingerprint = hashlib.sha256(canonical(config.semantic())).hexdigest()
        self._asker = Asker(config, Purse(calls=calls, run=run, budget=budget), say, repeat)

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield each preference as soon as both of its orders are answered or given up.

        Raises Paused if the budget is spent, after all complete preferences were yielded. Raises AnnotatorError if no
        call can succeed. An interrupted run waits at most two seconds for the calls under way.
        """
        missing = {comparison.id: comparison for comparison in comparisons if comparison.id not in done}
        # Comparisons of which only one order is answered until now.
        half: dict[str, dict[Order, float | None]] = {}
        for question, p_second in self._asker.answers(questions_of(missing.values(), self.examples, self.config)):
            orders = half.setdefault(question.comparison_id, {})
            orders[question.order] = p_second
            if len(orders) == len(Order):
                del half[question.comparison_id]
                yield [combined(question.comparison_id, tuple(Order), [orders[order] for order in Order], JUDGE)]

    def again(self) -> ServerJudge:
        """Return the same judge, but made so that it asks again instead of reusing the answers of this one. The cache
        keeps its answers apart."""
        asker = self._asker
        purse = asker.purse
        # The number of the repeat is part of the key in the cache, so that the new answers do not replace the old ones.
        return ServerJudge(
            self.config, self.examples, purse.calls, purse.run, purse.budget, asker.say, repeat=asker.repeat + 1
        )

    def spent(self) -> Spent:
        """Return what the run paid for in all its sessions together."""
        purse = self._asker.purse
        return dataclasses.replace(purse.calls.spent(purse.run, self.config.prices), cached=self._asker.cached)

    def estimate(self, comparisons: int, mean_characters: float) -> CallEstimate:
        """Estimate calls, tokens and money. The function `questions.estimate` does the same without a key and a
        server."""
        return estimate(self.config, comparisons, mean_characters)


def check_server(config: JudgeConfig, budget: CallBudget) -> None:
    """Check that a server can be asked, before anything is spent. Nothing is sent.

    Raises ConfigError if the key or needed prices are missing, and AnnotatorError if the package openai is not
    installed.
    """
    check_budget(config, budget)
    # The server is only opened. This reads the key and imports the package, but sends nothing.
    Server(config, config.explain)


def build(config: JudgeConfig, resources: Resources) -> AnnotatorPlan:
    """Return the plan in which a model on a server judges. Nothing is sent before the first comparison."""
    return AnnotatorPlan(
        kind=config.kind,
        config=config.semantic(),
        inputs={},
        over=lambda examples: ServerJudge(
            config, examples, resources.calls(), resources.run, resources.budget, resources.say
        ),
    )
