"""Planted pairs: labels against copies whose worth is known, so that an annotator shows what its verdicts are worth."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice

from burnish.errors import DataError
from burnish.types import (
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    TrainingRow,
    prompt_group,
    short_hash,
)

CLOSINGS = (
    "I hope this helps, and please feel free to ask if you have any further questions.",
    "Please let me know if there is anything else that I can do for you today.",
    "Thank you for the question, and do not hesitate to come back to me at any time.",
)
"""They say nothing, so an answer with one is longer and no better. Without digits: a final number stays the last."""
FEWEST_WORDS = 4
"""A sentence with fewer words may mean the same when they are shuffled."""
FEWEST_CHARACTERS = 8
"""A shorter text is not cut: what is left of it could still be the answer."""
SHUFFLES = 8
"""Orders of the words that are tried; the one that moves most of them is taken."""
NEIGHBOURS = 50
"""Other rows' answers among which a longer one is looked for."""
# Digits beside letters (H2O, v1.2) belong to a name, and a list's own numbers say nothing: both stay.
_NUMBER = re.compile(
    r"^[ \t]*[0-9]+[.)](?=\s)|(?P<number>(?<![A-Za-z0-9_.])[0-9]+(?:[.,][0-9]+)*(?![A-Za-z0-9_]))", re.MULTILINE
)
_BETWEEN_SENTENCES = re.compile(r"((?<=[.!?])\s+|\n+)")
_ENDS = frozenset(".!?。！？")


class Planting(StrEnum):
    """What was done to a label to get the other side of a pair."""

    NUMBER = "number"
    """A number in the answer is changed."""
    WORDS = "words"
    """The words of its longest sentence are shuffled."""
    CUT = "cut"
    """The last third is cut off."""
    OTHER = "other"
    """The answer to another prompt stands in its place."""
    SAME = "same"
    """Nothing: the label against itself."""
    LONGER = "longer"
    """An empty closing phrase is added: no better, but longer."""


CORRUPTIONS = (Planting.NUMBER, Planting.WORDS, Planting.CUT, Planting.OTHER)
"""What makes an answer worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A label beside what was made of it. `label_is_a` says on which side the label stands."""

    comparison: Comparison
    planting: Planting
    label_is_a: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    row: TrainingRow
    planting: Planting
    text: str


def plant(rows: Sequence[TrainingRow], seed: int) -> list[Planted]:
    """Plant pairs in the order of `rows`: a corrupted copy and the label itself each, a longer copy for every second.

    Of the corruptions that a text allows, the one that was dealt least comes next. A text that allows none is left
    out. Everything follows from the seed and the set of rows, not from their order. Raises DataError for a repeated id.
    """
    repeated = [id_ for id_, count in Counter(row.id for row in rows).items() if count > 1]
    if repeated:
        raise DataError(f"row {repeated[0]!r}: its id comes twice; make ids unique")
    copies = _copies(sorted(rows, key=lambda row: (short_hash("plant", str(seed), row.id), row.id)), seed)
    place = {row.id: number for number, row in enumerate(rows)}
    order = list(Planting)
    # Sides alternate within each kind: an annotator that always says A, or always B, scores half on every kind.
    by_kind = sorted(
        copies, key=lambda copy: (order.index(copy.planting), short_hash("side", str(seed), copy.row.id), copy.row.id)
    )
    planted = [_pair(copy, number % 2 == 0) for number, copy in enumerate(by_kind)]
    return sorted(planted, key=lambda one: (place[one.comparison.example_id], order.index(one.planting)))


def planted_examples(rows: Sequence[TrainingRow]) -> dict[str, Example]:
    """Return the examples by id that an annotator of planted pairs needs: prompts, without a reference."""
    return {row.id: Example(id=row.id, group=prompt_group(row.prompt), prompt=row.prompt) for row in rows}


def _pair(copy: _Copy, label_is_a: bool) -> Planted:
    id_ = copy.row.id
    label = Demonstration(example_id=id_, completion=copy.row.completion, source=DemonstrationSource.GIVEN)
    # The producer sets the label's copy of itself apart from the label, and one kind of pair from the next.
    other = Demonstration(
        example_id=id_, completion=copy.text, source=DemonstrationSource.PROPOSAL, producer=f"planted:{copy.planting}"
    )
    a, b = (label, other) if label_is_a else (other, label)
    return Planted(comparison=Comparison(example_id=id_, a=a, b=b), planting=copy.planting, label_is_a=label_is_a)


