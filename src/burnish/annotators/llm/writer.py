"""A language model on an OpenAI-compatible server that answers prompts.

Its answers are the proposals of a refinement, or worse answers for SEAM. Each call is paid for once, and the same
budget limits the calls of a writer and of a judge.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from burnish.algorithms.thinking import without_thinking
from burnish.annotators.llm.caller import Caller
from burnish.annotators.llm.purse import Purse
from burnish.annotators.llm.questions import CallEstimate, Request, check_budget, with_extra
from burnish.annotators.llm.server import Server
from burnish.annotators.llm.stopping import KEPT
from burnish.config import ChatServerSettings
from burnish.services.calls import CallBudget, Reply, cost_of
from burnish.services.endpoint import Failure
from burnish.services.failures import Advice
from burnish.store.canonical import canonical
from burnish.types import CHARACTERS_PER_TOKEN, Completion, Message, Prompt, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenAnswer:
    """What the model wrote, without its thinking. `finished` is false if it was cut at the limit of tokens."""

    text: str
    tokens: int
    finished: bool


class ChatWriter(Caller[Prompt, WrittenAnswer]):
    """Asks a model for the answer to each prompt. `loss` says what a call counts as that is given up.

    Raises ConfigError if the key or needed prices are missing, and AnnotatorError if the package openai is not
    installed.
    """

    def __init__(self, config: ChatServerSettings, purse: Purse, say: Callable[[str], None], loss: str) -> None:
        check_budget(config, purse.budget)
        super().__init__(config, purse, say, loss=loss)
        self.config = config

    def completions(self, prompts: Iterable[Prompt]) -> Iterator[list[Completion]]:
        """Yield the answer to each prompt as it comes. Equal prompts with different samples are asked one by one.

        A prompt whose call was given up gets an empty answer, but only at the end: a run that stops before asks for it
        again. Raises Paused if the budget is spent, and AnnotatorError if no further call can succeed.
        """
        lost: list[Prompt] = []
        for prompt, written in self.answers(iter(prompts)):
            if written is None:
                lost.append(prompt)
                continue
            yield [
                Completion(
                    id=prompt.id,
                    text=written.text,
                    tokens=written.tokens,
                    finished=written.finished,
                    sample=prompt.sample,
                )
            ]
        yield [Completion(id=one.id, text="", tokens=0, finished=True, sample=one.sample) for one in lost]

    def _request(self, question: Prompt) -> Request:
        return request_of(self.config, question.messages, question.sample)

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
        field, address, model, words = self.config.field, self.config.base_url, self.config.model, failure.text
        return Advice(
            refused=f"{field}: {address} refuses the requests to {model!r} ({words}); correct model, max_tokens, "
            "system or extra",
            filtered=f"{field}: {address} refuses all prompts to {model!r} because of their content ({words}); use "
            "another server or model",
            too_long=f"{field}: no prompt fits into the context of {model!r} at {address} ({words}); give the server "
            "a longer context or use another model",
            kept=KEPT,
        )


def identity_of(config: ChatServerSettings) -> str:
    """Return the fingerprint of a writer. It is recorded with each of its answers."""
    return hashlib.sha256(canonical(config.semantic())).hexdigest()


def request_of(config: ChatServerSettings, prompt: tuple[Message, ...], repeat: int = 0) -> Request:
    """Return the request for a prompt. A field that `extra` sets to null is left out.

    `repeat` keeps equal requests apart in the cache.
    """
    if config.system is not None and prompt[0].role is not Role.SYSTEM:
        prompt = (Message(role=Role.SYSTEM, content=config.system), *prompt)
    body: dict[str, JsonValue] = {
        "model": config.model,
        "messages": [{"role": str(message.role), "content": message.content} for message in prompt],
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
    }
    size = sum(len(message.content.encode()) for message in prompt)
    return with_extra(config, body, size, config.max_tokens, repeat)


def check_writer(config: ChatServerSettings, budget: CallBudget) -> None:
    """Check that the server can be asked, before anything is spent. Nothing is sent. Raises as `ChatWriter` does."""
    check_budget(config, budget)
    # The server is only opened. This reads the key and imports the package.
    Server(config)


def estimate(config: ChatServerSettings, rows: int, mean_characters: float) -> CallEstimate:
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
