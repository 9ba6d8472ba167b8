"""Settings of proposals that come from elsewhere: from a file, or from a model on a server."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, JsonValue, StringConstraints, field_validator

from burnish.config.base import Count, NotNegative, PositiveFloat, Retries, Settings
from burnish.config.judge import Prices, checked_address
from burnish.config.methods import IlrMethod, MethodSettings
from burnish.config.models import ModelConfig


class FileProposals(Settings):
    """Proposals in a file: JSONL, JSON, Parquet, CSV or TSV.

    If the file has the id column of the dataset (`data.id_column`), rows are paired by id. Without it, the file has one
    row for each row of the dataset, in the same order.
    """

    kind: Literal["file"]
    path: str
    """The file."""
    column: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The column with the proposals. If not given, it is `proposal`, or else `completion`, or else `answer`."""


class ServerProposals(Settings):
    """A language model on an OpenAI-compatible server (vLLM, SGLang, llama.cpp or a hosted service). It answers each
    prompt once."""

    field: ClassVar[str] = "proposals"
    """The config field that holds these settings. Errors name it."""
    limits: ClassVar[tuple[str, str]] = ("--max-calls", "--max-cost")
    """The options that limit the number of calls and the cost. Errors name them."""
    kind: Literal["server"]
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
    """The most tokens of a reply. A proposal that is cut there has no end and is never accepted."""
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


Proposals: TypeAlias = Annotated[FileProposals | ServerProposals, Field(discriminator="kind")]
"""The choices for `proposals`."""


def check_proposals(method: MethodSettings, model: ModelConfig | None, changed: AbstractSet[str]) -> None:
    """Check that the other settings of a refinement fit proposals from elsewhere. `changed` are the names of those that
    do not have their default value.

    Raises ValueError, which names the field, if the method trains models to propose answers, if there are several
    rounds, or if a setting would not be used.
    """
    if not isinstance(method, IlrMethod):
        raise ValueError(
            f"method: {method.kind} found, but it proposes answers itself and takes no proposals from elsewhere; use "
            "the method ilr, or leave proposals out"
        )
    if method.rounds != 1:
        raise ValueError(
            f"method.rounds: {method.rounds} found, but with proposals there is one round, because a second one would "
            "compare the same proposals again; set it to 1 (--rounds 1)"
        )
    if method.splits != 2 or not method.cross_label:
        raise ValueError(
            "method.splits and method.cross_label: with proposals the rows are not divided and no model is trained on "
            "a part of them; leave both out"
        )
    # Held-out prompts are answered by the trained models, which `decode` is for.
    generated = ["train_proposers", *([] if "holdout" in changed else ["decode"])]
    if found := [name for name in (*generated, *(["train", "merge"] if model is None else [])) if name in changed]:
        why = "proposals come from elsewhere" if found[0] in generated else "no model is given, so none is trained"
        raise ValueError(f"{found[0]}: it is set, but {why}, so it is not used; leave it out")
