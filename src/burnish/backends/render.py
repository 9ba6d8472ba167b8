"""Turns messages into token ids. Training, scoring and generation share this code, so that they all see the same."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from burnish.config import Template
from burnish.errors import ConfigError, DataError, brief
from burnish.models.chat import ChatTemplate, Flaw, Turn, turns_of
from burnish.types import Message, PairRow, Prompt, Role, TrainingRow, is_whole

# The paper gives its template in appendix A.1. The wording of the comparator's question is our own (appendix B).
PAPER_TURNS = {Role.SYSTEM: "SYSTEM:\n{}\n\n", Role.USER: "USER:\n{}\n\n", Role.ASSISTANT: "ASSISTANT:{}\n\n"}
PAPER_PAIR = (
    "Two answers to a question follow.\n\nQUESTION:\n{question}\n\nANSWER (A):\n{first}\n\nANSWER (B):\n{second}\n\n"
    "Should answer (A) be changed for answer (B)?"
)
EMBEDDED_PAIR = "{question} solution : {first} other solution : {second} right is"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A row as token ids. The first `prompt_length` of them are the prompt, on which there is no loss."""

    ids: list[int]
    prompt_length: int

    @property
    def labels(self) -> list[int]:
        """The targets of the loss: -100 (no loss) for each token of the prompt, then the completion and its end."""
        return [-100] * self.prompt_length + self.ids[self.prompt_length :]


