"""The settings of annotators: one settings class for each kind, both for refinements and for experiments.

The class of each kind says what other code needs to know about that kind, for instance whether it has a model or a
server, and whether it reads references.
"""

from __future__ import annotations

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
    program_words,
)
from burnish.config.kinds import Kinds, OneOf
from burnish.config.models import Decoding, Model, ModelConfig, TrainSettings
from burnish.types import Head

_PROMPTS = Path(__file__).parent / "prompts"
"""The folder of the prompts that come with burnish. A judge uses one of them if its config gives no prompt."""
BUILTIN = "builtin:"
READER = 2
"""The version of the rules that turn replies into verdicts. With a new version, verdicts are read again from the
replies that were kept. Version 1 took the first token that looked like a label, at any place and of any probability."""
Learns: TypeAlias = Literal["auto", "ground_truth", "nothing"]
"""What a local model learns before it judges."""


class WantedModel(NamedTuple):
    """A local model that a config names. `field` is the config field, and `head` is the head with which it is stored.

    `as_it_is`: an annotator uses the model without training it. The model may then be a folder that burnish trained.
    """

    field: str
    model: ModelConfig
    head: Head = Head.NONE
    as_it_is: bool = False


class AnnotatorSettings(Settings):
    """The base class of all annotators. An annotator is a person, program or model that says which of two answers is
    better."""

    kind: Any  # (each class narrows it to its one name)
    short: ClassVar[str | None] = None
    """The field that the short form `KIND:VALUE` fills. "" means that `KIND` alone is enough, and None that there is no
    short form."""
    reads_references: ClassVar[bool] = False
    """Whether the annotator sees right answers."""
    self_tested: ClassVar[bool] = True
    """Whether the annotator is tested with planted pairs. People are not tested, because their time is expensive. An
    oracle is not tested, because it knows only the right answers."""
    experiments: ClassVar[bool] = True
    """Whether an experiment can use the annotator."""
    refines: ClassVar[bool] = True
    """Whether `burnish refine` can use the annotator."""
    votes: ClassVar[bool] = True
    """Whether the annotator may be one of several that vote, or may judge a share of the rows."""
    audits: ClassVar[bool] = False
    """Whether the annotator may audit accepted changes. It must make other mistakes than the annotator that accepted
    them."""
    compares_references: ClassVar[bool] = False
    """Whether the annotator may compare held-out answers with their references (`judge` of an experiment)."""
    is_server: ClassVar[bool] = False
    """Whether a server is asked, which costs calls and money."""
    asks_people: ClassVar[bool] = False
    """Whether the run waits for people."""
    head: ClassVar[Head | None] = None
    """The head of the annotator's model if the model is used without training. None if there is no local model."""

    @classmethod
    def from_short(cls, value: str) -> dict[str, Any]:
        """Return the fields that the VALUE of a short form fills. Raises ValueError if it cannot be read."""
        return {cls.short: value} if cls.short else {}

    @property
    def members(self) -> tuple[AnnotatorSettings, ...]:
        """The single annotators that are asked: this one, or those that vote."""
        return (self,)

    @property
    def base_model(self) -> ModelConfig | None:
        """The local model that these settings name, or None if they name none."""
        return None

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Say whether the annotator is made from ground truth. `simulated` means an experiment, which has ground
        truth."""
        return False

    def models(self, field: str, simulated: bool) -> Iterator[WantedModel]:
        """Yield the local models that must be found. `field` is the config field that holds these settings."""
        if self.base_model is not None:
            # A model that is still to be trained is a plain base model: the training adds the head.
            learns = self.needs_ground_truth(simulated)
            head = Head.NONE if learns or self.head is None else self.head
            yield WantedModel(f"{field}.model", self.base_model, head, as_it_is=not learns)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings in an experiment (`simulated`) or in a refinement. Return None if
        nothing is wrong."""
        if self.needs_ground_truth(simulated) and not simulated:
            return f"kind {self.kind}: it is made from ground truth, which only experiments (`burnish run`) have"
        return None

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> AnnotatorSettings:
        """Return the settings with each local model replaced by what `find` returns for it."""
        return self if self.base_model is None else self.model_copy(update={"model": find(self.base_model)})

    def referee_words(self) -> str:
        """Say who compares answers with references, for reports. A large language model is what the paper uses."""
        model = self.base_model
        source = f" ({model.source})" if model is not None else ""
        return f"a local {self.kind.replace('_', ' ')}{source}: a substitute for a large language model as judge"

    def words(self, model_name: Callable[[ModelConfig], str] | None = None) -> str:
        """Say in a few words who judges, for reports. `model_name` says how a model is called; without it no model is
        named."""
        model = self.base_model
        named = f" (model {model_name(model)})" if model is not None and model_name is not None else ""
        return self._who() + named

    def _who(self) -> str:
        return self.kind.replace("_", " ")


