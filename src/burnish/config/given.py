"""Who compares two answers where nothing is simulated: a practitioner's annotators (`burnish refine`)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue, field_validator, model_validator

from burnish.config.base import Count, NotNegative, PositiveFloat, Settings
from burnish.config.models import Model

PROMPT = """\
You compare two answers to the same request. Judge by these criteria: {criteria}

[Request]
{question}

[Answer {A}]
{first}

[Answer {B}]
{second}

Which answer is better? Reply with one letter and nothing else: {A} or {B}{tie}."""

EXPLAINED = """\
You compare two answers to the same request. Judge by these criteria: {criteria}

[Request]
{question}

[Answer {A}]
{first}

[Answer {B}]
{second}

First explain briefly how the two answers differ. Then end with a last line that holds only "Verdict:" and one letter: \
{A} or {B}{tie}."""


class Prices(Settings):
    """What a server charges, to estimate and to limit costs."""

    input_per_million: NotNegative
    """For a million tokens that it reads."""
    output_per_million: NotNegative
    """For a million tokens that it writes."""
    currency: str = "USD"
    """In which money."""


class JudgeConfig(Settings):
    """A language model on an OpenAI-compatible server (vLLM, SGLang, llama.cpp, hosted ones), asked in both orders."""

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
    explain: bool = False
    """Let the judge explain before its verdict (the paper's form for win rates); costs more tokens."""
    labels: tuple[str, str] = ("A", "B")
    """What the first and the second answer shown are called; one token each, where log-probabilities are read."""
    tie: str | None = "C"
    """What the judge may reply if both are equally good; null forbids ties."""
    read: Literal["auto", "logprobs", "text"] = "auto"
    """`logprobs`: the verdict is the probability of the labels' tokens; `text`: the reply, parsed strictly; `auto`: the
    first where the server returns log-probabilities, else the second."""
    top_logprobs: Annotated[int, Field(ge=2, le=20)] = 20
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
    """Seconds to wait for a reply (does not change results)."""
    retries: Annotated[int, Field(ge=0)] = 5
    """How often a failed request is sent again, later and later (does not change results)."""

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://, such as http://localhost:8000/v1")
        if "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("must hold no name or password: addresses go into reports; use api_key_env")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _names_differ(self) -> JudgeConfig:
        names = [*self.labels, *([self.tie] if self.tie else [])]
        if len(set(names)) != len(names) or not all(name.strip() == name and name for name in names):
            raise ValueError(f"labels and tie: {names} found; write different ones without space around them")
        if fixed := sorted({"messages", "model", "n", "stream"} & self.extra.keys()):
            raise ValueError(f"extra: {fixed[0]} is not for it to set; remove it")
        missing = [field for field in ("question", "first", "second") if f"{{{field}}}" not in self.template]
        if missing:
            raise ValueError(f"prompt: {{{missing[0]}}} is not in it; it is where the {missing[0]} is shown")
        return self

    def semantic(self) -> dict[str, JsonValue]:
        """Return what changes verdicts: not how fast they come, what they cost, or where the key is."""
        apart = {"api_key_env", "prices", "concurrency", "timeout", "retries"}
        return {**self.model_dump(mode="json", exclude=apart), "prompt": self.template}

    @property
    def template(self) -> str:
        """The prompt with its placeholders."""
        return self.prompt or (EXPLAINED if self.explain else PROMPT)


class GivenClassifierConfig(Settings):
    """A trained two-way head: which of two answers is better. Asked in both orders."""

    kind: Literal["classifier"]
    model: Model
    """A folder or hub id of a sequence classifier with two labels, or a classifier that burnish trained."""


class RewardModelConfig(Settings):
    """A reward model in TRL's form: a scalar for prompt and answer; p_b = sigmoid(r_b - r_a), free of order."""

    kind: Literal["reward_model"]
    model: Model
    """A folder or hub id of a sequence classifier with one label."""


class GivenLikelihoodConfig(Settings):
    """Which answer a language model, as it is, finds more likely; free of order."""

    kind: Literal["likelihood"]
    model: Model
    """A folder, GGUF file or hub id of a causal language model."""
    per_token: bool = True
    """Compare means over an answer's tokens; sums prefer the shorter answer."""


class CommandConfig(Settings):
    """A program that reads pairs as JSON lines on stdin and writes verdicts on stdout. Asked in both orders."""

    kind: Literal["command"]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments, without a shell. It reads {id, prompt, first, second} and writes {id, verdict}
    with first, second, tie or abstain, or {id, p_second} in [0, 1]."""


class PeopleConfig(Settings):
    """People, through files: `burnish annotate export` and `import`. Each pair is shown in one blinded order."""

    kind: Literal["people"]


class ColumnConfig(Settings):
    """A column with the right answer decides: the upper bound, where there is one."""

    kind: Literal["oracle"]
    column: str
    """The column that holds a right answer."""


class OwnConfig(Settings):
    """A function or an object that was passed to `burnish.refine` in Python; no file can name one."""

    kind: Literal["own"]
    name: str
    """Of the function or class."""


OneAnnotator: TypeAlias = Annotated[
    JudgeConfig
    | GivenClassifierConfig
    | RewardModelConfig
    | GivenLikelihoodConfig
    | CommandConfig
    | PeopleConfig
    | ColumnConfig,
    Field(discriminator="kind"),
]


class MajorityConfig(Settings):
    """Several annotators vote; one that abstains has no vote. P(b is better) is the share of votes for b, a tie being
    half a vote."""

    kind: Literal["majority"]
    of: Annotated[tuple[OneAnnotator, ...], Field(min_length=2)]
    """Who votes."""


GivenAnnotator: TypeAlias = Annotated[
    JudgeConfig
    | GivenClassifierConfig
    | RewardModelConfig
    | GivenLikelihoodConfig
    | CommandConfig
    | PeopleConfig
    | ColumnConfig
    | MajorityConfig
    | OwnConfig,
    Field(discriminator="kind"),
]