class Renderer:
    """Turns messages into token ids with one tokenizer and one template.

    `end` is the token that ends an answer. If it is None, the tokenizer's end-of-sequence token ends an answer. `owner`
    is the model's source, for messages. Raises ConfigError if `end` is not one token of the tokenizer.
    """

    def __init__(self, tokenizer: Any, template: Template, end: str | None = None, owner: str = "") -> None:
        self.tokenizer = tokenizer
        self.template = self._resolved(template)
        self.owner = owner
        self.eos: int = tokenizer.eos_token_id
        self.end: int = self.eos if end is None else self._id_of(end)
        # Some tokenizers have a BOS token but do not put it before a text (SmolLM2's, for example). So a trial text
        # shows what the tokenizer does.
        with_special = tokenizer("x", add_special_tokens=True)["input_ids"]
        self.adds_bos = bool(with_special) and with_special[0] == tokenizer.bos_token_id

    def _resolved(self, template: Template) -> Template:
        if template is Template.AUTO:
            return Template.CHAT if self.tokenizer.chat_template else Template.PAPER
        return template

    def _id_of(self, end: str) -> int:
        ids = self._ids(end)
        # A text of several tokens cannot end an answer, because generation compares single tokens. The token for
        # unknown words would end an answer at every unknown word.
        if len(ids) != 1 or ids[0] == self.tokenizer.unk_token_id:
            raise ConfigError(
                f"model {self.owner!r}: end: {end!r} is {len(ids)} tokens of its tokenizer; name one token that it "
                f"has, such as {self.tokenizer.eos_token!r}"
            )
        return int(ids[0])

    @property
    def ends(self) -> list[int]:
        """The tokens that stop an answer: the end that was learned, then the tokenizer's end-of-sequence token."""
        # A model may still write the tokenizer's token, although it learned another end. So both stop an answer.
        return list(dict.fromkeys([self.end, self.eos]))

    @property
    def end_text(self) -> str:
        """The token that ends an answer, as text."""
        return str(self.tokenizer.decode([self.end]))

    @functools.cached_property
    def chat(self) -> ChatTemplate:
        """The chat template. Raises ConfigError if the tokenizer has none."""
        text = self.tokenizer.chat_template
        if isinstance(text, dict):  # a tokenizer may have several templates, each with a name
            text = text.get("default")
        if not text:
            raise ConfigError(
                f"model {self.owner!r}: template: chat found, but its tokenizer has no chat template of its own; give "
                "a file with one (--template FILE), or set the template to paper"
            )
        return ChatTemplate(text, self.tokenizer.special_tokens_map, self.owner)

    def chat_text(self, turns: Sequence[Turn], ask: bool, row: str) -> str:
        """Return a conversation as text. If `ask` is true, the text ends where the answer begins.

        Raises DataError with the row's id if the chat template refuses the row, and ConfigError if the template itself
        is wrong or missing.
        """
        text = self.chat.render(turns, ask)
        if isinstance(text, Flaw):
            raise DataError(f"row {row}: {text.refusal(self.owner)}")
        return text

    def prompt(self, messages: Sequence[Message], row: str = "") -> list[int]:
        """Return the token ids before the answer. Raises DataError with the id `row` if a template refuses the row."""
        text = self._prompt_text(messages, row)
        # A chat template writes its BOS itself, so there would be two of them.
        return self._with_bos(text) if self.template is Template.PAPER else self._ids(text)

    def prompt_text(self, messages: Sequence[Message], row: str = "") -> str:
        """Return what comes before the answer as text, with the token at its beginning if there is one.

        Raises as `prompt` does.
        """
        text = self._prompt_text(messages, row)
        return self.tokenizer.bos_token + text if self.template is Template.PAPER and self.adds_bos else text

    def _prompt_text(self, messages: Sequence[Message], row: str) -> str:
        match self.template:
            case Template.CHAT:
                return self.chat_text(turns_of(messages), True, row)
            case Template.EMBEDDED:
                return f"task : {' '.join(message.content for message in messages)} answer :"
            case Template.PAPER | Template.AUTO:
                turns = "".join(PAPER_TURNS[message.role].format(message.content) for message in messages)
                return f"{turns}ASSISTANT:"

    def row(self, row: TrainingRow, max_tokens: int) -> Tokens:
        """Return the token ids of prompt, completion and end.

        Raises DataError with the row's id if it has more than `max_tokens`, because its end would not be learned.
        """
        prompt = self.prompt(row.prompt, row.id)
        # Prompt and answer are encoded separately, because in generation the answer does not exist yet. If they were
        # encoded together, the last character of the prompt and the first one of the answer could become one token.
        ids = [*prompt, *self._ids(row.completion), self.end]
        if len(ids) > max_tokens:
            raise DataError(
                f"row {row.id}: {len(ids)} tokens, but at most {max_tokens} fit, so its end would not be learned; "
                "shorten or remove the row, or raise train.max_tokens"
            )
        return Tokens(ids, len(prompt))

    def answer_length(self, answer: str) -> int:
        """Return how many tokens a model writes for an answer. The token that ends the answer counts."""
        return len(self._ids(answer)) + 1

    def pair(self, row: PairRow, max_tokens: int) -> list[int]:
        """Return the token ids that a comparator sees for two answers.

        Raises DataError with the pair's id if there are more than `max_tokens`.
        """
        ids = self._pair(row)
        if len(ids) > max_tokens:
            raise DataError(
                f"pair {row.id}: {len(ids)} tokens, but at most {max_tokens} fit; lower decode.max_new_tokens"
            )
        return ids

    def _pair(self, row: PairRow) -> list[int]:
        question = "\n".join(message.content for message in row.prompt)
        if self.template is Template.EMBEDDED:
            return self._ids(EMBEDDED_PAIR.format(question=question, first=row.first, second=row.second))
        return self._with_bos(PAPER_PAIR.format(question=question, first=row.first, second=row.second))

    def judged(self, row: TrainingRow, max_tokens: int) -> list[int]:
        """Return the token ids that a reward model sees.

        With a chat template it is the whole conversation, as in TRL's training of reward models. Otherwise it is the
        same as `row`. Raises DataError with the row's id if there are more than `max_tokens`.
        """
        if self.template is not Template.CHAT:
            return self.row(row, max_tokens).ids
        ids = self._ids(self.chat_text(turns_of(row.prompt, row.completion), False, row.id))
        if len(ids) > max_tokens:
            raise DataError(f"row {row.id}: {len(ids)} tokens, but at most {max_tokens} fit; shorten or remove the row")
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """Return the text that a model wrote, without special tokens and without white space around it."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def _ids(self, text: str) -> list[int]:
        """Return the ids of a text. Raises DataError for half a character, which a template may write as `\\ud800`."""
        if not is_whole(text):
            raise DataError(
                f"{brief(text)}: a row as the template writes it holds half a character (a lone surrogate); "
                "write the whole character in the template (--template, or the tokenizer's own)"
            )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _with_bos(self, text: str) -> list[int]:
        return [self.tokenizer.bos_token_id, *self._ids(text)] if self.adds_bos else self._ids(text)


def check_fits(prompts: Sequence[Prompt], ids: Sequence[Sequence[int]], new: int, limit: int) -> None:
    """Raise DataError with the row's id if a prompt and `new` tokens are more than `limit`."""
    for prompt, row in zip(prompts, ids, strict=True):
        if len(row) + new > limit:
            raise DataError(
                f"row {prompt.id}: a prompt of {len(row)} tokens and {new} new ones, but at most {limit} fit; shorten "
                "or remove the row, or lower decode.max_new_tokens (--max-new-tokens)"
            )
