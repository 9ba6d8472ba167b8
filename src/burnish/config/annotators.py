"""Who compares two answers where nothing is simulated: a practitioner's annotators (`burnish refine`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, JsonValue, field_validator, model_validator

from burnish.config.base import Count, NotNegative, PositiveFloat, Settings, expanded
from burnish.config.models import Model

_PROMPTS = Path(__file__).parent / "prompts"
"""The prompts that judges are given if a config names no other."""
BUILTIN = "builtin:"


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


class JudgeConfig(Settings):
    """A language model on an OpenAI-compatible server (vLLM, SGLang, llama.cpp, hosted ones), asked in both orders."""

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
        return checked_address(value)

    @model_validator(mode="after")
    def _names_differ(self) -> JudgeConfig:
        names = [*self.labels, *([self.tie] if self.tie else [])]
        if len(set(names)) != len(names) or not all(name.strip() == name and name for name in names):
            raise ValueError(f"labels and tie: {names} found; write different ones without space around them")
        if fixed := sorted({"messages", "model", "n", "stream"} & self.extra.keys()):
            raise ValueError(f"extra: {fixed[0]} is not for it to set; remove it")
        if self.prompt is not None and self.prompt_file is not None:
            raise ValueError("prompt and prompt_file: both are given; give one")
        missing = [field for field in ("question", "first", "second") if f"{{{field}}}" not in self.template]
        if missing:
            field = "prompt_file" if self.prompt_file else "prompt"
            raise ValueError(f"{field}: {{{missing[0]}}} is not in it; it is where the {missing[0]} is shown")
        return self

    def semantic(self) -> dict[str, JsonValue]:
        """Return what changes verdicts: not how fast they come, what they cost, or where the key is."""
        apart = {"api_key_env", "prices", "concurrency", "timeout", "retries", "prompt_file"}
        return {**self.model_dump(mode="json", exclude=apart), "prompt": self.template}

    @property
    def template(self) -> str:
        """The prompt with its placeholders."""
        if self.prompt is not None:
            return self.prompt
        return _prompt_text(self.prompt_file or self._usual_prompt())

    def _usual_prompt(self) -> str:
        return f"{BUILTIN}pair_explained" if self.explain else f"{BUILTIN}pair"


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


ReferenceJudge: TypeAlias = Annotated[
    ReferenceJudgeConfig | GivenClassifierConfig | RewardModelConfig | GivenLikelihoodConfig | CommandConfig,
    Field(discriminator="kind"),
]
"""Who compares held-out answers with their references."""
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
