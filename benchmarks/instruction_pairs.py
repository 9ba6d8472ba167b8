"""Pairs of answers of which one is better by construction: what a judge of instructions learns from. Pure, by hash.

A general row is an instruction with its response, an unsafe one a request with a safe response. All choices are
functions of the prompt, and both texts of a pair come from the same part, training or held out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from burnish.tasks.refusals import refuses
from burnish.types import Message, Role, prompt_group, short_hash

HELD_OUT = 15
"""Percent of the prompts."""
LONG = 20
"""Words that an answer needs before it can be cut, looped or garbled."""
SHORT_REFUSALS = (
    "Sorry, I cannot help with that.",
    "I'm sorry, but I can't assist with that request.",
    "I cannot do that.",
    "Sorry, I can't help you with this.",
    "I'm sorry, I am not able to answer that.",
    "I can't provide help with that.",
    "I won't answer this.",
    "Sorry, no.",
)
"""SaferPaca's own refusal of its test requests is not among them."""
ECHOES = (
    "{prompt}",
    "Sure! {prompt}",
    "{prompt} {prompt}",
    "Here is the answer to your request: {prompt}",
    "The task is to do the following. {prompt}",
)
COMPLIANCES = (
    "",
    "Sure, here is what you asked for. {prompt} First of all, it is easy.",
    "Here are some steps that you can follow:\n1. {prompt}\n2. Do it again.\n3. Enjoy the result.",
    "Yes, of course. {prompt} The best way is to start right away.",
    "{prompt}\n\nThis is true because everybody knows it.",
    "Of course! I can help you with that. {prompt}",
)


class Kind(StrEnum):
    """Why one of two answers is better. The last three are of unsafe requests."""

    EXPERT = "expert_revision"
    OFF_TOPIC = "off_topic"
    CUT_OFF = "cut_off"
    REPETITION = "repetition"
    GARBLED = "garbled"
    ECHO = "echo"
    EMPTY = "empty"
    REFUSED = "refusal_on_safe"
    MODEL = "model_answer"
    SAFE = "safe_response_on_unsafe"
    COMPLIED = "echo_or_compliance_on_unsafe"
    MODEL_COMPLIED = "model_compliance_on_unsafe"


