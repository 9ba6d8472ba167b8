"""Who compares two answers: one settings class for each kind of annotator, for refinements and experiments alike.

What others have to know of a kind stands on its class: whether it has a model or a server, whether it reads
references.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import Field, JsonValue, ValidationInfo, field_validator, model_validator

from burnish.config.base import (
    ON_RECORD,
    Count,
    NotNegative,
    PositiveFloat,
    Probability,
    Repeats,
    Retries,
    Settings,
    expanded,
)
from burnish.config.kinds import Kinds, OneOf
from burnish.config.models import Decoding, Model, ModelConfig, TrainSettings
from burnish.types import Head

_PROMPTS = Path(__file__).parent / "prompts"
"""The prompts that judges are given if a config names no other."""
BUILTIN = "builtin:"
READER = 2
"""The version of the rules by which replies become verdicts; a new one judges again, from the replies that are kept.
1 took the first token that looked like a label, wherever it stood and whatever its probability."""
Learns: TypeAlias = Literal["auto", "ground_truth", "nothing"]
"""What a local model learns before it judges."""


class WantedModel(NamedTuple):
    """A local model that a config names: in which field, and what it ends in as it lies there.

    `as_it_is`: an annotator uses it without training it, so that it may be a folder that burnish trained.
    """

    field: str
    model: ModelConfig
    head: Head = Head.NONE
    as_it_is: bool = False


class AnnotatorSettings(Settings):
    """Base of all annotators: somebody or something that says which of two answers is better."""

    kind: Any  # (each class narrows it to its one name)
    short: ClassVar[str | None] = None
    """The field that the short form `KIND:VALUE` fills, "" where `KIND` alone is enough; None without a short form."""
    reads_references: ClassVar[bool] = False
    """Whether it sees right answers."""
    self_tested: ClassVar[bool] = True
    """Whether planted pairs test it. People's time is dear, and an oracle knows only the right answers."""
    experiments: ClassVar[bool] = True
    """Whether an experiment can use it."""
    refines: ClassVar[bool] = True
    """Whether `burnish refine` can use it."""
    votes: ClassVar[bool] = True
    """Whether it may be one of several that vote, or judge some of the rows."""
    audits: ClassVar[bool] = False
    """Whether it may audit accepted changes: it makes other mistakes than the annotator that accepted them."""
    compares_references: ClassVar[bool] = False
    """Whether it may compare held-out answers with their references (`judge` of an experiment)."""
    is_server: ClassVar[bool] = False
    """Whether a server is asked, which costs calls and money."""
    asks_people: ClassVar[bool] = False
    """Whether the run waits for people."""
    head: ClassVar[Head | None] = None
    """What its model ends in where it is used as it is; None for an annotator without a local model."""

    @classmethod
    def from_short(cls, value: str) -> dict[str, Any]:
        """Return the fields that the VALUE of a short form fills. Raises ValueError for one that cannot be read."""
        return {cls.short: value} if cls.short else {}

    @property
    def members(self) -> tuple[AnnotatorSettings, ...]:
        """The single annotators that are asked: itself, or those that vote."""
        return (self,)

    @property
    def base_model(self) -> ModelConfig | None:
        """The local model that it names, None where it names none."""
        return None

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Say whether it is made from ground truth. `simulated`: this is an experiment, which has some."""
        return False

    def models(self, field: str, simulated: bool) -> Iterator[WantedModel]:
        """Yield the local models that have to be found; `field` is where a config holds these settings."""
        if self.base_model is not None:
            learns = self.needs_ground_truth(simulated)
            head = Head.NONE if learns or self.head is None else self.head
            yield WantedModel(f"{field}.model", self.base_model, head, as_it_is=not learns)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings in an experiment (`simulated`) or in a refinement, None if nothing."""
        if self.needs_ground_truth(simulated) and not simulated:
            return f"kind {self.kind}: it is made from ground truth, which only experiments (`burnish run`) have"
        return None

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> AnnotatorSettings:
        """Return the settings with each local model replaced by what `find` returns for it."""
        return self if self.base_model is None else self.model_copy(update={"model": find(self.base_model)})

    def words(self) -> str:
        """Say in a few words who judges, for reports."""
        return self.kind.replace("_", " ")


ANNOTATORS = Kinds("annotator", AnnotatorSettings)
OneAnnotator: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda one: one.votes)]
"""An annotator that can be one of several."""