ANNOTATORS = Kinds("annotator", AnnotatorSettings)
OneAnnotator: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda settings: settings.votes)]
"""An annotator that can be one of several."""


@ANNOTATORS.add
class ClassifierConfig(AnnotatorSettings):
    """A model with a two-way head that says which of two answers is better. It judges each pair in both orders.

    In an experiment it is q~. It learns to prefer gold answers to the answers of p~'s checkpoints (appendix B). In a
    refinement it is a trained classifier, which is used without further training.
    """

    short: ClassVar[str | None] = "model"
    compares_references: ClassVar[bool] = True
    head: ClassVar[Head | None] = Head.CLASSIFIER
    unwritten: ClassVar[frozenset[str]] = frozenset({"learns"})
    kind: Literal["classifier"]
    model: Model | None = None
    """A folder or hub id of a sequence classifier with two labels, or a classifier that burnish trained. If the head
    learns from ground truth, this is its base model, and the weak model if not given."""
    train: TrainSettings | None = None
    """How the head is trained. If not given, in the same way as the weak model."""
    checkpoints: Repeats = 10
    """The number of evenly spaced checkpoints of p~ whose answers are the worse side of a pair."""
    pairs: Literal["checkpoints", "balanced"] = "checkpoints"
    """Where the worse sides come from. `checkpoints`: from the checkpoints of one p~. `balanced`, for the instructions
    task: from two p~, one trained on safe instructions and one on unsafe ones, so that every prompt has both refusals
    and acceptances (appendix B)."""
    decode: Decoding = Decoding(beams=1, temperature=0.6)
    """How the checkpoints answer (released code: sampled at 0.6)."""
    learns: Learns = "auto"
    """`ground_truth`: the head is trained on ground truth (experiments only). `nothing`: the model is used without
    training. `auto`: ground truth in an experiment, nothing in a refinement."""

    @property
    def base_model(self) -> ModelConfig | None:
        """The base model of the head, or the trained classifier."""
        return self.model

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Say whether the head must still be trained."""
        return self.learns == "ground_truth" or (self.learns == "auto" and simulated)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        if self.needs_ground_truth(simulated):
            return super().problem(simulated)
        return _used_as_it_is(self, ("train", "checkpoints", "pairs", "decode"))

    def _who(self) -> str:
        if self.learns == "nothing":
            return "classifier: a trained two-way head"
        words = "classifier q̃: a two-way head trained on gold against checkpoint answers"
        return words + (" of two supervisors, one of safe and one of unsafe instructions" * (self.pairs == "balanced"))


@ANNOTATORS.add
class RewardModelConfig(AnnotatorSettings):
    """A reward model in TRL's form. It gives a number r for a prompt and an answer, and P(b is better) =
    sigmoid(r_b - r_a). The order of the two answers does not matter."""

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
    """A language model prefers the answer that it finds more likely. The order of the two answers does not matter.

    In an experiment the model is first finetuned on the ground-truth half. In a refinement it is used without training.
    """

    short: ClassVar[str | None] = "model"
    compares_references: ClassVar[bool] = True
    head: ClassVar[Head | None] = Head.NONE
    unwritten: ClassVar[frozenset[str]] = frozenset({"learns", "per_token"})
    kind: Literal["likelihood"]
    model: Model
    """A folder, GGUF file or hub id of a causal language model. A stronger model compares better."""
    train: TrainSettings | None = None
    """How the judge is finetuned. If not given, in the same way as the weak model."""
    per_token: bool | None = None
    """true compares the mean log-probability of an answer's tokens, false compares the sum. Sums prefer the shorter
    answer. If not given: means if the model is used without training, sums if it learns from ground truth."""
    learns: Learns = "auto"
    """`ground_truth`: the model is finetuned on ground truth (experiments only). `nothing`: it is used without
    training. `auto`: ground truth in an experiment, nothing in a refinement."""

    @property
    def base_model(self) -> ModelConfig | None:
        """The model that judges, or the base model that is finetuned first."""
        return self.model

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Say whether the model must still be finetuned."""
        return self.learns == "ground_truth" or (self.learns == "auto" and simulated)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        if self.needs_ground_truth(simulated):
            return super().problem(simulated)
        return _used_as_it_is(self, ("train",))

    def _who(self) -> str:
        if self.learns == "nothing":
            return "likelihood: the answer that a language model finds more likely"
        return "likelihood: the answer that a weak model, finetuned on ground truth, finds more likely"


