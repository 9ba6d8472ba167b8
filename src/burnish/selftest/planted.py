"""Planted pairs: a label and a copy of it whose quality is known. An annotator's verdicts on them show how far it can
be trusted."""

from __future__ import annotations

import math
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
"""Closing phrases without content. An answer with one of them is longer, but no better. They have no digits, so that
the last number of an answer stays the last."""
FEWEST_WORDS = 4
"""A sentence with fewer words may mean the same after its words are shuffled."""
FEWEST_CHARACTERS = 8
"""A shorter text is not cut, because the rest of it could still be the answer."""
SHUFFLES = 8
"""How many orders of the words are tried. The order that moves most of them is used."""
NEIGHBOURS = 50
"""The number of other rows' answers among which a longer one is searched."""
LONGER_EVERY = 2
"""Of so many rows, one also gets a longer copy."""
# Digits next to letters (H2O, v1.2) belong to a name, and the numbers of list items are not values. Both stay as they
# are.
_NUMBER = re.compile(
    r"^[ \t]*[0-9]+[.)](?=\s)|(?P<number>(?<![A-Za-z0-9_.])[0-9]+(?:[.,][0-9]+)*(?![A-Za-z0-9_]))", re.MULTILINE
)
_BETWEEN_SENTENCES = re.compile(r"((?<=[.!?])\s+|\n+)")
_ENDS = frozenset(".!?。！？")


class Planting(StrEnum):
    """What was done to a label to make the other side of a pair."""

    NUMBER = "number"
    """A number in the answer is changed."""
    WORDS = "words"
    """The words of the longest sentence are shuffled."""
    CUT = "cut"
    """The last third is cut off."""
    OTHER = "other"
    """The answer is replaced by the answer to another prompt."""
    SAME = "same"
    """Nothing is changed. The label is compared with itself."""
    LONGER = "longer"
    """A closing phrase without content is added. The answer is longer, but no better."""


CORRUPTIONS = (Planting.NUMBER, Planting.WORDS, Planting.CUT, Planting.OTHER)
"""The kinds that make an answer worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A label and the copy that was made from it. `label_is_a` says on which side the label is."""

    comparison: Comparison
    planting: Planting
    label_is_a: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """A text that was made from a row's label, and how it was made."""

    row: TrainingRow
    planting: Planting
    text: str


def plant(rows: Sequence[TrainingRow], seed: int) -> list[Planted]:
    """Make planted pairs, in the order of `rows`.

    Each row gives a pair with a corrupted copy of its label and a pair with the label itself. Every second row also
    gives a pair with a longer copy. Of the corruptions that are possible for a text, the one that was used least so far
    is taken. If none is possible, the row is left out. The pairs depend on the seed and the set of rows, and not on the
    order of the rows. Raises DataError if an id occurs twice.
    """
    repeated = [id_ for id_, count in Counter(row.id for row in rows).items() if count > 1]
    if repeated:
        raise DataError(f"row {repeated[0]!r}: its id occurs twice; make ids unique")
    # The rows are sorted by hash, so that the pairs do not depend on the order of the rows.
    copies = _copies(sorted(rows, key=lambda row: (short_hash("plant", str(seed), row.id), row.id)), seed)
    place = {row.id: number for number, row in enumerate(rows)}
    # The order of the enum is the order of the pairs of one row.
    order = list(Planting)
    # Sides alternate within each kind, so an annotator that always says A, or always B, scores one half on every kind.
    by_kind = sorted(
        copies, key=lambda copy: (order.index(copy.planting), short_hash("side", str(seed), copy.row.id), copy.row.id)
    )
    planted = [_pair(copy, number % 2 == 0) for number, copy in enumerate(by_kind)]
    # A dry run promises that no more are asked.
    assert len(planted) <= most_planted(len(rows)), (len(planted), len(rows))
    return sorted(planted, key=lambda one: (place[one.comparison.example_id], order.index(one.planting)))


def most_planted(rows: int) -> int:
    """Return the most pairs that `plant` makes from so many rows: as many as if every text could be made worse."""
    return 2 * rows + math.ceil(rows / LONGER_EVERY)


def planted_examples(rows: Sequence[TrainingRow]) -> dict[str, Example]:
    """Return {id: example} for an annotator of planted pairs. The examples have prompts but no references."""
    return {row.id: Example(id=row.id, group=prompt_group(row.prompt), prompt=row.prompt) for row in rows}


def _pair(copy: _Copy, label_is_a: bool) -> Planted:
    """Return a label and its copy as a comparison."""
    id_ = copy.row.id
    label = Demonstration(example_id=id_, completion=copy.row.completion, source=DemonstrationSource.GIVEN)
    # The producer is part of the id of an answer. Without it, a label and its equal copy would have the same id, and
    # two kinds of pairs could have the same id, too.
    other = Demonstration(
        example_id=id_, completion=copy.text, source=DemonstrationSource.PROPOSAL, producer=f"planted:{copy.planting}"
    )
    a, b = (label, other) if label_is_a else (other, label)
    return Planted(comparison=Comparison(example_id=id_, a=a, b=b), planting=copy.planting, label_is_a=label_is_a)