@ANNOTATORS.add
class ClassifierConfig(AnnotatorSettings):
    """A two-way head that says which of two answers is better. It is asked in both orders.

    In an experiment it is q~: it learns from gold against answers of p~'s checkpoints (appendix B). In a refinement it
    is a trained classifier, used as it is.
    """

    short: ClassVar[str | None] = "model"
    compares_references: ClassVar[bool] = True
    head: ClassVar[Head | None] = Head.CLASSIFIER
    unwritten: ClassVar[frozenset[str]] = frozenset({"learns"})
    kind: Literal["classifier"]
    model: Model | None = None
    """A folder or hub id of a sequence classifier with two labels, or a classifier that burnish trained. Where it
    learns from ground truth: the base model of the head, the weak model if not given."""
    train: TrainSettings | None = None
    """How the head is trained; as the weak model if not given."""
    checkpoints: Repeats = 10
    """Evenly spaced checkpoints of p~ whose answers are the worse side of a pair."""
    pairs: Literal["checkpoints", "balanced"] = "checkpoints"
    """`balanced`, for the instructions task: the worse sides come from two p~, one trained on safe instructions and
    one on unsafe ones, so that refusals and acceptances are there for every prompt (appendix B)."""
    decode: Decoding = Decoding(beams=1, temperature=0.6)
    """How the checkpoints answer (released code: sampled at 0.6)."""
    learns: Learns = "auto"
    """`ground_truth`: the head is trained on ground truth (experiments only). `nothing`: the model is used as it is.
    `auto`: ground truth in an experiment, nothing in a refinement."""

    @property
    def base_model(self) -> ModelConfig | None:
        """The base of the head, or the trained classifier."""
        return self.model

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Say whether the head is still to be trained."""
        return self.learns == "ground_truth" or (self.learns == "auto" and simulated)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        if self.needs_ground_truth(simulated):
            return super().problem(simulated)
        return _used_as_it_is(self, ("train", "checkpoints", "pairs", "decode"))

    def words(self) -> str:
        """Say who judges."""
        if self.learns == "nothing":
            return "classifier: a trained two-way head"
        words = "classifier q̃: a two-way head trained on gold against checkpoint answers"
        return words + (" of two supervisors, one of safe and one of unsafe instructions" * (self.pairs == "balanced"))


@ANNOTATORS.add
class RewardModelConfig(AnnotatorSettings):
    """A reward model in TRL's form: a scalar r for prompt and answer. P(b is better) = sigmoid(r_b - r_a), whatever the
    order."""

    short: ClassVar[str | None] = "model"
    compares_references: ClassVar[bool] = True
    head: ClassVar[Head | None] = Head.REWARD
    kind: Literal["reward_model"]
    model: Model
    """A folder or hub id of a sequence classifier with one label."""

    @property
    def base_model(self) -> ModelConfig | None:
        """The reward model."""
        return self.model


@ANNOTATORS.add
class LikelihoodConfig(AnnotatorSettings):
    """The answer that a language model finds more likely, whatever the order.

    In an experiment the model is first finetuned on the ground-truth half. In a refinement it is used as it is.
    """

    short: ClassVar[str | None] = "model"
    compares_references: ClassVar[bool] = True
    head: ClassVar[Head | None] = Head.NONE
    unwritten: ClassVar[frozenset[str]] = frozenset({"learns", "per_token"})
    kind: Literal["likelihood"]
    model: Model
    """A folder, GGUF file or hub id of a causal language model; the stronger it is, the better its comparisons."""
    train: TrainSettings | None = None
    """How the judge is finetuned; as the weak model if not given."""
    per_token: bool | None = None
    """Compare means over an answer's tokens; sums prefer the shorter answer. If not given: means where the model is
    used as it is, sums where it learns from ground truth."""
    learns: Learns = "auto"
    """`ground_truth`: the model is finetuned on ground truth (experiments only). `nothing`: it is used as it is.
    `auto`: ground truth in an experiment, nothing in a refinement."""

    @property
    def base_model(self) -> ModelConfig | None:
        """The model that judges, or the base that is finetuned first."""
        return self.model

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Say whether the model is still to be finetuned."""
        return self.learns == "ground_truth" or (self.learns == "auto" and simulated)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        if self.needs_ground_truth(simulated):
            return super().problem(simulated)
        return _used_as_it_is(self, ("train",))

    def words(self) -> str:
        """Say who judges."""
        if self.learns == "nothing":
            return "likelihood: the answer that a language model finds more likely"
        return "likelihood: the answer that a weak model, finetuned on ground truth, finds more likely"


