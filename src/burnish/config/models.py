"""Models, how they are trained, and how they answer."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from burnish.config.base import Count, NotNegative, PositiveFloat, Probability, Settings, number_from_text


class DType(StrEnum):
    """The number format of weights and arithmetic. `auto`: bfloat16 for real models where it is fast, else float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Template(StrEnum):
    """How prompts become text. `auto`: the built-in models' own, the tokenizer's chat template, else the paper's."""

    AUTO = "auto"
    PAPER = "paper"
    CHAT = "chat"
    EMBEDDED = "embedded"


class AdapterUse(StrEnum):
    """What becomes of a model that is an adapter's folder. `merge`: its weights are added to those of its base, and the
    sum is the model that is trained. `continue`: training goes on with the adapter itself."""

    MERGE = "merge"
    CONTINUE = "continue"


class ModelConfig(Settings):
    """A model: where it is, and how it is used."""

    unwritten: ClassVar[frozenset[str]] = frozenset({"end", "adapter"})

    source: str
    """`builtin:NAME`, a directory with a model or a LoRA adapter, a GGUF file or a hub id."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; resolved to a commit before anything runs."""
    layers: Count | None = None
    """Keep the first layers alone: a weaker model from the same weights."""
    template: Template = Template.AUTO
    """How prompts are rendered for this model."""
    chat_template: str | None = None
    """A Jinja chat template in place of the tokenizer's; needs `template: auto` or `chat`."""
    end: str | None = None
    """The token that ends an answer, such as `<end_of_turn>`. If not given, it is the token with which the chat
    template ends a turn, and without a chat template the tokenizer's end-of-sequence token."""
    adapter: AdapterUse = AdapterUse.MERGE
    """How a directory with a LoRA adapter is used: `merge` adds it to its base, `continue` trains it further."""
    dtype: DType = DType.AUTO
    """Number format of weights and arithmetic."""


def _model_from_text(value: object) -> object:
    return {"source": value} if isinstance(value, str) else value


Model: TypeAlias = Annotated[ModelConfig, BeforeValidator(_model_from_text)]


class Models(Settings):
    """The supervisor and the student."""

    weak: Model
    """The supervisor's base model, p~ (section 3)."""
    strong: Model
    """The base model that is finetuned on the supervisor's labels."""


class LoraConfig(Settings):
    """Low-rank adapters on all linear layers (appendix C: r = 64, alpha = 128)."""

    r: Count = 64
    """Rank."""
    alpha: Count = 128
    """Scale: the update is multiplied by alpha / r."""


class Optimizer(StrEnum):
    """Appendix C: Adam, AdaFactor for 70B, RMSprop for DPO."""

    ADAMW = "adamw"
    ADAFACTOR = "adafactor"
    RMSPROP = "rmsprop"


class Schedule(StrEnum):
    """How the learning rate falls after the warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


class TrainSettings(Settings):
    """How a model is finetuned. Each training starts from its base model (Algorithm 1)."""

    epochs: PositiveFloat = 2
    """Passes over the rows (table 1: 2 for GSM8K)."""
    learning_rate: PositiveFloat = 1e-4
    """Highest learning rate (appendix C: 1e-4 for Mistral 7B, 5e-4 for Gemma 2B)."""
    batch_size: Count = 32
    """Rows a step (table 1)."""
    lora: LoraConfig | None = LoraConfig()
    """Adapters; null trains all weights."""
    optimizer: Optimizer = Optimizer.ADAMW
    """Which optimiser."""
    schedule: Schedule = Schedule.COSINE
    """Shape of the learning rate after the warm-up."""
    warmup: Probability = 0.05
    """Share of the steps in which the learning rate rises."""
    max_tokens: Count | None = None
    """Longest row; a longer one is an error, never cut, so that every row supervises its end. None: the model's own."""
    gradient_checkpointing: bool = False
    """Save memory for time."""


class Decoding(Settings):
    """How answers are generated (appendix A.2: 4 beams)."""

    beams: Count = 4
    """Beam width; 1 is greedy, or sampling where the temperature is above 0."""
    max_new_tokens: Count = 256
    """Longest answer in tokens (table 1)."""
    temperature: NotNegative = 0.0
    """0 takes the most likely token; above, sampling seeded for each item."""

    @model_validator(mode="after")
    def _one_way(self) -> Decoding:
        if self.beams > 1 and self.temperature > 0:
            raise ValueError("beams > 1 and temperature > 0 exclude each other; set beams: 1 to sample")
        return self


class Loss(StrEnum):
    """What preference training minimises, a function of the difference d of the two answers' log-ratios to the
    reference. IPO takes d from the means over tokens.
    """

    SIGMOID = "sigmoid"
    IPO = "ipo"
    CDPO = "cdpo"
    RDPO = "rdpo"


class Objective(Settings):
    """The loss of preference training. sigmoid is DPO (Rafailov et al., 2023): -log sigmoid(beta d). ipo (Azar et al.,
    2024): (d - 1 / (2 beta))^2. cdpo (Mitchell, 2023): the sigmoid loss with labels that are flipped with probability
    eps. rdpo (Chowdhury et al., 2024): an unbiased estimate of the sigmoid loss under such flips.
    """

    loss: Loss = Loss.SIGMOID
    """Which one."""
    beta: PositiveFloat = 0.1
    """How strongly the policy is held to the reference (appendix D.3: 0.1)."""
    flip_rate: Annotated[float, BeforeValidator(number_from_text), Field(ge=0, lt=0.5)] = 0.1
    """The share eps of preferences that cdpo and rdpo take to be wrong; the others do not read it."""

    def semantic(self) -> dict[str, JsonValue]:
        """Return what changes results: the flip rate where the loss reads it."""
        fields: dict[str, JsonValue] = {"loss": str(self.loss), "beta": self.beta}
        return fields | ({"flip_rate": self.flip_rate} if self.loss in {Loss.CDPO, Loss.RDPO} else {})
