"""What a user can set. What changes results (semantic) is apart from what does not (`execution`).

Defaults come from the paper (arXiv 2501.07886) and cite it. Every model is frozen and refuses unknown keys.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from burnish.errors import ConfigError


class Settings(BaseModel):
    """Base of all settings: frozen, strict about names, with the docstrings of fields as their description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _number_from_text(value: object) -> object:
    """PyYAML reads `5e-4` as a string (its float needs a dot): read it as the number that was meant."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


Float: TypeAlias = Annotated[float, BeforeValidator(_number_from_text)]
PositiveFloat: TypeAlias = Annotated[float, BeforeValidator(_number_from_text), Field(gt=0)]
Share: TypeAlias = Annotated[float, BeforeValidator(_number_from_text), Field(gt=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def expanded(source: str, field: str) -> str:
    """Return a source with `${NAME}` replaced from the environment and `~` by the home folder.

    Configs and results keep the unexpanded text, so that they name no folder of one machine. Raises ConfigError
    naming `field` where a variable is not set.
    """
    for name in re.findall(r"\$\{(\w+)\}", source):
        if not os.environ.get(name):
            raise ConfigError(f"{field}: {source!r} names the environment variable {name}, which is not set; set it")
        source = source.replace(f"${{{name}}}", os.environ[name])
    return os.path.expanduser(source)  # pathlib's raises for an unknown user


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


class ModelConfig(Settings):
    """A model: where it is, and what is cut off before use."""

    source: str
    """`builtin:NAME`, a directory, a GGUF file or a hub id."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; resolved to a commit before anything runs."""
    layers: Count | None = None
    """Keep the first layers alone: a weaker model from the same weights."""
    template: Template = Template.AUTO
    """How prompts are rendered for this model."""
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


class SumsTask(Settings):
    """Generated word problems, for the embedded experiment."""

    kind: Literal["sums"]
    train: Count = 3000
    """Training rows; half of them become the supervisor's ground truth (appendix B)."""
    test: Count = 500
    """Held-out test prompts."""
    world: int = 0
    """Which world: the seed of the generated rows, the same for all seeds of an experiment."""


class Gsm8kTask(Settings):
    """Grade-school mathematics (appendix A.1)."""

    kind: Literal["gsm8k"]
    source: str = "openai/gsm8k"
    """A hub id, or a folder with `train.jsonl` and `test.jsonl` (also .gz)."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    train: Count | None = None
    """Training rows to use, the first ones by hash of the id; all if not given."""
    test: Count | None = None
    """Test rows to use, chosen in the same way."""


class WordProblemsTask(Settings):
    """Easier word problems in the form of MAWPS (one file with `split`) or SVAMP."""

    kind: Literal["word_problems"]
    source: str
    """A JSONL file (also .gz)."""
    train: Count | None = None
    """Training rows to use, the first ones by hash of the id; all if not given."""
    test: Count | None = None
    """Test rows to use, chosen in the same way."""


TaskConfig: TypeAlias = Annotated[SumsTask | Gsm8kTask | WordProblemsTask, Field(discriminator="kind")]


class LoraConfig(Settings):
    """Low-rank adapters on all linear layers (appendix C: r = 64, alpha = 128)."""

    r: Count = 64
    """Rank."""
    alpha: Count = 128
    """Scale: the update is multiplied by alpha / r."""


class Optimizer(StrEnum):
    """Appendix C: Adam, AdaFactor for 70B."""

    ADAMW = "adamw"
    ADAFACTOR = "adafactor"


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
    warmup: Annotated[float, BeforeValidator(_number_from_text), Field(ge=0, le=1)] = 0.05
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
    temperature: Annotated[float, BeforeValidator(_number_from_text), Field(ge=0)] = 0.0
    """0 takes the most likely token; above, sampling seeded for each item."""

    @model_validator(mode="after")
    def _one_way(self) -> Decoding:
        if self.beams > 1 and self.temperature > 0:
            raise ValueError("beams > 1 and temperature > 0 exclude each other; set beams: 1 to sample")
        return self


class ClassifierConfig(Settings):
    """q~: a two-way head trained on gold against checkpoint answers (appendix B)."""

    kind: Literal["classifier"]
    model: Model | None = None
    """Base model of the head; the weak model if not given."""
    train: TrainSettings | None = None
    """How the head is trained; as the weak model if not given."""
    checkpoints: Count = 10
    """Evenly spaced checkpoints of p~ whose answers are the worse side of a pair."""
    decode: Decoding = Decoding(beams=1, temperature=0.6)
    """How the checkpoints answer (released code: sampled at 0.6)."""


class LikelihoodConfig(Settings):
    """The difference of the two answers' log-likelihoods under a weak model finetuned on the ground-truth half."""

    kind: Literal["likelihood"]
    model: Model
    """Base model of the judge; the stronger it is, the better its comparisons."""
    train: TrainSettings | None = None
    """How the judge is finetuned; as the weak model if not given."""


