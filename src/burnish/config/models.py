"""Models, how they are trained, and how they answer."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from burnish.config.base import Count, NotNegative, PositiveFloat, Probability, Settings, number_from_text
from burnish.config.serving import ServeConfig


class DType(StrEnum):
    """The number format of weights and arithmetic. `auto`: bfloat16 for real models where it is fast, else float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Template(StrEnum):
    """How a prompt becomes text. `auto` takes the built-in models' own template, or the tokenizer's chat template, or
    else the paper's template."""

    AUTO = "auto"
    PAPER = "paper"
    CHAT = "chat"
    EMBEDDED = "embedded"


class AdapterUse(StrEnum):
    """How a model is used whose folder holds an adapter. `merge`: its weights are added to those of its base, and the
    sum is the model that is trained. `continue`: training goes on with the adapter itself."""

    MERGE = "merge"
    CONTINUE = "continue"


class ModelConfig(Settings):
    """A model: where it is, and how it is loaded and used."""

    # They came after the first version. At their defaults, models keep the identities that stores recorded for them.
    unwritten: ClassVar[frozenset[str]] = frozenset(
        {"end", "adapter", "merged_dtype", "serve", "quantise", "trained_adapter", "attention"}
    )

    source: str
    """`builtin:NAME`, a directory with a model or a LoRA adapter, a GGUF file or a hub id."""
    revision: str | None = None
    """The branch, tag or commit of a hub id. It is resolved to a commit before anything runs."""
    layers: Count | None = None
    """Keep only this many of the first layers. This makes a weaker model from the same weights."""
    template: Template = Template.AUTO
    """How prompts become text for this model."""
    chat_template: str | None = None
    """A Jinja chat template that replaces the tokenizer's. It needs `template: auto` or `template: chat`."""
    end: str | None = None
    """The token that ends an answer, such as `<end_of_turn>`. If not given, it is the token with which the chat
    template ends a turn, and without a chat template the tokenizer's end-of-sequence token."""
    adapter: AdapterUse = AdapterUse.MERGE
    """How a directory with a LoRA adapter is used: `merge` adds it to its base, `continue` trains it further."""
    dtype: DType = DType.AUTO
    """The number format of weights and arithmetic."""
    merged_dtype: Literal["float32", "bfloat16"] | None = None
    """The number format in which a finetuned adapter is added to its base, to answer and to score with the sum. If not
    given, it is `dtype`. bfloat16 keeps 8 bits of a weight, so that a small change, such as a round of DPO at a low
    learning rate, may be lost; `float32` keeps it, and answers more slowly."""
    trained_adapter: Literal["merge", "attach"] = "merge"
    """How a model that was finetuned with LoRA answers and scores. `merge` adds the adapter to the base. `attach`
    leaves it beside the base, which is then read once for all stages of a process. This saves time with large models.
    The two differ in the last digits."""
    quantise: Literal["nf4"] | None = None
    """`nf4` keeps the linear layers in 4 bits (QLoRA, Dettmers et al., 2023). Adapters alone are trained, and they stay
    beside the base. It needs the extra `qlora`, and is slow on a CPU."""
    attention: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    """How attention is computed, by the names of transformers. If not given, transformers chooses; that is `sdpa` for
    most models. On a CPU, `eager` can be faster with short rows. `flash_attention_2` needs the package flash-attn and a
    GPU. The results differ in the last digits."""
    serve: ServeConfig | None = None
    """The server that answers and scores with this model in the place of transformers. See docs/scale.md."""

    @model_validator(mode="after")
    def _one_way(self) -> ModelConfig:
        if self.quantise is not None and self.source.endswith(".gguf"):
            raise ValueError(
                f"quantise: {self.quantise} and source: {self.source!r} cannot be used together, because a GGUF file "
                "is read as ordinary numbers; give the model's folder or hub id, or leave quantise out"
            )
        if self.merged_dtype is not None and self.attached:
            setting = "quantise: nf4" if self.quantise is not None else "trained_adapter: attach"
            raise ValueError(
                f"merged_dtype: {self.merged_dtype} has no effect with {setting}, which merges nothing; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _can_be_served(self) -> ModelConfig:
        if self.serve is not None and self.adapter is AdapterUse.CONTINUE:
            raise ValueError("adapter: continue cannot be used with serve; leave out one of them")
        if self.serve is not None and self.merged_dtype is not None:
            raise ValueError("merged_dtype: has no effect with serve, which does not merge adapters; leave it out")
        if self.serve is not None and self.attention is not None:
            raise ValueError("attention: has no effect with serve, which reads the model itself; leave one of them out")
        if self.serve is not None and self.attached:
            setting = "quantise" if self.quantise is not None else "trained_adapter"
            raise ValueError(
                f"{setting}: has no effect with serve, which reads the model itself; leave one of them out"
            )
        return self

    @property
    def attached(self) -> bool:
        """Whether finetuned adapters stay beside their base. The sum of both cannot be kept in 4 bits."""
        return self.trained_adapter == "attach" or self.quantise is not None


def _model_from_text(value: object) -> object:
    # The short form of a model in a config: `weak: builtin:tiny` instead of a mapping with `source`.
    return {"source": value} if isinstance(value, str) else value


Model: TypeAlias = Annotated[ModelConfig, BeforeValidator(_model_from_text)]


class Models(Settings):
    """The supervisor and the student."""

    weak: Model | None = None
    """The supervisor's base model, p~ (section 3). It is left out only if the demonstrations come from a file and the
    annotator is not made from ground truth."""
    strong: Model
    """The base model that is finetuned on the supervisor's labels."""


class LoraConfig(Settings):
    """Low-rank adapters on all linear layers (appendix C: r = 64, alpha = 128)."""

    r: Count = 64
    """The rank of the adapters."""
    alpha: Count = 128
    """The scale of the adapters: their update is multiplied by alpha / r."""


class Optimizer(StrEnum):
    """The optimisers. The paper uses Adam, AdaFactor for 70B models, and RMSprop for DPO (appendix C)."""

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
    """The number of passes over the rows (table 1: 2 for GSM8K)."""
    learning_rate: PositiveFloat = 1e-4
    """The highest learning rate (appendix C: 1e-4 for Mistral 7B, 5e-4 for Gemma 2B)."""
    batch_size: Count = 32
    """The number of rows in one optimiser step (table 1)."""
    # The paper trains adapters in all experiments (appendix C).
    lora: LoraConfig | None = LoraConfig()
    """The low-rank adapters that are trained. Write null to train all weights."""
    optimizer: Optimizer = Optimizer.ADAMW
    """The optimiser."""
    schedule: Schedule = Schedule.COSINE
    """How the learning rate falls after the warm-up."""
    # 5 % and cosine are the defaults of the released code; the paper names neither.
    warmup: Probability = 0.05
    """The share of the steps, at the beginning, in which the learning rate rises."""
    max_tokens: Count | None = None
    """The most tokens of a row. A longer row is an error. It is not cut, so that the model learns where every answer
    ends. If not given, the limit is the model's own."""
    gradient_checkpointing: bool = False
    """Use less memory and more time."""

    @property
    def warms_up_to_constant(self) -> bool:
        """Whether the learning rate rises and then stays."""
        return self.schedule is Schedule.CONSTANT and self.warmup > 0

    def semantic(self, exclude: set[str] | None = None) -> dict[str, JsonValue]:
        """Return the settings that change the weights, without those in `exclude`."""
        # Before, a constant schedule had no warm-up. Only the identity of trainings that change now has this mark.
        return self.model_dump(mode="json", exclude=exclude) | ({"warms_up": True} if self.warms_up_to_constant else {})


def check_adapters_are_trained(model: ModelConfig, field: str, train: TrainSettings, trained: str) -> None:
    """Raise ValueError if a model's settings are for adapters, and `train` trains all its weights.

    `field` and `trained` are the fields of the model and of `train`.
    """
    # Training checks most of this, too. Here it is refused before anything is computed.
    if train.lora is not None:
        return
    if model.adapter is AdapterUse.CONTINUE:
        setting, fix = "adapter: continue", f"set {field}.adapter to merge"
    elif model.quantise is not None:
        setting, fix = f"quantise: {model.quantise}", f"leave {field}.quantise out"
    elif model.trained_adapter == "attach":
        setting, fix = "trained_adapter: attach", f"leave {field}.trained_adapter out"
    else:
        return
    raise ValueError(
        f"{field}.{setting} found, and {trained}.lora: null, which trains all weights; {fix}, or leave {trained}.lora "
        "out"
    )


class Decoding(Settings):
    """How answers are generated (appendix A.2: 4 beams)."""

    beams: Count = 4
    """The number of beams. With 1, decoding is greedy, or sampling if the temperature is above 0."""
    max_new_tokens: Count = 256
    """The most tokens of an answer (table 1)."""
    temperature: NotNegative = 0.0
    """With 0 the most likely token is taken. Above 0 the answer is sampled, with a seed of its own for each item."""

    @model_validator(mode="after")
    def _one_way(self) -> Decoding:
        # Beam search looks for the most likely answer. With a temperature the two would contradict each other.
        if self.beams > 1 and self.temperature > 0:
            raise ValueError(
                f"beams: {self.beams} and temperature: {self.temperature:g} cannot be used together; set beams: 1 to "
                "sample, or temperature: 0 to search with beams"
            )
        return self


class Loss(StrEnum):
    """The loss that preference training minimises.

    It is a function of d. A log-ratio is the log-probability of an answer under the policy minus that under the
    reference, and d is the difference of the two answers' log-ratios. IPO takes means over tokens instead of sums.
    """

    SIGMOID = "sigmoid"
    IPO = "ipo"
    CDPO = "cdpo"
    RDPO = "rdpo"


class Objective(Settings):
    """The loss of preference training, with its parameters.

    `sigmoid` is DPO (Rafailov et al., 2023): -log sigmoid(beta d). `ipo` (Azar et al., 2024) is (d - 1 / (2 beta))^2.
    `cdpo` (Mitchell, 2023) is the sigmoid loss for labels that are flipped with probability eps. `rdpo` (Chowdhury et
    al., 2024) is an unbiased estimate of the sigmoid loss under such flips.
    """

    loss: Loss = Loss.SIGMOID
    """The loss."""
    beta: PositiveFloat = 0.1
    """How strongly the policy is kept close to the reference (appendix D.3: 0.1)."""
    # With eps = 0.5 a label says nothing, and rdpo divides by 1 - 2 eps.
    flip_rate: Annotated[float, BeforeValidator(number_from_text), Field(ge=0, lt=0.5)] = 0.1
    """The share eps of preferences that cdpo and rdpo assume to be wrong. The other losses do not use it."""

    def semantic(self) -> dict[str, JsonValue]:
        """Return the settings that change results. The flip rate is one of them only if the loss uses it."""
        # So a change of the flip rate does not train again where the loss does not use it.
        fields: dict[str, JsonValue] = {"loss": str(self.loss), "beta": self.beta}
        return fields | ({"flip_rate": self.flip_rate} if self.loss in {Loss.CDPO, Loss.RDPO} else {})
