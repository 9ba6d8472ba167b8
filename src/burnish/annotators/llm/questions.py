"""What a judge is asked: a comparison in one order, as a prompt from the config's template and as a request."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from burnish.algorithms.comparisons import both_orders
from burnish.config import JudgeConfig
from burnish.errors import ConfigError
from burnish.services.calls import Budget, cost_of, request_key
from burnish.types import CHARACTERS_PER_TOKEN, Comparison, Example, Message, Order, Role

_BYTES_PER_TOKEN = 2
"""Fewer than text has in practice, so that what is reserved is not exceeded."""
_PLACEHOLDER = re.compile(r"\{(question|first|second|criteria|A|B|tie)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One order of one comparison."""

    comparison_id: str
    order: Order
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent, what it is known by, and the most tokens (read, written) and money (0 without prices) that it is
    expected to cost."""

    key: str
    body: Mapping[str, JsonValue]
    most_tokens: tuple[int, int]
    reserved: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What judging is expected to take, for a dry run. `cost` is None without prices."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    def words(self) -> str:
        """Return a line for people."""
        calls = "1 call" if self.calls == 1 else f"{self.calls:,} calls"
        money = "" if self.cost is None else f", {self.cost:.2f} in money"
        tokens = f"{self.prompt_tokens:,} tokens read, {self.completion_tokens:,} written"
        return f"judge: at most {calls}, about {tokens}{money}"


def questions_of(
    comparisons: Iterable[Comparison], examples: Mapping[str, Example], config: JudgeConfig
) -> Iterator[Question]:
    """Yield each comparison in both orders."""
    for comparison in comparisons:
        prompt = examples[comparison.example_id].prompt
        for order, row in zip(Order, both_orders(comparison, prompt), strict=True):
            yield Question(
                comparison_id=comparison.id, order=order, prompt=filled(config, prompt, row.first, row.second)
            )


def filled(config: JudgeConfig, prompt: tuple[Message, ...], first: str, second: str) -> str:
    """Fill the template in one pass: braces in an answer, and even `{second}` in the first one, stay as they are."""
    values = {
        "question": question_text(prompt),
        "first": first,
        "second": second,
        "criteria": config.criteria,
        "A": config.labels[0],
        "B": config.labels[1],
        "tie": f", or {config.tie} if both are equally good" if config.tie else "",
    }
    return _PLACEHOLDER.sub(lambda match: values[match[1]], config.template)


def question_text(prompt: tuple[Message, ...]) -> str:
    """Return a prompt as text; who speaks is named where there are several messages."""
    if len(prompt) == 1:
        return prompt[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in prompt)


def request_of(config: JudgeConfig, prompt: str, repeat: int, logprobs: bool) -> Request:
    """Return the request for a prompt. A field that `extra` sets to null is left out, `max_tokens` for example."""
    body: dict[str, JsonValue] = {
        "model": config.model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": longest_reply(config),
    }
    if logprobs:
        body |= {"logprobs": True, "top_logprobs": config.top_logprobs}
    body = {name: value for name, value in {**body, **config.extra}.items() if value is not None}
    prices, read, written = config.prices, math.ceil(len(prompt.encode()) / _BYTES_PER_TOKEN), longest_reply(config)
    return Request(
        key=request_key(config.base_url, body, repeat),
        body=body,
        most_tokens=(read, written),
        reserved=0.0 if prices is None else cost_of(prices, read, written),
    )


def probe_prompt(config: JudgeConfig) -> str:
    """Return a prompt that no server refuses for what it is about or for its length."""
    return filled(config, (Message(role=Role.USER, content="What is 2 + 2?"),), "4", "5")


def longest_reply(config: JudgeConfig) -> int:
    """Return how many tokens a reply may have; asked for a letter, some models write a word or two more."""
    return config.max_tokens or (512 if config.explain else 8)


def estimate(config: JudgeConfig, comparisons: int, mean_characters: float) -> Estimate:
    """Estimate calls, tokens and money, needing neither key nor server.

    `mean_characters` counts a request and its two answers together. A token is taken to be four characters, and each
    reply to have its full length, so that an explaining judge costs less than this.
    """
    calls = 2 * comparisons
    template = len(_PLACEHOLDER.sub("", config.template)) + len(config.criteria)
    read = math.ceil(calls * (mean_characters + template) / CHARACTERS_PER_TOKEN)
    written = calls * longest_reply(config)
    cost = None if config.prices is None else cost_of(config.prices, read, written)
    return Estimate(calls=calls, prompt_tokens=read, completion_tokens=written, cost=cost)


def mean_characters(examples: Sequence[Example]) -> float:
    """Return the mean length of a prompt with two answers as long as its reference."""
    read = [sum(len(m.content) for m in one.prompt) + 2 * len(one.reference or "") for one in examples]
    return sum(read) / len(read) if read else 0.0


def summed(estimates: Sequence[Estimate]) -> Estimate | None:
    """Add estimates up, None where there are none. The cost is unknown where one of them is."""
    if not estimates:
        return None
    costs = [one.cost for one in estimates]
    known = [cost for cost in costs if cost is not None]
    return Estimate(
        calls=sum(one.calls for one in estimates),
        prompt_tokens=sum(one.prompt_tokens for one in estimates),
        completion_tokens=sum(one.completion_tokens for one in estimates),
        cost=sum(known) if len(known) == len(costs) else None,
    )


def check_budget(config: JudgeConfig, budget: Budget) -> None:
    """Raise ConfigError where a limit on money has no prices to count with."""
    if budget.max_cost is not None and config.prices is None:
        calls, cost = config.limits
        raise ConfigError(
            f"{config.field}.prices: not given, and {cost} {budget.max_cost:g} needs them; add prices: "
            f"{{input_per_million: ..., output_per_million: ...}}, or limit {calls}"
        )
