"""Which two answers differ so much that a comparison of them is worth its cost (section 5.1)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from burnish.config.annotators import checked_address
from burnish.config.base import Count, PositiveFloat, Retries, Settings, Share


class AnswerDiffers(Settings):
    """Two answers differ where the task says that their final answers do."""

    kind: Literal["answer"] = "answer"


class TextDiffers(Settings):
    """Two answers differ where their texts do, but for white space."""

    kind: Literal["text"] = "text"


class NumberDiffers(Settings):
    """Two answers differ where their final numbers do; an answer without a number is no answer."""

    kind: Literal["number"]
    marked: bool = False
    """Only a number after `####` is a final answer."""


class CommandDiffers(Settings):
    """A program reads {id, prompt, current, proposal} as JSON lines and writes {id, differs: true or false}."""

    kind: Literal["command"]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments, without a shell."""


class EmbeddingDiffers(Settings):
    """The share of the rows whose two answers are farthest apart by a sentence embedder are compared (section 5.1)."""

    kind: Literal["embedding"]
    model: str
    """A local folder or hub id of a sentence-transformers model."""
    share: Share = 0.5
    """Of the rows whose texts differ, this share, the most distant, is compared."""


class EmbeddingServerDiffers(Settings):
    """The same distance, from an OpenAI-compatible server of embeddings (appendix C)."""

    kind: Literal["embedding_server"]
    base_url: str
    """The server's address up to `/v1`, such as https://api.openai.com/v1."""
    model: str
    """The model's name on the server."""
    api_key_env: str | None = "OPENAI_API_KEY"
    """The environment variable that holds the key; null: the server wants none."""
    share: Share = 0.5
    """Of the rows whose texts differ, this share, the most distant, is compared."""
    timeout: PositiveFloat = 60.0
    """Seconds that a call may take from its first byte to its last (does not change results)."""
    retries: Retries = 5
    """How often a failed request is sent again, later and later (does not change results)."""
    batch_size: Count = 64
    """Texts in one request (does not change results)."""

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return checked_address(value)


Differs: TypeAlias = Annotated[
    TextDiffers | NumberDiffers | CommandDiffers | EmbeddingDiffers | EmbeddingServerDiffers,
    Field(discriminator="kind"),
]
"""What `refine` takes."""
TaskDiffers: TypeAlias = Annotated[
    AnswerDiffers | EmbeddingDiffers | EmbeddingServerDiffers, Field(discriminator="kind")
]
"""What an experiment takes, whose task knows final answers."""