def _copies(ordered: Sequence[TrainingRow], seed: int) -> list[_Copy]:
    """Make all copies of the rows."""
    copies: list[_Copy] = []
    dealt: Counter[Planting] = Counter()
    for place, row in enumerate(ordered):
        worse = _corrupted(ordered, place, seed)
        if not worse:
            continue
        # `min` takes the first of equal counts, so the order of CORRUPTIONS breaks ties.
        planting = min(worse, key=lambda kind: dealt[kind])
        copies.append(_Copy(row=row, planting=planting, text=worse[planting]))
        # A label that is compared with itself shows whether the annotator prefers a side.
        copies.append(_Copy(row=row, planting=Planting.SAME, text=row.completion))
        # Every second row also gets a longer copy, to measure whether the annotator prefers longer answers.
        if dealt.total() % LONGER_EVERY == 0:
            closing = CLOSINGS[_draw(len(CLOSINGS), "closing", str(seed), row.id)]
            copies.append(_Copy(row=row, planting=Planting.LONGER, text=f"{row.completion.rstrip()}\n\n{closing}"))
        dealt[planting] += 1
    return copies


def _corrupted(ordered: Sequence[TrainingRow], place: int, seed: int) -> dict[Planting, str]:
    """Return {kind: worse text} in the order of CORRUPTIONS. Kinds that are not possible for the text are missing."""
    row = ordered[place]
    # An empty label cannot be made worse.
    if not row.completion.strip():
        return {}
    made = {
        Planting.NUMBER: _other_number(row.completion, str(seed), row.id),
        Planting.WORDS: _shuffled(row.completion, str(seed), row.id),
        Planting.CUT: _cut(row.completion),
        Planting.OTHER: _others_answer(ordered, place),
    }
    worse = {kind: text for kind, text in made.items() if text is not None}
    # A copy that equals the label is not worse, and would count as an error of the annotator.
    assert all(_plain(text) != _plain(row.completion) for text in worse.values()), (row, worse)
    return worse


def _other_number(text: str, *key: str) -> str | None:
    """Change the first digit of the last number, which is usually the result of a calculation. The new number is far
    from the old one. Returns None if there is no number."""
    numbers = [match for match in _NUMBER.finditer(text) if match["number"]]
    if not numbers:
        return None
    start = numbers[-1].start("number")
    # 0 is left out, because a number should not begin with it.
    others = [digit for digit in "123456789" if digit != text[start]]
    return text[:start] + others[_draw(len(others), "number", *key)] + text[start + 1 :]


def _shuffled(text: str, *key: str) -> str | None:
    """Shuffle the words of the longest sentence. Returns None if it is too short or no order moves a word."""
    parts = _BETWEEN_SENTENCES.split(text)  # sentences at even places, the white space between them at odd ones
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

    # One random order can leave many words of a short sentence in place. The best of several moves more.
    best = max(map(tried, range(SHUFFLES)), key=moved)
    return "".join([*parts[:longest], " ".join(best), *parts[longest + 1 :]]) if moved(best) else None


def _cut(text: str) -> str | None:
    """Cut a text in the middle of a sentence, as a token limit would. A whole first sentence could be a good answer.
    Returns None if the text is too short to cut."""
    text = text.strip()
    end = 2 * len(text) // 3
    kept, lost = text[:end].rstrip(), text[end:]
    # If only punctuation is lost, the answer is still complete.
    if len(text) < FEWEST_CHARACTERS or not any(character.isalnum() for character in lost):
        return None
    # The cut may be at the end of a sentence by chance. Then one more word is removed, so that the sentence is broken.
    whole = kept[-1] in _ENDS or lost[0] in _ENDS
    return kept.rsplit(maxsplit=1)[0] if whole and len(kept.split()) > 1 else kept


def _others_answer(ordered: Sequence[TrainingRow], place: int) -> str | None:
    """Return the answer of the next row that has another prompt and another answer. After the last row comes the first.

    A longer answer is preferred. Cut copies are shorter than labels, so otherwise an annotator that only compares
    lengths would score more than one half. Returns None if there is no such row.
    """
    row = ordered[place]
    round_the_end = chain(islice(ordered, place + 1, None), islice(ordered, place))
    answers = (
        other.completion
        for other in round_the_end
        if other.prompt != row.prompt and _plain(other.completion) not in ("", _plain(row.completion))
    )
    # The number is limited, because otherwise each row could read all other rows.
    near = list(islice(answers, NEIGHBOURS))
    longer = (answer for answer in near if len(answer) > len(row.completion))
    return next(longer, near[0] if near else None)


def _plain(text: str) -> str:
    """Return a text with single spaces, to compare texts."""
    return " ".join(text.split())


def _draw(count: int, *key: str) -> int:
    """Return a number below `count` that depends only on the key."""
    # It uses a hash and not a random generator, so that the number does not depend on earlier draws.
    return int(short_hash(*key), 16) % count
