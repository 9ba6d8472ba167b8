"""Settings that decide which two answers differ enough to be worth the cost of a comparison (section 5.1)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, field_validator

from burnish.config.addresses import checked_address
from burnish.config.base import Count, PositiveFloat, Retries, Settings, Share


class AnswerDiffers(Settings):
    """Two answers differ if the task says that their final answers differ."""

    kind: Literal["answer"] = "answer"


class TextDiffers(Settings):
    """Two answers differ if their texts differ in more than white space."""

    kind: Literal["text"] = "text"


class NumberDiffers(Settings):
    """Two answers differ if their final numbers differ. A text without a number has no final answer."""

    kind: Literal["number"]
    marked: bool = False
    """Take only a number after `####` as the final answer."""


class CommandDiffers(Settings):
    """A program decides. It reads {id, prompt, current, proposal} as JSON lines, and for each of them it writes
    {id, differs: true or false}."""

    unwritten: ClassVar[frozenset[str]] = frozenset({"timeout"})
    kind: Literal["command"]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments. They are not run in a shell."""
    timeout: PositiveFloat = 600.0
    """The program is ended if it gives no new answer for this many seconds (does not change results)."""


class EmbeddingDiffers(Settings):
    """A sentence-embedding model measures how far apart two answers are. The rows with the largest distances are
    compared (section 5.1)."""

    kind: Literal["embedding"]
    model: str
    """A local folder or hub id of a sentence-transformers model."""
    # The paper compares the top half for SaferPaca, where free texts have no final answer (section 5.1).
    share: Share = 0.5
    """The share of rows to compare, among those whose texts differ. The rows with the largest distances are taken."""


class EmbeddingServerDiffers(Settings):
    """As `embedding`, but an OpenAI-compatible server computes the embeddings (appendix C)."""

    kind: Literal["embedding_server"]
    base_url: str
    """The server's address up to `/v1`, such as https://api.openai.com/v1."""
    model: str
    """The model's name on the server."""
    api_key_env: str | None = "OPENAI_API_KEY"
    """The environment variable that holds the API key. Write null if the server needs no key."""
    share: Share = 0.5
    """The share of rows to compare, among those whose texts differ. The rows with the largest distances are taken."""
    timeout: PositiveFloat = 60.0
    """The most seconds that a call may take, from its first byte to its last (does not change results)."""
    retries: Retries = 5
    """How often a failed request is sent again. The wait before each retry grows (does not change results)."""
    batch_size: Count = 64
    """The number of texts in one request (does not change results)."""

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return checked_address(value)


# Without `answer`: a refinement has no task that knows where the final answer of a text stands.
Differs: TypeAlias = Annotated[
    TextDiffers | NumberDiffers | CommandDiffers | EmbeddingDiffers | EmbeddingServerDiffers,
    Field(discriminator="kind"),
]
"""The choices for `differs` in a refinement."""
TaskDiffers: TypeAlias = Annotated[
    AnswerDiffers | EmbeddingDiffers | EmbeddingServerDiffers, Field(discriminator="kind")
]
"""The choices for `differs` in an experiment. The task of an experiment knows final answers, so that `answer` is
possible."""
