"""A language model on an OpenAI-compatible server that answers prompts. Its answers are the proposals of a refinement.

Each call is paid for once, and the same budget limits the calls of the proposer and of a judge.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pydantic import JsonValue

from burnish.algorithms.thinking import without_thinking
from burnish.annotators.llm.caller import Caller, Purse
from burnish.annotators.llm.questions import CallEstimate, Request, check_budget, with_extra
from burnish.annotators.llm.server import Server
from burnish.annotators.llm.stopping import KEPT
from burnish.config import ServerProposals
from burnish.protocols import Completion
from burnish.services.calls import CallBudget, Reply, cost_of
from burnish.services.endpoint import Failure
from burnish.services.failures import Advice
from burnish.store.canonical import canonical
from burnish.types import CHARACTERS_PER_TOKEN, Example, Message, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptQuestion:
    """A prompt that is sent. `id` is the row's id."""

    id: str
    prompt: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenAnswer:
    """What the model wrote, without its thinking. `finished` is false if it was cut at the limit of tokens."""

    text: str
    tokens: int
    finished: bool


class Proposer(Caller[PromptQuestion, WrittenAnswer]):
    """Asks a model for the answer to each prompt. Raises ConfigError if the key or needed prices are missing, and
    AnnotatorError if the package openai is not installed."""

    def __init__(self, config: ServerProposals, purse: Purse, say: Callable[[str], None]) -> None:
        check_budget(config, purse.budget)
        super().__init__(config, purse, say, loss="a row without a proposal")
        self.config = config

    def completions(self, examples: Mapping[str, Example], done: AbstractSet[str]) -> Iterator[list[Completion]]:
        """Yield the answer to each prompt as it comes. `done` has the ids of the rows that have one already.

        A row whose call was given up gets an empty answer, but only at the end: a run that stops before asks for it
        again. Raises Paused if the budget is spent, and AnnotatorError if no further call can succeed.
        """
        asked = (PromptQuestion(id=id_, prompt=example.prompt) for id_, example in examples.items() if id_ not in done)
        lost: list[str] = []
        for question, written in self.answers(asked):
            if written is None:
                lost.append(question.id)
                continue
            yield [
                Completion(
                    id=question.id, text=written.text, tokens=written.tokens, finished=written.finished, sample=0
                )
            ]
        yield [Completion(id=id_, text="", tokens=0, finished=True, sample=0) for id_ in lost]

    def _request(self, question: PromptQuestion) -> Request:
        return request_of(self.config, question.prompt)

    def _harmless(self) -> Request:
        return request_of(self.config, (Message(role=Role.USER, content="What is 2 + 2?"),))

    def _read(self, reply: Reply) -> WrittenAnswer:
        text = without_thinking(reply.text)
        # Thinking without an end was cut, whatever the server says of it.
        return WrittenAnswer(
            text=(text or "").strip(),
            tokens=reply.completion_tokens or 0,
            finished=reply.finished and text is not None,
        )

    def _advice(self, failure: Failure) -> Advice:
        address, model, words = self.config.base_url, self.config.model, failure.text
        return Advice(
            refused=f"proposals: {address} refuses the requests to {model!r} ({words}); correct model, max_tokens, "
            "system or extra",
            filtered=f"proposals: {address} refuses all prompts to {model!r} because of their content ({words}); use "
            "another server or model",
            too_long=f"proposals: no prompt fits into the context of {model!r} at {address} ({words}); give the server "
            "a longer context or use another model",
            kept=KEPT,
        )


def identity_of(config: ServerProposals) -> str:
    """Return the fingerprint of a proposer. It is recorded with each of its answers."""
    return hashlib.sha256(canonical(config.semantic())).hexdigest()


def request_of(config: ServerProposals, prompt: tuple[Message, ...]) -> Request:
    """Return the request for a prompt. A field that `extra` sets to null is left out."""
    if config.system is not None and prompt[0].role is not Role.SYSTEM:
        prompt = (Message(role=Role.SYSTEM, content=config.system), *prompt)
    body: dict[str, JsonValue] = {
        "model": config.model,
        "messages": [{"role": str(message.role), "content": message.content} for message in prompt],
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
    }
    size = sum(len(message.content.encode()) for message in prompt)
    return with_extra(config, body, size, config.max_tokens)


def check_proposer(config: ServerProposals, budget: CallBudget) -> None:
    """Check that the server can be asked, before anything is spent. Nothing is sent. Raises as `Proposer` does."""
    check_budget(config, budget)
    # The server is only opened. This reads the key and imports the package.
    Server(config)


def estimate(config: ServerProposals, rows: int, mean_characters: float) -> CallEstimate:
    """Estimate calls, tokens and money. No key and no server are needed.

    `mean_characters` is the mean length of a prompt. Each reply is assumed to have its full length, so most models cost
    less.
    """
    read = math.ceil(rows * (mean_characters + len(config.system or "")) / CHARACTERS_PER_TOKEN)
    written, prices = rows * config.max_tokens, config.prices
    return CallEstimate(
        calls=rows,
        prompt_tokens=read,
        completion_tokens=written,
        cost=None if prices is None else cost_of(prices, read, written),
        currency="" if prices is None else prices.currency,
    )