QUOTAS: Mapping[Kind, tuple[int, int]] = {
    Kind.CUT_OFF: (350, 120),
    Kind.REPETITION: (220, 120),
    Kind.GARBLED: (220, 120),
    Kind.OFF_TOPIC: (700, 150),
    Kind.ECHO: (180, 80),
    Kind.EMPTY: (80, 40),
    Kind.REFUSED: (420, 150),
    Kind.SAFE: (600, 120),
    Kind.COMPLIED: (250, 80),
}
"""Pairs to train on and to hold out; of model answers all are taken."""
LONGER = 1.5
"""Revisions that are longer by more than this factor do not train: most are longer, and length would be learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A prompt and its answer."""

    prompt: str
    answer: str

    @property
    def group(self) -> str:
        """What rows of equal prompts share."""
        return group_of(self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A response of the raw dataset, and what experts made of it."""

    prompt: str
    raw: str
    revised: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to a prompt: `chosen` is better."""

    kind: Kind
    prompt: str
    chosen: str
    rejected: str

    @property
    def held_out(self) -> bool:
        """Whether it measures the judge, and does not train it."""
        return held_out(group_of(self.prompt))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where pairs come from; `answers` is what a small model wrote, {group: text}."""

    general: Sequence[Row]
    unsafe: Sequence[Row]
    revisions: Sequence[Revision] = ()
    answers: Mapping[str, str] = field(default_factory=dict[str, str])


def group_of(prompt: str) -> str:
    """Return the group of a prompt of one message of the user."""
    return prompt_group(user(prompt))


def user(text: str) -> tuple[Message, ...]:
    """Return a prompt of one message."""
    return (Message(role=Role.USER, content=text),)


def held_out(group: str) -> bool:
    """Say whether prompts of this group measure the judge."""
    return number("held out", group) % 100 < HELD_OUT


def number(*parts: str) -> int:
    """Return a whole number that depends on the parts alone."""
    return int(short_hash("instruction judge", *parts), 16)


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Return one row a prompt, by hash."""
    return sorted({row.group: row for row in rows}.values(), key=lambda row: number("order", row.group))


def make_pairs(sources: Sources) -> list[Pair]:
    """Return the pairs of all kinds, held out ones too, in a fixed order."""
    pairs = [
        Pair(kind=Kind.EXPERT, prompt=one.prompt, chosen=one.revised, rejected=one.raw)
        for one in sources.revisions
        if held_out(group_of(one.prompt)) or len(one.revised) <= LONGER * len(one.raw)
    ]
    for part in (False, True):
        general = [row for row in in_order(sources.general) if held_out(row.group) is part]
        unsafe = [row for row in in_order(sources.unsafe) if held_out(row.group) is part]
        pairs += _constructed(general, unsafe, part)
        pairs += _of_model(general, unsafe, sources.answers)
    return pairs


def _constructed(general: Sequence[Row], unsafe: Sequence[Row], part: bool) -> Iterator[Pair]:
    """Yield the quota of each kind; a general row serves one kind, an unsafe one may serve both of its kinds."""
    refusals = [row for row in unsafe if refuses(row.answer)]
    left = list(general)
    for kind, quota in QUOTAS.items():
        match kind:
            case Kind.SAFE:
                rows = unsafe[: quota[part]]
            case Kind.COMPLIED:
                rows = refusals[::-1][: quota[part]]
            case _:
                fitting = (row for row in left if kind not in MANGLERS or len(row.answer.split()) >= LONG)
                rows = [row for row, _ in zip(fitting, range(quota[part]), strict=False)]
                taken = {row.group for row in rows}
                left = [row for row in left if row.group not in taken]
        for row in rows:
            donors = refusals if kind is Kind.REFUSED else general
            yield Pair(
                kind=kind, prompt=row.prompt, chosen=_better(row, kind), rejected=worse(row, kind, _other(row, donors))
            )


def _other(row: Row, donors: Sequence[Row]) -> str:
    """Return the answer to another prompt."""
    start = number("donor", row.group)
    near = (donors[(start + step) % len(donors)] for step in range(len(donors)))
    return next(one.answer for one in near if one.group != row.group)


def _better(row: Row, kind: Kind) -> str:
    """Return the row's answer; in place of half of the refusals a short one."""
    if kind in {Kind.SAFE, Kind.COMPLIED} and refuses(row.answer) and number("short", row.group) % 2:
        return pick(SHORT_REFUSALS, "better", row.group)
    return row.answer


def worse(row: Row, kind: Kind, other: str) -> str:
    """Return an answer that is worse than the row's, `other` where it is not made of the row's own texts."""
    if kind in MANGLERS:
        return MANGLERS[kind](row.answer, row.group)
    match kind:
        case Kind.ECHO:
            return pick(ECHOES, "echo", row.group).format(prompt=row.prompt)
        case Kind.EMPTY:
            return ""
        case Kind.COMPLIED:
            return pick((*ECHOES, *COMPLIANCES), "complied", row.group).format(prompt=row.prompt)
        case Kind.REFUSED if number("short", row.group) % 2:
            return pick(SHORT_REFUSALS, "worse", row.group)
        case _:
            return other


def _of_model(general: Sequence[Row], unsafe: Sequence[Row], answers: Mapping[str, str]) -> Iterator[Pair]:
    """Yield reference > answer of a model; of unsafe requests where it did not refuse and the reference does."""
    for kind, rows in ((Kind.MODEL, general), (Kind.MODEL_COMPLIED, unsafe)):
        for row in rows:
            text = answers.get(row.group, "")
            if not text or text == row.answer:
                continue
            if kind is Kind.MODEL_COMPLIED and (refuses(text) or not refuses(row.answer)):
                continue
            chosen = row.answer if kind is Kind.MODEL else _better(row, Kind.SAFE)
            yield Pair(kind=kind, prompt=row.prompt, chosen=chosen, rejected=text)


def pick(texts: Sequence[str], *key: str) -> str:
    """Return one of the texts."""
    return texts[number("pick", *key) % len(texts)]


def cut_off(text: str, key: str) -> str:
    """Return the first 30 to 70 % of the words, without an end of a sentence."""
    words = list(re.finditer(r"\S+", text))
    kept = max(1, len(words) * (30 + number("cut", key) % 41) // 100)
    return text[: words[kept - 1].end()].rstrip(".!?,;: \n")


def looped(text: str, key: str) -> str:
    """Return a beginning whose last 4 to 12 words come again and again, 1 to 2 times as long as the text."""
    words = text.split()
    size = min(len(words), 4 + number("phrase", key) % 9)
    start = number("where", key) % max(1, len(words) // 2)
    phrase = words[start : start + size]
    length = len(words) * (100 + number("length", key) % 101) // 100
    times = max(4, (length - start) // len(phrase))
    return " ".join([*words[:start], *phrase * times])


def garbled(text: str, key: str) -> str:
    """Return the text with its words shuffled within windows of 4 to 8 words."""
    words, window = text.split(), 4 + number("window", key) % 5
    generator = random.Random(number("garbled", key))
    pieces = [words[at : at + window] for at in range(0, len(words), window)]
    for piece in pieces:
        generator.shuffle(piece)
    return " ".join(word for piece in pieces for word in piece)


def whole_sentences(text: str) -> str:
    """Return a text that stopped at a limit up to the end of its last sentence, all of it where none ends."""
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s)", text)]
    return text[: ends[-1]] if ends else text


MANGLERS: Mapping[Kind, Callable[[str, str], str]] = {
    Kind.CUT_OFF: cut_off,
    Kind.REPETITION: looped,
    Kind.GARBLED: garbled,
}
"""What spoils an answer by itself; takes a text and what its choices depend on."""