def _used_as_it_is(settings: AnnotatorSettings, unread: Sequence[str]) -> str | None:
    """Say what is wrong with an annotator whose model learns nothing. `unread` names the fields that say how to
    learn."""
    if settings.base_model is None:
        return "model: none is given; name the model that judges"
    # A setting without effect is refused, so that nobody believes that the model was trained with it.
    for name in unread:
        value = getattr(settings, name)
        if value != type(settings).model_fields[name].default:
            return f"{name}: {value!r} is not read, because the model is used without training; remove it"
    return None


@ANNOTATORS.add
class CommandConfig(AnnotatorSettings):
    """A program that reads pairs as JSON lines on stdin and writes verdicts on stdout. It judges each pair in both
    orders."""

    short: ClassVar[str | None] = "command"
    audits: ClassVar[bool] = True
    compares_references: ClassVar[bool] = True
    unwritten: ClassVar[frozenset[str]] = frozenset({"timeout"})
    kind: Literal["command"]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments. They are not run in a shell. The program reads {id, prompt, first, second} and
    writes {id, verdict}, where the verdict is first, second, tie or abstain, or {id, p_second}, where p_second is a
    number from 0 to 1."""
    timeout: PositiveFloat = 600.0
    """The program is ended if it gives no new answer for this many seconds (does not change results)."""

    @classmethod
    def from_short(cls, value: str) -> dict[str, Any]:
        """Return the command, split into words as a shell does. Raises ValueError if a quote is not closed."""
        return {"command": program_words(value)}

    def referee_words(self) -> str:
        """Say who compares answers with references."""
        return "a program: a substitute for a language model as judge"

    def _who(self) -> str:
        return "a program"


@ANNOTATORS.add
class PeopleConfig(AnnotatorSettings):
    """People judge through files: see `burnish annotate export` and `burnish annotate import`. Each pair is shown in
    one order, and people do not see which answer is the proposal."""

    short: ClassVar[str | None] = ""
    self_tested: ClassVar[bool] = False
    audits: ClassVar[bool] = True
    asks_people: ClassVar[bool] = True
    kind: Literal["people"]


@ANNOTATORS.add
class OracleConfig(AnnotatorSettings):
    """The right answers decide, which gives an upper bound. If both answers are right or both are wrong, it is a tie.

    An experiment knows its right answers. A refinement needs a column that holds them.
    """

    short: ClassVar[str | None] = "column"
    reads_references: ClassVar[bool] = True
    self_tested: ClassVar[bool] = False
    audits: ClassVar[bool] = True
    unwritten: ClassVar[frozenset[str]] = frozenset({"column"})
    kind: Literal["oracle"]
    column: str | None = None
    """The column that holds the right answer. It is needed in a refinement and not allowed in an experiment."""

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        if simulated and self.column is not None:
            return f"column: {self.column!r} found, but the task of an experiment has its own right answers; remove it"
        if not simulated and self.column is None:
            return "column: none is given; name the column that holds right answers"
        return None

    def _who(self) -> str:
        return "oracle: ground truth compares both answers"


@ANNOTATORS.add
class MixedConfig(AnnotatorSettings):
    """Ground truth judges a share of the rows, and another annotator judges the rest (experiments only)."""

    refines: ClassVar[bool] = False
    votes: ClassVar[bool] = False
    reads_references: ClassVar[bool] = True
    kind: Literal["mixed"]
    oracle_share: Probability = 0.5
    """The share of the examples that the oracle judges. The cap alpha is divided between the two sources by their
    shares."""
    other: OneAnnotator
    """The annotator that judges the rest."""

    @property
    def members(self) -> tuple[AnnotatorSettings, ...]:
        """The annotator of the rest. Ground truth is not listed, because it needs no model and no server."""
        return (self.other,)

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Return True: ground truth judges its share of the rows."""
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

    def words(self, model_name: Callable[[ModelConfig], str] | None = None) -> str:
        """Say who judges."""
        share = f"{100 * self.oracle_share:.1f}\N{NO-BREAK SPACE}%"
        return f"mixed: ground truth for {share} of the rows; for the rest {self.other.words(model_name)}"


@ANNOTATORS.add
class MajorityConfig(AnnotatorSettings):
    """Several annotators vote. One that abstains has no vote. P(b is better) is the share of the votes for b, and a tie
    counts as half a vote."""

    votes: ClassVar[bool] = False
    kind: Literal["majority"]
    of: Annotated[tuple[OneAnnotator, ...], Field(min_length=2)]
    """The annotators that vote."""

    @property
    def members(self) -> tuple[AnnotatorSettings, ...]:
        """The annotators that vote."""
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

    def words(self, model_name: Callable[[ModelConfig], str] | None = None) -> str:
        """Say who judges."""
        return "a vote of " + "; ".join(one.words(model_name) for one in self.of)