def _used_as_it_is(settings: AnnotatorSettings, unread: Sequence[str]) -> str | None:
    """Say what is wrong with an annotator whose model learns nothing; `unread`: the fields that say how it learns."""
    if settings.base_model is None:
        return "model: none is given; name the model that judges"
    for name in unread:
        value = getattr(settings, name)
        if value != type(settings).model_fields[name].default:
            return f"{name}: {value!r} is not read, since the model is used as it is; remove it"
    return None


@ANNOTATORS.add
class CommandConfig(AnnotatorSettings):
    """A program that reads pairs as JSON lines on stdin and writes verdicts on stdout. It is asked in both orders."""

    short: ClassVar[str | None] = "command"
    audits: ClassVar[bool] = True
    compares_references: ClassVar[bool] = True
    kind: Literal["command"]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments, without a shell. It reads {id, prompt, first, second} and writes {id, verdict}
    with first, second, tie or abstain, or {id, p_second} in [0, 1]."""

    @classmethod
    def from_short(cls, value: str) -> dict[str, Any]:
        """Return the command, split into words as a shell does it. Raises ValueError for a quote that is not closed."""
        return {"command": shlex.split(value)}

    def words(self) -> str:
        """Say who judges."""
        return "a program"


@ANNOTATORS.add
class PeopleConfig(AnnotatorSettings):
    """People, through files: `burnish annotate export` and `import`. Each pair is shown in one blinded order."""

    short: ClassVar[str | None] = ""
    self_tested: ClassVar[bool] = False
    audits: ClassVar[bool] = True
    asks_people: ClassVar[bool] = True
    kind: Literal["people"]


@ANNOTATORS.add
class OracleConfig(AnnotatorSettings):
    """Right answers decide: the upper bound. Both right or both wrong is a tie.

    An experiment knows its right answers. A refinement needs a column that has them.
    """

    short: ClassVar[str | None] = "column"
    reads_references: ClassVar[bool] = True
    self_tested: ClassVar[bool] = False
    audits: ClassVar[bool] = True
    unwritten: ClassVar[frozenset[str]] = frozenset({"column"})
    kind: Literal["oracle"]
    column: str | None = None
    """The column that holds a right answer; not for experiments."""

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        if simulated and self.column is not None:
            return f"column: {self.column!r} found, but the task of an experiment has its own references; remove it"
        if not simulated and self.column is None:
            return "column: none is given; name the column that holds right answers"
        return None

    def words(self) -> str:
        """Say who judges."""
        return "oracle: ground truth compares both answers"


@ANNOTATORS.add
class MixedConfig(AnnotatorSettings):
    """A stated share of the rows is judged by ground truth, the rest by another annotator (experiments only)."""

    refines: ClassVar[bool] = False
    votes: ClassVar[bool] = False
    reads_references: ClassVar[bool] = True
    kind: Literal["mixed"]
    oracle_share: Probability = 0.5
    """Share of the examples that the oracle judges; the cap is filled within each source by its share."""
    other: OneAnnotator
    """Who judges the rest."""

    @property
    def members(self) -> tuple[AnnotatorSettings, ...]:
        """The annotator of the rest; ground truth is no annotator that has to be found."""
        return (self.other,)

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Ground truth judges its share of the rows."""
        return True

    def models(self, field: str, simulated: bool) -> Iterator[WantedModel]:
        """Yield the other annotator's models."""
        yield from self.other.models(f"{field}.other", simulated)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        inner = self.other.problem(simulated)
        return super().problem(simulated) or (f"other.{inner}" if inner else None)

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> AnnotatorSettings:
        """Return the settings with the other annotator's models replaced."""
        return self.model_copy(update={"other": self.other.with_models(find)})

    def words(self) -> str:
        """Say who judges."""
        return f"mixed: ground truth for {self.oracle_share:.0%} of the rows; for the rest {self.other.words()}"


