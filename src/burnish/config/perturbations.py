"""The settings of the sources of worse answers for SEAM: one settings class for each kind."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, field_validator

from burnish.config.annotators import WantedModel
from burnish.config.base import Count, NotNegative, PositiveFloat, Repeats, Settings
from burnish.config.differs import EmbeddingDiffers, EmbeddingServerDiffers
from burnish.config.kinds import Kinds, OneOf
from burnish.config.models import Model
from burnish.config.servers import ChatServerSettings


class EditKind(StrEnum):
    """What an edit changes."""

    NUMBERS = "numbers"
    """A digit of a number, or an operator between two numbers."""
    SQL = "sql"
    """A comparison, a keyword, a function or a number of a query."""
    WORDS = "words"
    """Words: an opposite, or some of them deleted or put in another order."""
    CHARACTERS = "characters"
    """Characters: two neighbours change places, or one is missing, in some of the words."""


Cosine: TypeAlias = Annotated[float, Field(gt=-1, le=1)]


class PerturbationSettings(Settings):
    """The base class of all sources. A source finds answers to a prompt that are worse than its gold answer."""

    kind: Any  # (each class narrows it to its one name)
    short: ClassVar[str] = ""
    """The field that the short form `KIND:VALUE` fills. "" means that `KIND` alone is the short form."""
    needs_checker: ClassVar[bool] = False
    """Whether only a checker can say that an answer of this source is worse."""
    uses_policy: ClassVar[bool] = False
    """Whether the answers depend on the policy."""

    def models(self, field: str) -> Iterator[WantedModel]:
        """Yield the local models that must be found. `field` is the config field that holds these settings."""
        yield from ()


PERTURBATIONS = Kinds("source of worse answers", PerturbationSettings)
AnyPerturbation: TypeAlias = Annotated[PerturbationSettings, OneOf(PERTURBATIONS)]
"""A source of any kind."""


@PERTURBATIONS.add
class AdversarialSource(PerturbationSettings):
    """The gold answer with an edit that makes it worse."""

    kind: Literal["adversarial"]
    short: ClassVar[str] = "edits"
    edits: EditKind | Literal["auto"] = "auto"
    """What is edited: numbers, sql, words or characters. `auto` takes sql for queries, numbers for tasks with numbers
    as answers, and else words."""


@PERTURBATIONS.add
class ContrastSource(PerturbationSettings):
    """The gold answers of similar prompts. The prompt's own answer is never among them."""

    kind: Literal["contrast"]
    short: ClassVar[str] = "embedder"
    embedder: EmbeddingDiffers | EmbeddingServerDiffers | str | None = None
    """The model that says which prompts are similar: a sentence-transformers folder or hub id, or settings as for
    `differs`. Without one, prompts with the same rare words are similar."""
    # The released code of the paper uses this limit. A prompt that is more similar often is the same question.
    max_cosine: Cosine = 0.9
    """Prompts with a higher cosine similarity are left out, because their gold answers may be right here, too."""


class _Samples(PerturbationSettings):
    """What sources have in common that let a model answer the prompt."""

    needs_checker: ClassVar[bool] = True
    samples: Repeats = 16
    """The number of answers that are drawn for each prompt. Those that are wrong count, equal ones once."""
    temperature: PositiveFloat = 1.0
    """The temperature of the draws."""
    max_new_tokens: Count = 256
    """The most tokens of an answer. An answer that was cut is left out."""


@PERTURBATIONS.add
class OwnSource(_Samples):
    """Wrong answers of the policy itself."""

    uses_policy: ClassVar[bool] = True
    kind: Literal["own"]


@PERTURBATIONS.add
class WeakerSource(_Samples):
    """Wrong answers of a weaker model, or of an earlier checkpoint of the policy."""

    kind: Literal["weaker"]
    short: ClassVar[str] = "model"
    model: Model
    """The weaker model."""

    def models(self, field: str) -> Iterator[WantedModel]:
        """Yield the weaker model. It is used without training."""
        yield WantedModel(f"{field}.model", self.model, as_it_is=True)


@PERTURBATIONS.add
class LlmSource(PerturbationSettings, ChatServerSettings):
    """Worse answers that a language model on an OpenAI-compatible server writes: the gold answer with a mistake."""

    field: ClassVar[str] = "source"
    kind: Literal["llm"]
    prompt: str = (
        "Here are a question and a correct answer to it.\n\n[Question]\n{question}\n\n[Correct answer]\n{gold}\n\n"
        "Write the answer again with one mistake in it: {mistake}. Keep its form, its style and about its length. "
        "Carry the mistake through to the end, so that the final result is wrong. Do not say that there is a mistake. "
        "Reply with the changed answer and nothing else."
    )
    """What the model is asked. It must contain {question} and {gold}, and may contain {mistake}."""
    mistakes: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "something is calculated or concluded wrongly",
        "a number, a name or a fact of the question is misread",
        "a step or a condition is left out",
        "two things are mixed up",
    )
    """What replaces {mistake}. A prompt's worse answers take these in turn, so that they differ."""
    # Above 0, because from the fifth answer on the mistakes come again, and equal answers count once.
    temperature: NotNegative = 1.0
    """The temperature of sampling."""

    @field_validator("prompt")
    @classmethod
    def _shows_both(cls, value: str) -> str:
        for name in ("question", "gold"):
            if f"{{{name}}}" not in value:
                raise ValueError(f"{{{name}}} is not in it; write it where the {name} is to be shown")
        return value
