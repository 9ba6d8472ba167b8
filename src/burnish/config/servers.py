"""What all settings have in common that name a server which completes chats."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, JsonValue, field_validator

from burnish.config.addresses import checked_address
from burnish.config.base import Count, NotNegative, PositiveFloat, Retries, Settings
from burnish.config.judge import Prices


class ChatServerSettings(Settings):
    """A language model on an OpenAI-compatible server that answers prompts."""

    field: ClassVar[str] = "server"
    """The config field that holds these settings. Errors name it."""
    limits: ClassVar[tuple[str, str]] = ("--max-calls", "--max-cost")
    """The options that limit the number of calls and the cost. Errors name them."""
    kind: Any  # (each class narrows it to its one name)
    base_url: str
    """The server's address up to `/v1`, such as http://localhost:8000/v1."""
    model: str
    """The model's name on the server."""
    api_key_env: str | None = "OPENAI_API_KEY"
    """The environment variable that holds the API key. The key itself is not written to any file. Write null if the
    server needs no key."""
    system: str | None = None
    """A system text that is put before each prompt which has none. It can say, for example, in which form answers are
    written."""
    max_tokens: Count = 1024
    """The most tokens of a reply. A reply that is cut there has no end and is never used."""
    temperature: NotNegative = 0.0
    """The temperature of sampling. With 0, the server takes the most likely token."""
    extra: dict[str, JsonValue] = Field(default={})
    """More fields of the request, such as {chat_template_kwargs: {enable_thinking: false}}. null leaves a field out, as
    in {max_tokens: null, max_completion_tokens: 2000}."""
    prices: Prices | None = None
    """The prices of the server."""
    concurrency: Count = 8
    """How many requests may be under way at the same time (does not change results)."""
    timeout: PositiveFloat = 120.0
    """The most seconds that a call may take, from its first byte to its last (does not change results)."""
    retries: Retries = 5
    """How often a failed request is sent again. The wait before each retry grows (does not change results)."""

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return checked_address(value)

    @field_validator("extra")
    @classmethod
    def _no_fixed_field(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        # `model` and `messages` come from other settings; `n` and `stream` would change the form of the reply.
        if fixed := sorted({"messages", "model", "n", "stream"} & value.keys()):
            raise ValueError(f"{fixed[0]} cannot be set here; remove it")
        return value

    def semantic(self) -> dict[str, JsonValue]:
        """Return the settings that change answers. Speed, prices and the place of the key are left out."""
        # The address of the server stays in: the same name of a model may stand for other weights on another server.
        return self.model_dump(mode="json", exclude={"api_key_env", "prices", "concurrency", "timeout", "retries"})