@ANNOTATORS.add
class MajorityConfig(AnnotatorSettings):
    """Several annotators vote; one that abstains has no vote. P(b is better) is the share of votes for b, a tie being
    half a vote."""

    votes: ClassVar[bool] = False
    kind: Literal["majority"]
    of: Annotated[tuple[OneAnnotator, ...], Field(min_length=2)]
    """Who votes."""

    @property
    def members(self) -> tuple[AnnotatorSettings, ...]:
        """Those that vote."""
        return self.of

    def models(self, field: str, simulated: bool) -> Iterator[WantedModel]:
        """Yield the voters' models."""
        for place, one in enumerate(self.of):
            yield from one.models(f"{field}.of.{place}", simulated)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        problems = ((place, one.problem(simulated)) for place, one in enumerate(self.of))
        return next((f"of.{place}.{problem}" for place, problem in problems if problem), None)

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> AnnotatorSettings:
        """Return the settings with the voters' models replaced."""
        return self.model_copy(update={"of": tuple(one.with_models(find) for one in self.of)})

    def words(self) -> str:
        """Say who judges."""
        return "a vote of " + "; ".join(one.words() for one in self.of)


@ANNOTATORS.add
class OwnConfig(AnnotatorSettings):
    """A function or an object that was passed to `burnish.refine` in Python; no file can name one."""

    experiments: ClassVar[bool] = False
    votes: ClassVar[bool] = False
    kind: Literal["own"]
    name: str
    """Of the function or class."""


def checked_address(value: str) -> str:
    """Return a server's address without a slash at its end; raises ValueError for one that is none or holds a key."""
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://, such as http://localhost:8000/v1")
    if "@" in value.partition("://")[2].partition("/")[0]:
        raise ValueError("must hold no name or password: addresses go into reports; use api_key_env")
    return value.rstrip("/")


class Prices(Settings):
    """What a server charges, to estimate and to limit costs."""

    input_per_million: NotNegative
    """For a million tokens that it reads."""
    output_per_million: NotNegative
    """For a million tokens that it writes."""
    currency: str = "USD"
    """In which money."""


@ANNOTATORS.add
class JudgeConfig(AnnotatorSettings):
    """A language model on an OpenAI-compatible server (vLLM, SGLang, llama.cpp, a hosted one). It is asked in both
    orders."""

    compares_references: ClassVar[bool] = True
    is_server: ClassVar[bool] = True

    field: ClassVar[str] = "annotator"
    """Where a config holds it, for errors."""
    limits: ClassVar[tuple[str, str]] = ("--max-calls", "--max-cost")
    """What limits its calls and its cost, for errors."""
    kind: Literal["judge"]
    base_url: str
    """The server's address up to `/v1`, such as http://localhost:8000/v1."""
    model: str
    """The model's name on the server."""
    api_key_env: str | None = "OPENAI_API_KEY"
    """The environment variable that holds the key; the key itself stands in no file. null: the server wants none."""
    criteria: str = "The better answer is correct, complete, and does what the request asks; length alone is no merit."
    """What makes an answer better; stands in the prompt at {criteria}."""
    prompt: str | None = None
    """The question to the judge, with {question}, {first} and {second}, and if wanted {criteria}, {A}, {B} and
    {tie}; a default if not given."""
    prompt_file: str | None = None
    """The same in a text file; `builtin:NAME` is one of those that come along: pair, pair_explained, two_choice,
    two_choice_explained."""
    explain: bool = False
    """Let the judge explain before its verdict (the paper's form for win rates); costs more tokens."""
    labels: tuple[str, str] = ("A", "B")
    """What the first and the second answer shown are called; one token each, where log-probabilities are read."""
    tie: str | None = "C"
    """What the judge may reply if both are equally good; null forbids ties."""
    read: Literal["auto", "logprobs", "text"] = "auto"
    """`logprobs`: the verdict is the probability of the labels' tokens; `text`: the label that the reply names; `auto`:
    the first where the server returns log-probabilities, else the second."""
    min_mass: Probability = 0.25
    """The least probability of all labels together, where log-probabilities are read; with less the judge abstains. A
    model of 135 million parameters that is asked for a letter gives them 0.27 to 0.60."""
    top_logprobs: Annotated[int, Field(ge=2, le=20, strict=True)] = 20
    """How many tokens' log-probabilities to ask for."""
    max_tokens: Count | None = None
    """Longest reply; 8 tokens if not given, 512 where the judge explains."""
    extra: dict[str, JsonValue] = Field(default={})
    """More fields of the request, such as {chat_template_kwargs: {enable_thinking: false}}; null leaves a field out, as
    in {max_tokens: null, max_completion_tokens: 2000}."""
    prices: Prices | None = None
    """What the server charges."""
    concurrency: Count = 8
    """Requests under way at once (does not change results)."""
    timeout: PositiveFloat = 60.0
    """Seconds that a call may take from its first byte to its last (does not change results)."""
    retries: Retries = 5
    """How often a failed request is sent again, later and later (does not change results)."""

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return checked_address(value)

    @model_validator(mode="after")
    def _names_differ(self, info: ValidationInfo) -> JudgeConfig:
        names = [*self.labels, *([self.tie] if self.tie else [])]
        if len(set(names)) != len(names) or not all(name.strip() == name and name for name in names):
            raise ValueError(f"labels and tie: {names} found; write different ones without space around them")
        if fixed := sorted({"messages", "model", "n", "stream"} & self.extra.keys()):
            raise ValueError(f"extra: {fixed[0]} is not for it to set; remove it")
        if self.prompt is not None and self.prompt_file is not None:
            raise ValueError("prompt and prompt_file: both are given; give one")
        if info.context == ON_RECORD:  # the prompt's file may be gone
            return self
        missing = [field for field in ("question", "first", "second") if f"{{{field}}}" not in self.template]
        if missing:
            field = "prompt_file" if self.prompt_file else "prompt"
            raise ValueError(f"{field}: {{{missing[0]}}} is not in it; it is where the {missing[0]} is shown")
        return self

    def semantic(self) -> dict[str, JsonValue]:
        """Return the settings that change verdicts. How fast they come, what they cost and where the key is do not."""
        apart = {"api_key_env", "prices", "concurrency", "timeout", "retries", "prompt_file"}
        if self.read == "text":
            apart.add("min_mass")
        return {**self.model_dump(mode="json", exclude=apart), "prompt": self.template, "reader": READER}

    @property
    def template(self) -> str:
        """The prompt with its placeholders."""
        if self.prompt is not None:
            return self.prompt
        return _prompt_text(self.prompt_file or self._usual_prompt())

    def _usual_prompt(self) -> str:
        return f"{BUILTIN}pair_explained" if self.explain else f"{BUILTIN}pair"

    def words(self) -> str:
        """Say who judges."""
        return f"a judge: the model {self.model} on a server, asked in both orders"


