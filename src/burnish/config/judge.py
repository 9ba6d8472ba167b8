"""A language model on a server as a judge: of comparisons, and of answers against their references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, JsonValue, ValidationInfo, field_validator, model_validator

from burnish.config.addresses import checked_address
from burnish.config.annotators import ANNOTATORS, AnnotatorSettings
from burnish.config.base import (
    ON_RECORD,
    Count,
    NotNegative,
    PositiveFloat,
    Probability,
    Retries,
    Settings,
    expanded,
)
from burnish.config.kinds import OneOf

READER = 2
"""The version of the rules that turn replies into verdicts. With a new version, verdicts are read again from the
replies that were kept. Version 1 took the first token that looked like a label, at any place and of any probability."""
_PROMPTS = Path(__file__).parent / "prompts"
"""The folder of the prompts that come with burnish. A judge uses one of them if its config gives no prompt."""
BUILTIN = "builtin:"


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
            raise ValueError(f"prompt and prompt_file ({self.prompt_file!r}): both are given; give one")
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
        # The address of the server stays in: the same name of a model may stand for other weights on another server.
        left_out = {"api_key_env", "prices", "concurrency", "timeout", "retries", "prompt_file"}
        if self.read == "text":  # min_mass is a limit on log-probabilities, which are then not read
            left_out.add("min_mass")
        return {**self.model_dump(mode="json", exclude=left_out), "prompt": self.template, "reader": READER}

    @property
    def template(self) -> str:
        """The prompt with its placeholders. Raises ValueError if the prompt file cannot be read."""
        if self.prompt is not None:
            return self.prompt
        # The file is read each time, so that the identity of the judge changes when the text of the file does.
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


ReferenceJudge: TypeAlias = Annotated[
    AnnotatorSettings,
    # In this field, `kind: judge` means the class with the criteria and without the tie of win rates.
    OneOf(ANNOTATORS, where=lambda settings: settings.compares_references, instead={"judge": ReferenceJudgeConfig}),
]
"""An annotator that compares held-out answers with their references."""
