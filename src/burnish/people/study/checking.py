"""How people did in the questions whose right answer is known: screening pairs and checks."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from burnish.people.study import reading
from burnish.people.study.answering import winner
from burnish.people.study.intake import found_words
from burnish.people.study.model import ItemRole


def check_results(db: sqlite3.Connection) -> Iterator[tuple[str, bool]]:
    """Yield (person, whether the answer was right) for the answers to screening pairs, of all tries, and to checks.

    A screening pair is right if the expected side was preferred. A check counts as right if the answer
    has one of the expected words, and is left out if no words are given. This helps the person who judges the check,
    and decides nothing.
    """
    for one in reading.answers(db):
        match one.role:
            case ItemRole.SCREENING:
                assert one.value is not None, one
                assert one.shown is not None, one
                yield one.by, winner(one.value, one.shown) == one.expected
            case ItemRole.CHECK:
                if words := found_words(one.expected, one.text):
                    yield one.by, any(words.values())
            case ItemRole.WORK:
                pass


@dataclass(frozen=True, slots=True)
class CheckCount:
    """How many answers to questions with a known right answer were right, of how many."""

    right: int
    judged: int


def check_counts(db: sqlite3.Connection) -> dict[str, CheckCount]:
    """Return {person: their check results} for all who answered such a question."""
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for person, right in check_results(db):
        found[person].append(right)
    return {person: CheckCount(right=sum(results), judged=len(results)) for person, results in found.items()}