class OracleConfig(Settings):
    """Ground truth compares both answers; both right or both wrong is a tie."""

    kind: Literal["oracle"]


class MixedConfig(Settings):
    """A stated share of the rows is judged by ground truth, the rest by another annotator."""

    kind: Literal["mixed"]
    oracle_share: Annotated[float, BeforeValidator(_number_from_text), Field(ge=0, le=1)] = 0.5
    """Share of the examples that the oracle judges; the cap is filled within each source by its share."""
    other: Annotated[ClassifierConfig | LikelihoodConfig, Field(discriminator="kind")]
    """Who judges the rest."""


AnnotatorConfig: TypeAlias = Annotated[
    ClassifierConfig | LikelihoodConfig | OracleConfig | MixedConfig, Field(discriminator="kind")
]


class Supervision(Settings):
    """Where labels and comparisons come from."""

    demonstrations: Literal["weak", "gold"] = "weak"
    """`weak`: p~ answers half U after it was finetuned on half G; `gold`: the references of half U."""
    annotator: AnnotatorConfig
    """Who compares two answers."""
    train: TrainSettings | None = None
    """How p~ is finetuned; as the strong model if not given."""


class SftMethod(Settings):
    """One finetuning on the demonstrations as they are."""

    kind: Literal["sft"]
    name: Name = "sft"
    """How the method is called in results."""
    demonstrations: Literal["given", "gold"] = "given"
    """`gold` trains on the references of the same rows: the ceiling."""


class NaiveMethod(Settings):
    """Replace a random share alpha by proposals, without feedback (appendix E.2)."""

    kind: Literal["naive"]
    name: Name = "naive"
    """How the method is called in results."""
    rounds: Count = 4
    """Rounds K."""
    alpha: Share = 0.15
    """Share of the rows replaced in each round."""


class IlrMethod(Settings):
    """Iterative label refinement (Algorithm 1)."""

    kind: Literal["ilr"]
    name: Name = "ilr"
    """How the method is called in results."""
    rounds: Count = 4
    """Rounds K."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round (section 5.1)."""


MethodConfig: TypeAlias = Annotated[SftMethod | NaiveMethod | IlrMethod, Field(discriminator="kind")]


class Execution(Settings):
    """What changes how fast an experiment runs, and nothing that it finds."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where models run."""
    batch_tokens: Count | Literal["auto"] = "auto"
    """Padded tokens in one batch of generation or scoring."""
    micro_batch: Count | Literal["auto"] = "auto"
    """Rows in one forward pass of training; gradients add up to batch_size."""
    threads: Count | Literal["auto"] = "auto"
    """CPU threads of one process; auto shares the cores out over the workers."""
    workers: Count = 1
    """Processes; each runs some of the seeds."""


class Config(Settings):
    """An experiment."""

    name: Name
    """Names the results' folder."""
    task: TaskConfig
    """What is learned."""
    models: Models
    """Who teaches and who learns."""
    supervision: Supervision
    """How bad the teaching is."""
    train: TrainSettings = TrainSettings()
    """How the strong model is finetuned, each time from its base."""
    decode: Decoding = Decoding()
    """How test answers, labels and proposals are generated."""
    methods: Annotated[tuple[MethodConfig, ...], Field(min_length=1)]
    """What is compared."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    """Each seed is a run of its own: halves, training order, samples."""
    execution: Execution = Execution()
    """Speed alone."""

    @model_validator(mode="after")
    def _names_differ(self) -> Config:
        names = [method.name for method in self.methods]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"methods: the name {name!r} is there twice; give one of them another `name`")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} holds a repeated seed; remove it")
        return self
