"""Signs that a label is wrong, without a trained model. They are pure functions of texts and scores.

Each sign has a strength from 0 (no sign) to 1. `suspicion` joins the strengths of a row into one number.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")
NOTHING, CUT = 0.9, 0.5
"""The strengths of the signs `NO_ANSWER` and `NO_END`. They are chosen by hand: a row without an answer teaches
nothing, while a text without a full stop may still be a right answer."""
MOST = 0.9
"""The share of labels that must have the usual end before a label without it is a sign."""
ENDS = re.compile(r"""[.!?…。！？;:)\]}>"'”’»`*|$%]$""")
FINAL = re.compile(r"####|\\boxed\{")
OPEN = re.compile(r"[,(\[{/&+=–-]$")
WORD = re.compile(r"\w+")


class Sign(StrEnum):
    """A sign that a label is wrong."""

    CONTRADICTED = "contradicted"
    NO_ANSWER = "no_answer"
    NO_END = "no_end"
    MODEL = "model"
    ANNOTATOR = "annotator"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedAnswer(Generic[T]):
    """A row's prompt as `prompt_key` gives it, and its final answer (None if it has none)."""

    id: str
    key: tuple[str, ...]
    answer: T | None


def prompt_key(prompt: str) -> tuple[str, ...]:
    """Return the words of a prompt, sorted, without case and punctuation.

    Prompts with the same key are near-duplicates. Numbers are words, so problems that differ in a number differ.
    """
    return tuple(sorted(WORD.findall(prompt.casefold())))


def contradicted(rows: Iterable[KeyedAnswer[T]], agree: Callable[[T, T], bool]) -> dict[str, float]:
    """Return {id: share of the rows with the same key whose answer is another one}, where it is above 0.

    If one of these answers, drawn at random, is right, this is the probability that the row's own answer is wrong. Two
    rows that contradict each other have 1/2 each, so that another sign can decide between them.

    Rows without an answer neither contradict nor are contradicted.
    """
    groups: defaultdict[tuple[str, ...], list[tuple[str, T]]] = defaultdict(list)
    for row in rows:
        if row.answer is not None:
            groups[row.key].append((row.id, row.answer))
    found: dict[str, float] = {}
    for members in groups.values():
        for id_, answer in members:
            against = sum(not agree(answer, other) for _, other in members)
            if against:
                found[id_] = against / len(members)
    return found


def without_end(labels: Mapping[str, str]) -> dict[str, float]:
    """Return {id: strength} of the labels that stop in the middle.

    A label stops in the middle if a bracket or a code block in it stays open, or if it ends in a comma or in another
    mark after which something follows. It may also lack a punctuation mark at its end, or the mark of a final answer
    (`####` or `\\boxed{`). That is a sign only where nearly all other labels have it.
    """
    texts = {id_: text.rstrip() for id_, text in labels.items()}
    unusual: set[str] = set()
    for usual in (ENDS, FINAL):
        bare = {id_ for id_, text in texts.items() if not usual.search(text)}
        unusual |= bare if len(bare) <= (1 - MOST) * len(labels) else set()
    return {id_: CUT for id_, text in texts.items() if _open(text) or id_ in unusual}


def _open(text: str) -> bool:
    """Say whether something in a text was begun and not ended."""
    brackets = any(text.count(first) > text.count(last) for first, last in ("()", "[]", "{}"))
    return not text or brackets or text.count("```") % 2 == 1 or bool(OPEN.search(text))


def preferred_by(label: float, own: float) -> float:
    """Return how much a model prefers its own answer to the label, from 0 to 1.

    `label` and `own` are the model's log-probabilities of the two answers, in nats per token. 0.5 means that both are
    equally likely.
    """
    return 1 / (1 + math.exp(min(label - own, 700.0)))


def suspicion(signs: Mapping[Sign, float]) -> float:
    """Return one number from 0 to 1 for all signs of a row: the probability that at least one of them is right, if each
    strength were a probability and the signs were independent."""
    return 1 - math.prod(1 - strength for strength in signs.values())