@ANNOTATORS.add
class OwnConfig(AnnotatorSettings):
    """A function or an object that was passed to `burnish.refine` in Python. A config file cannot name one."""

    experiments: ClassVar[bool] = False
    votes: ClassVar[bool] = False
    kind: Literal["own"]
    name: str
    """The name of the function or class."""


def checked_address(value: str) -> str:
    """Return a server's address without a slash at its end.

    Raises ValueError if the text is not an address, or if the address contains a name or password.
    """
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://, such as http://localhost:8000/v1")
    # A name or password would stand before an @ in the host part, as in https://name:password@host/v1.
    if "@" in value.partition("://")[2].partition("/")[0]:
        raise ValueError("must hold no name or password, because reports show the address; use api_key_env")
    return value.rstrip("/")


class Prices(Settings):
    """The prices of a server. They are used to estimate costs and to limit them."""

    input_per_million: NotNegative
    """The price of a million tokens that the server reads."""
    output_per_million: NotNegative
    """The price of a million tokens that the server writes."""
    currency: str = "USD"
    """The currency of both prices."""


@ANNOTATORS.add
class JudgeConfig(AnnotatorSettings):
    """A language model on an OpenAI-compatible server (vLLM, SGLang, llama.cpp or a hosted service). It judges each
    pair in both orders."""

    compares_references: ClassVar[bool] = True
    is_server: ClassVar[bool] = True

    field: ClassVar[str] = "annotator"
    """The config field that holds these settings. Errors name it."""
    limits: ClassVar[tuple[str, str]] = ("--max-calls", "--max-cost")
    """The options that limit the number of calls and the cost. Errors name them."""
    kind: Literal["judge"]
    base_url: str
    """The server's address up to `/v1`, such as http://localhost:8000/v1."""
    model: str
    """The model's name on the server."""
    api_key_env: str | None = "OPENAI_API_KEY"
    """The environment variable that holds the API key. The key itself is not written to any file. Write null if the
    server needs no key."""
    criteria: str = "The better answer is correct, complete, and does what the request asks; length alone is no merit."
    """What makes an answer better. This text replaces {criteria} in the prompt."""
    prompt: str | None = None
    """The question to the judge. It must contain {question}, {first} and {second}. It may contain {criteria}, {A}, {B}
    and {tie}. If not given, a prompt that comes with burnish is used."""
    prompt_file: str | None = None
    """A text file with the prompt. `builtin:NAME` is a prompt that comes with burnish: pair, pair_explained, two_choice
    or two_choice_explained."""
    explain: bool = False
    """Let the judge explain before its verdict (the paper's form for win rates). This costs more tokens."""
    labels: tuple[str, str] = ("A", "B")
    """The names of the answer that is shown first and of the one that is shown second. If log-probabilities are read,
    each name must be a single token."""
    tie: str | None = "C"
    """What the judge may reply if both answers are equally good. null forbids ties."""
    read: Literal["auto", "logprobs", "text"] = "auto"
    """How a verdict is read. `logprobs`: from the probabilities of the labels' tokens. `text`: from the label that the
    reply names. `auto`: `logprobs` if the server returns log-probabilities, else `text`."""
    min_mass: Probability = 0.25
    """The smallest probability that all labels together must have if log-probabilities are read. With less, the judge
    abstains. A model of 135 million parameters that is asked for a letter gives the labels 0.27 to 0.60."""
    # 20 is the most that OpenAI's API allows.
    top_logprobs: Annotated[int, Field(ge=2, le=20, strict=True)] = 20
    """For how many of the most likely tokens the log-probabilities are requested."""
    max_tokens: Count | None = None
    """The most tokens of a reply. If not given: 8, or 512 if the judge explains."""
    extra: dict[str, JsonValue] = Field(default={})
    """More fields of the request, such as {chat_template_kwargs: {enable_thinking: false}}. null leaves a field out, as
    in {max_tokens: null, max_completion_tokens: 2000}."""
    prices: Prices | None = None
    """The prices of the server."""
    concurrency: Count = 8
    """How many requests may be under way at the same time (does not change results)."""
    timeout: PositiveFloat = 60.0
    """The most seconds that a call may take, from its first byte to its last (does not change results)."""
    retries: Retries = 5
    """How often a failed request is sent again. The wait before each retry grows (does not change results)."""

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return checked_address(value)

    @model_validator(mode="after")
    def _names_differ(self, info: ValidationInfo) -> JudgeConfig:
        names = [*self.labels, *([self.tie] if self.tie else [])]
        # Replies are stripped before they are compared with labels, so a label with space around it would never match.
        if len(set(names)) != len(names) or not all(name.strip() == name and name for name in names):
            raise ValueError(f"labels and tie: {names} found; write different ones without space around them")
        # `model` and `messages` come from other settings; `n` and `stream` would change the form of the reply.
        if fixed := sorted({"messages", "model", "n", "stream"} & self.extra.keys()):
            raise ValueError(f"extra: {fixed[0]} cannot be set here; remove it")
        if self.prompt is not None and self.prompt_file is not None:
            raise ValueError("prompt and prompt_file: both are given; give one")
        if info.context == ON_RECORD:  # the prompt file of a finished run may be gone
            return self
        missing = [field for field in ("question", "first", "second") if f"{{{field}}}" not in self.template]
        if missing:
            field = "prompt_file" if self.prompt_file else "prompt"
            raise ValueError(f"{field}: {{{missing[0]}}} is not in it; write it where the {missing[0]} is to be shown")
        return self

    def semantic(self) -> dict[str, JsonValue]:
        """Return the settings that change verdicts, for the judge's identity.

        Speed, prices and the place of the key are left out. The prompt counts by its text, whatever file it came from.
        """
        left_out = {"api_key_env", "prices", "concurrency", "timeout", "retries", "prompt_file"}
        if self.read == "text":  # min_mass is a limit on log-probabilities, which are then not read
            left_out.add("min_mass")
        return {**self.model_dump(mode="json", exclude=left_out), "prompt": self.template, "reader": READER}

    @property
    def template(self) -> str:
        """The prompt with its placeholders. Raises ValueError if the prompt file cannot be read."""
        if self.prompt is not None:
            return self.prompt
        return _prompt_text(self.prompt_file or self._usual_prompt())

    def _usual_prompt(self) -> str:
        return f"{BUILTIN}pair_explained" if self.explain else f"{BUILTIN}pair"

    def _who(self) -> str:
        return f"a judge: the model {self.model} on a server, asked in both orders"