def _copies(ordered: Sequence[TrainingRow], seed: int) -> list[_Copy]:
    copies: list[_Copy] = []
    dealt: Counter[Planting] = Counter()
    for place, row in enumerate(ordered):
        worse = _corrupted(ordered, place, seed)
        if not worse:
            continue
        planting = min(worse, key=lambda kind: dealt[kind])
        copies.append(_Copy(row=row, planting=planting, text=worse[planting]))
        copies.append(_Copy(row=row, planting=Planting.SAME, text=row.completion))
        if dealt.total() % 2 == 0:
            closing = CLOSINGS[_draw(len(CLOSINGS), "closing", str(seed), row.id)]
            copies.append(_Copy(row=row, planting=Planting.LONGER, text=f"{row.completion.rstrip()}\n\n{closing}"))
        dealt[planting] += 1
    return copies


def _corrupted(ordered: Sequence[TrainingRow], place: int, seed: int) -> dict[Planting, str]:
    """Return a worse text by kind, in the order of CORRUPTIONS; kinds that the text does not allow are not there."""
    row = ordered[place]
    if not row.completion.strip():
        return {}
    made = {
        Planting.NUMBER: _other_number(row.completion, str(seed), row.id),
        Planting.WORDS: _shuffled(row.completion, str(seed), row.id),
        Planting.CUT: _cut(row.completion),
        Planting.OTHER: _others_answer(ordered, place),
    }
    worse = {kind: text for kind, text in made.items() if text is not None}
    assert all(_plain(text) != _plain(row.completion) for text in worse.values()), (row, worse)
    return worse


def _other_number(text: str, *key: str) -> str | None:
    """Change the first digit of the last number: the result of a calculation, and by far."""
    numbers = [match for match in _NUMBER.finditer(text) if match["number"]]
    if not numbers:
        return None
    start = numbers[-1].start("number")
    others = [digit for digit in "123456789" if digit != text[start]]
    return text[:start] + others[_draw(len(others), "number", *key)] + text[start + 1 :]


def _shuffled(text: str, *key: str) -> str | None:
    parts = _BETWEEN_SENTENCES.split(text)  # sentences and what stands between them, in turn
    longest = max(range(0, len(parts), 2), key=lambda index: len(parts[index].split()))
    words = parts[longest].split()
    if len(words) < FEWEST_WORDS:
        return None

    def tried(number: int) -> list[str]:
        return [
            word
            for _, word in sorted(
                enumerate(words), key=lambda item: short_hash("words", str(number), *key, str(item[0]))
            )
        ]

    def moved(order: Sequence[str]) -> int:
        return sum(one != other for one, other in zip(order, words, strict=True))

    best = max(map(tried, range(SHUFFLES)), key=moved)
    return "".join([*parts[:longest], " ".join(best), *parts[longest + 1 :]]) if moved(best) else None


def _cut(text: str) -> str | None:
    """Cut in the middle of a sentence, where a token limit would: a whole first sentence can be an answer."""
    text = text.strip()
    end = 2 * len(text) // 3
    kept, lost = text[:end].rstrip(), text[end:]
    if len(text) < FEWEST_CHARACTERS or not any(character.isalnum() for character in lost):
        return None
    whole = kept[-1] in _ENDS or lost[0] in _ENDS
    return kept.rsplit(maxsplit=1)[0] if whole and len(kept.split()) > 1 else kept


def _others_answer(ordered: Sequence[TrainingRow], place: int) -> str | None:
    """Return the answer of the next row, round the end, that has another prompt and another answer.

    A longer one if there is one: cut copies are shorter than labels, and length alone should be worth one half.
    """
    row = ordered[place]
    round_the_end = chain(islice(ordered, place + 1, None), islice(ordered, place))
    answers = (
        other.completion
        for other in round_the_end
        if other.prompt != row.prompt and _plain(other.completion) not in ("", _plain(row.completion))
    )
    near = list(islice(answers, NEIGHBOURS))
    longer = (answer for answer in near if len(answer) > len(row.completion))
    return next(longer, near[0] if near else None)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _draw(count: int, *key: str) -> int:
    """Return a number below `count` that depends on the key alone."""
    return int(short_hash(*key), 16) % count
