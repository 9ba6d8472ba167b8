"""Who pays for calls: the cache that keeps their answers, the account that is charged, and the limits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from burnish.annotators.llm.questions import Request
from burnish.annotators.llm.server import ChatConfig
from burnish.errors import StageError
from burnish.services.allowance import BLOCK, Allowance, Amount, CallLimits
from burnish.services.calls import Account, CallBudget, Calls, Reply, cost_of
from burnish.services.endpoint import Failure, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """The cache that keeps answers, and the run to which they are charged, with its budget."""

    calls: Calls
    run: str
    budget: CallBudget

    def refusal(self, config: ChatConfig, request: Request, under_way: Collection[Request]) -> str | None:
        """Reserve a call, or say which limit of the budget forbids it.

        Calls under way count as answered, because they will be paid for. Raises StageError if other hosts share the
        budget and their bucket cannot be used.
        """
        budget = self.budget
        prices, (calls, cost) = config.prices, config.limits
        spent = self.calls.spent_by((Account(run=self.run, prices=prices), *budget.others))
        answers = spent.calls + spent.unread
        if budget.max_calls is not None and answers + len(under_way) >= budget.max_calls:
            unread = f", {spent.unread} of them with answers that cannot be read" if spent.unread else ""
            return f"{answers} calls are spent{unread} ({calls} {budget.max_calls}); raise {calls} to go on"
        if budget.max_cost is not None and prices is not None and spent.cost is not None:
            reserved = sum(other.reserved for other in under_way)
            if spent.cost + reserved + request.reserved > budget.max_cost:
                return (
                    f"{spent.cost:.4g} {prices.currency} are spent and the next call may cost {request.reserved:.2g} "
                    f"({cost} {budget.max_cost:g}); raise {cost} to go on"
                )
        return self._refusal_of_all(config, request)

    def _refusal_of_all(self, config: ChatConfig, request: Request) -> str | None:
        """Reserve a call in the budget that other hosts share, or say which limit forbids it."""
        if (allowance := self._allowance) is None:
            return None
        budget, (calls, cost) = self.budget, config.limits
        limits = CallLimits(calls=budget.max_calls, cost=budget.max_cost)
        taken = allowance.reserve(request.key, Amount(1, request.reserved), limits, max(BLOCK, config.concurrency))
        if taken is None:
            return None
        if budget.max_calls is not None and taken.calls >= budget.max_calls:
            return (
                f"{taken.calls} calls are spent or reserved on all machines that share the store "
                f"({calls} {budget.max_calls}); raise {calls} to go on"
            )
        currency = "" if config.prices is None else config.prices.currency
        return (
            f"{taken.cost:.4g} {currency} are spent or reserved on all machines that share the store, and the next "
            f"call may cost {request.reserved:.2g} ({cost} {budget.max_cost:g}); raise {cost} to go on"
        )

    def pay(self, config: ChatConfig, request: Request, outcome: Reply | Failure, last: bool) -> None:
        """Keep an answer and charge it. With `last`, an answer that cannot be read is kept, too, as an empty one."""
        paid = Amount()
        if isinstance(outcome, Reply):
            tokens = outcome.prompt_tokens or 0, outcome.completion_tokens or 0
            self.calls.put(request.key, outcome, self.run)
            paid = _amount(config, tokens)
        elif outcome.why is Why.UNREADABLE:
            # If money is limited and the server reports no tokens, the largest possible number is charged.
            assumed = (0, 0) if self.budget.max_cost is None else request.most_tokens
            key = request.key if last and outcome.tokens is not None else None
            self.calls.put_unread(self.run, outcome.tokens or assumed, key)
            paid = _amount(config, outcome.tokens or assumed)
        if (allowance := self._allowance) is not None:
            allowance.pay(request.key, paid)

    @contextmanager
    def open(self, say: Callable[[str], None]) -> Generator[None]:
        """Give back at the end of the block what was reserved for all hosts, and is not used."""
        try:
            yield
        finally:
            try:
                if (allowance := self._allowance) is not None:
                    allowance.give_back()
            except StageError as error:
                # What is not given back counts as spent, so no limit is broken.
                say(f"warning: calls that were reserved and not made count as made, because {error}")

    @property
    def _allowance(self) -> Allowance | None:
        return self.calls.allowance((self.run, *(other.run for other in self.budget.others)))


def _amount(config: ChatConfig, tokens: tuple[int, int]) -> Amount:
    """Return one call with its cost."""
    return Amount(1, 0.0 if config.prices is None else cost_of(config.prices, *tokens))