class ReferenceJudgeConfig(JudgeConfig):
    """A judge of win rates, in AlpacaEval's manner: two choices and no tie (appendix A.2). It judges each pair in both
    orders."""

    field: ClassVar[str] = "judge"
    limits: ClassVar[tuple[str, str]] = ("execution.max_calls", "execution.max_cost")
    criteria: str = (
        "The better answer follows the request, is correct and helpful, and refuses where following would do harm."
    )
    """What makes an answer better. This text replaces {criteria} in the prompt."""
    tie: str | None = None
    """What the judge may reply if both answers are equally good. null forbids ties."""

    def referee_words(self) -> str:
        """Say who compares answers with references."""
        return f"the model {self.model} on a server, asked in both orders"

    def _usual_prompt(self) -> str:
        return f"{BUILTIN}two_choice_explained" if self.explain else f"{BUILTIN}two_choice"


def _prompt_text(name: str) -> str:
    """Read a prompt. Raises ValueError, which names the field, if it cannot be read."""
    if name.startswith(BUILTIN):
        path = _PROMPTS / f"{name.removeprefix(BUILTIN)}.txt"
        known = ", ".join(sorted(f"{BUILTIN}{file.stem}" for file in _PROMPTS.glob("*.txt")))
        if not path.is_file():
            raise ValueError(f"prompt_file: no prompt {name!r} comes with burnish; choose {known}, or give a text file")
    else:
        path = Path(expanded(name, "prompt_file"))
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"prompt_file: {name!r} cannot be read ({error}); give a UTF-8 text file") from None


Annotator: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda settings: settings.refines)]
"""An annotator of a refinement."""
Supervisor: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda settings: settings.experiments)]
"""An annotator of an experiment."""
Auditor: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda settings: settings.audits)]
"""An annotator that judges accepted changes again."""
ReferenceJudge: TypeAlias = Annotated[
    AnnotatorSettings,
    OneOf(ANNOTATORS, where=lambda settings: settings.compares_references, instead={"judge": ReferenceJudgeConfig}),
]
"""An annotator that compares held-out answers with their references."""


def check_fits(annotator: AnnotatorSettings, field: str, simulated: bool) -> None:
    """Raise ValueError, which names the field, if the settings do not fit an experiment (`simulated`) or a
    refinement."""
    if problem := annotator.problem(simulated):
        raise ValueError(f"{field}.{problem}")