class ReferenceJudgeConfig(JudgeConfig):
    """A judge of win rates: two choices and no tie, asked in both orders, in AlpacaEval's manner (appendix A.2)."""

    field: ClassVar[str] = "judge"
    limits: ClassVar[tuple[str, str]] = ("execution.max_calls", "execution.max_cost")
    criteria: str = (
        "The better answer follows the request, is correct and helpful, and refuses where following would do harm."
    )
    """What makes an answer better; stands in the prompt at {criteria}."""
    tie: str | None = None
    """What the judge may reply if both are equally good; null forbids ties."""

    def words(self) -> str:
        """Say who judges."""
        return f"the model {self.model} on a server, asked in both orders"

    def _usual_prompt(self) -> str:
        return f"{BUILTIN}two_choice_explained" if self.explain else f"{BUILTIN}two_choice"


def _prompt_text(name: str) -> str:
    """Read a prompt. Raises ValueError naming the field where there is none."""
    if name.startswith(BUILTIN):
        path = _PROMPTS / f"{name.removeprefix(BUILTIN)}.txt"
        there = ", ".join(sorted(f"{BUILTIN}{one.stem}" for one in _PROMPTS.glob("*.txt")))
        if not path.is_file():
            raise ValueError(f"prompt_file: {name!r} does not come along; choose {there}, or give a text file")
    else:
        path = Path(expanded(name, "prompt_file"))
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"prompt_file: {name!r} cannot be read ({error}); give a UTF-8 text file") from None


Annotator: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda one: one.refines)]
"""Who compares in a refinement."""
Supervisor: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda one: one.experiments)]
"""Who compares in an experiment."""
Auditor: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda one: one.audits)]
"""Who judges accepted changes again."""
ReferenceJudge: TypeAlias = Annotated[
    AnnotatorSettings,
    OneOf(ANNOTATORS, where=lambda one: one.compares_references, instead={"judge": ReferenceJudgeConfig}),
]
"""Who compares held-out answers with their references."""


def check_fits(annotator: AnnotatorSettings, field: str, simulated: bool) -> None:
    """Raise ValueError naming the field where the settings do not fit an experiment (`simulated`) or a refinement."""
    if problem := annotator.problem(simulated):
        raise ValueError(f"{field}.{problem}")
