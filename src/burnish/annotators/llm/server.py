"""Asks an OpenAI-compatible server to complete a chat, with retries, and reads its answer or refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import JsonValue

from burnish.annotators.llm.replies import reply_of, usage_of
from burnish.config import ChatServerSettings, JudgeConfig
from burnish.services.calls import Reply

# openai is an optional package, and importing it takes long. Endpoint imports it when a server is really asked.
if TYPE_CHECKING:
    import openai
from burnish.services.endpoint import Endpoint, Failure, Why

ChatConfig: TypeAlias = JudgeConfig | ChatServerSettings
"""Settings that name a server which completes chats."""


class Server:
    """A server that completes chats. `explained` means that a reply ends with the verdict. Raises ConfigError and
    AnnotatorError as `Endpoint` does."""

    def __init__(self, config: ChatConfig, explained: bool = False) -> None:
        self.explained = explained
        self._endpoint = Endpoint(config, config.field)

    @property
    def met(self) -> bool:
        """Whether the address ever answered anything, even an error."""
        return self._endpoint.met

    def ask(self, body: Mapping[str, JsonValue], pause: Callable[[float], bool]) -> Reply | Failure:
        """Return the reply, or a Failure if there is none after all retries. `pause` waits some seconds and says
        whether to stop."""
        # `create` takes a fixed list of fields. With `extra_body`, any field can be sent.
        rest: dict[str, Any] = {name: value for name, value in body.items() if name not in {"model", "messages"}}
        messages: Any = body["messages"]

        def send(client: openai.OpenAI) -> str:
            # It takes the raw body, because the SDK accepts any body as an answer and would hide a wrong one.
            create = client.chat.completions.with_raw_response.create
            return create(model=str(body["model"]), messages=messages, extra_body=rest).text

        return self._endpoint.ask(send, self._read, pause)

    def _read(self, text: str) -> Reply | Failure:
        words = f"no chat completion came back: {self._endpoint.shown(text)!r}"
        failure = Failure(why=Why.UNREADABLE, text=words, tokens=usage_of(text))
        return reply_of(text, self.explained) or failure
