"""The questions to a judge. A question is a comparison in one order. It becomes a prompt and then a request."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from burnish.algorithms.comparisons import both_orders
from burnish.annotators.llm.server import ChatConfig
from burnish.config import JudgeConfig
from burnish.errors import ConfigError
from burnish.services.calls import CallBudget, cost_of, request_key
from burnish.types import CHARACTERS_PER_TOKEN, Comparison, Example, Message, Order, Role

_BYTES_PER_TOKEN = 2
"""The bytes that count as one token when money is reserved. Real text has more bytes in a token, so that a call does
not cost more than was reserved."""
# This is a fixed list of names. Any other pair of braces, as in a template that shows JSON, stays as it is.
_PLACEHOLDER = re.compile(r"\{(question|first|second|criteria|A|B|tie)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One order of one comparison."""

    comparison_id: str
    order: Order
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request: its key in the cache, the body that is sent, and the most that it is expected to cost.

    `most_tokens` is (read, written), and `reserved` is an amount of money, 0 without prices.
    """

    key: str
    body: Mapping[str, JsonValue]
    most_tokens: tuple[int, int]
    reserved: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEstimate:
    """What the calls to a server are expected to cost, for a dry run.

    `cost` is None without prices or if the prices have several currencies. `selftest` is how many of the calls are for
    the self-test.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    currency: str = ""
    selftest: int = 0

    def words(self, who: str = "judge") -> str:
        """Return the estimate as a line for people. `who` is asked."""
        calls = "1 call" if self.calls == 1 else f"{self.calls:,} calls"
        tested = f" ({self.selftest:,} of them for the self-test)" if self.selftest else ""
        money = "" if self.cost is None else f", {self.cost:.2f} {self.currency}".rstrip()
        tokens = f"{self.prompt_tokens:,} tokens read, {self.completion_tokens:,} written"
        return f"{who}: at most {calls}{tested}, about {tokens}{money}"


def questions_of(
    comparisons: Iterable[Comparison], examples: Mapping[str, Example], config: JudgeConfig
) -> Iterator[Question]:
    """Yield two questions for each comparison, one for each order."""
    for comparison in comparisons:
        prompt = examples[comparison.example_id].prompt
        for order, row in zip(Order, both_orders(comparison, prompt), strict=True):
            yield Question(
                comparison_id=comparison.id, order=order, prompt=filled(config, prompt, row.first, row.second)
            )


def filled(config: JudgeConfig, prompt: tuple[Message, ...], first: str, second: str) -> str:
    """Fill in the template.

    All placeholders are replaced in one pass, so that braces in an answer stay as they are. Even the text `{second}` in
    the first answer is not replaced.
    """
    values = {
        "question": question_text(prompt),
        "first": first,
        "second": second,
        "criteria": config.criteria,
        "A": config.labels[0],
        "B": config.labels[1],
        # It is a piece of a sentence, so that a prompt reads well with and without ties.
        "tie": f", or {config.tie} if both are equally good" if config.tie else "",
    }
    return _PLACEHOLDER.sub(lambda match: values[match[1]], config.template)


def question_text(prompt: tuple[Message, ...]) -> str:
    """Return a prompt as text. If there are several messages, each begins with its role."""
    if len(prompt) == 1:
        return prompt[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in prompt)


def request_of(config: JudgeConfig, prompt: str, repeat: int, logprobs: bool) -> Request:
    """Return the request for a prompt. A field that `extra` sets to null is left out, for example `max_tokens`."""
    body: dict[str, JsonValue] = {
        "model": config.model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,  # the same question should get the same verdict
        "max_tokens": longest_reply(config),
    }
    if logprobs:
        # Log-probabilities come only if they are asked for. Without them a verdict is only 0, 0.5 or 1, and all are
        # equally confident.
        body |= {"logprobs": True, "top_logprobs": config.top_logprobs}
    return with_extra(config, body, len(prompt.encode()), longest_reply(config), repeat)


def with_extra(
    config: ChatConfig, body: Mapping[str, JsonValue], prompt_bytes: int, most_written: int, repeat: int = 0
) -> Request:
    """Return the request with this body and the config's `extra` fields.

    `prompt_bytes` is the size of all its texts as UTF-8, and `most_written` the most tokens of a reply.
    """
    # `extra` comes last, so that a user can replace fields that a server does not accept.
    body = {name: value for name, value in {**body, **config.extra}.items() if value is not None}
    # It counts bytes and not characters, because a Chinese character has three bytes and may be more than one token.
    prices, read, written = config.prices, math.ceil(prompt_bytes / _BYTES_PER_TOKEN), most_written
    return Request(
        key=request_key(config.base_url, body, repeat),
        body=body,
        most_tokens=(read, written),
        reserved=0.0 if prices is None else cost_of(prices, read, written),
    )


def probe_prompt(config: JudgeConfig) -> str:
    """Return a short and harmless prompt, which no server refuses for its content or its length."""
    return filled(config, (Message(role=Role.USER, content="What is 2 + 2?"),), "4", "5")


def longest_reply(config: JudgeConfig) -> int:
    """Return the most tokens of a reply."""
    # It is 8 and not 1, because some models that are asked for a letter write a word or two more.
    return config.max_tokens or (512 if config.explain else 8)


def estimate(config: JudgeConfig, comparisons: int, mean_characters: float) -> CallEstimate:
    """Estimate calls, tokens and money. No key and no server are needed.

    `mean_characters` is the mean length of a request and its two answers together. Four characters count as one token,
    and each reply is assumed to have its full length. So a judge that explains costs less than this estimate.
    """
    calls = 2 * comparisons  # both orders
    template = len(_PLACEHOLDER.sub("", config.template)) + len(config.criteria)
    read = math.ceil(calls * (mean_characters + template) / CHARACTERS_PER_TOKEN)
    written = calls * longest_reply(config)
    prices = config.prices
    return CallEstimate(
        calls=calls,
        prompt_tokens=read,
        completion_tokens=written,
        cost=None if prices is None else cost_of(prices, read, written),
        currency="" if prices is None else prices.currency,
    )


def mean_characters(examples: Sequence[Example]) -> float:
    """Return the mean length of a prompt with two answers as long as its reference."""
    lengths = [sum(len(m.content) for m in example.prompt) + 2 * len(example.reference or "") for example in examples]
    return sum(lengths) / len(lengths) if lengths else 0.0


def summed(estimates: Sequence[CallEstimate]) -> CallEstimate | None:
    """Return the sum of estimates, or None if there are none. If one cost is unknown or in another currency, the sum of
    the costs is unknown."""
    if not estimates:
        return None
    costs = [one.cost for one in estimates]
    known = [cost for cost in costs if cost is not None]
    currencies = {one.currency for one in estimates}
    one_sum = len(known) == len(costs) and len(currencies) == 1
    return CallEstimate(
        calls=sum(one.calls for one in estimates),
        prompt_tokens=sum(one.prompt_tokens for one in estimates),
        completion_tokens=sum(one.completion_tokens for one in estimates),
        cost=sum(known) if one_sum else None,
        currency=min(currencies) if one_sum else "",
        selftest=sum(one.selftest for one in estimates),
    )


def check_budget(config: ChatConfig, budget: CallBudget) -> None:
    """Check that prices are known if there is a limit on money.

    Raises ConfigError if there are none, because then no cost can be computed.
    """
    if budget.max_cost is not None and config.prices is None:
        calls, cost = config.limits
        raise ConfigError(
            f"{config.field}.prices: not given, and {cost} {budget.max_cost:g} needs them; add prices: "
            f"{{input_per_million: ..., output_per_million: ...}}, or limit {calls}"
        )
