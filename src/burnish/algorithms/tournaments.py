"""Several answers against one label: who competes, how many comparisons that takes, and who wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from burnish.algorithms.comparisons import answer_of, camps, voted
from burnish.protocols import AnswerMatcher
from burnish.types import Accept, Comparison, Demonstration, Preference, Reason, Verdict, short_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Contenders:
    """The answers that can take the place of a label.

    `differing` has one answer for each final answer that differs from the label's, the most frequent one first.
    `agreeing` is the first answer with the label's final answer, or None. `confirmed` says that the label's final
    answer is the most frequent one. `first` is the first answer of all; it stands for the row where no answer is valid.
    """

    differing: tuple[Demonstration, ...]
    agreeing: Demonstration | None
    confirmed: bool
    first: Demonstration

    @property
    def proposal(self) -> Demonstration:
        """The answer that is compared with the label, or whose screening says why none is."""
        return self.differing[0] if self.differing else self.agreeing or self.first


def contenders(matcher: AnswerMatcher, label: Demonstration, drawn: Sequence[Demonstration]) -> Contenders:
    """Sort several answers by whether they differ from the label.

    A label without a final answer differs from every valid answer.
    """
    given = answer_of(matcher, label)
    differing: list[Demonstration] = []
    agreeing: Demonstration | None = None
    confirmed = False
    for answer, _ in camps(matcher, drawn):
        said = answer_of(matcher, answer)
        assert said is not None, answer  # `camps` has valid answers only
        if given is not None and matcher.agree(given, said):
            agreeing = answer if agreeing is None else agreeing
            confirmed = confirmed or not differing  # the most frequent answer comes first
        else:
            differing.append(answer)
    return Contenders(differing=tuple(differing), agreeing=agreeing, confirmed=confirmed, first=drawn[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """The tournament of one row.

    `challengers` compete in this order; the winner meets the label. So the row takes as many comparisons as it has
    challengers. `proposal` stands for the row where there are none, and `reason` says why.
    """

    example_id: str
    challengers: tuple[Demonstration, ...]
    proposal: Demonstration
    reason: Reason | None = None


def brackets(
    rows: Mapping[str, Contenders], per_row: int, limit: int | None, seed: int, round_number: int
) -> list[Bracket]:
    """Return the tournament of each row, with at most `per_row` comparisons for a row and `limit` for all rows.

    The rows are served in the order of a hash of seed, round and id. A row gets all of its comparisons before the next
    row gets one; the last row that gets any may get fewer. A row whose label is the most frequent answer has no
    tournament. `limit` None is no limit. The result is in the order of `rows`.
    """
    wanted = {id_: 0 if row.confirmed else min(per_row, len(row.differing)) for id_, row in rows.items()}
    left = sum(wanted.values()) if limit is None else limit
    places: dict[str, int] = {}
    for id_ in sorted(rows, key=lambda id_: short_hash("bracket", str(seed), str(round_number), id_)):
        places[id_] = min(wanted[id_], left)
        left -= places[id_]
    return [_bracket(id_, row, places[id_]) for id_, row in rows.items()]


def _bracket(example_id: str, row: Contenders, places: int) -> Bracket:
    if row.confirmed:
        assert row.agreeing is not None, row
        return Bracket(example_id=example_id, challengers=(), proposal=row.agreeing, reason=Reason.AGREED)
    nobody = Reason.NOT_COMPARED if row.differing else Reason.INVALID
    reason = None if places else nobody
    return Bracket(example_id=example_id, challengers=row.differing[:places], proposal=row.proposal, reason=reason)


def champion(
    challengers: Sequence[Demonstration], judged: Callable[[Comparison], Preference], accept: Accept = Accept.MEAN
) -> Demonstration:
    """Return the challenger that is left when each in turn has met the winner so far.

    The first challenger begins. A later one wins if the annotator prefers it, in both orders where `accept` asks for
    it. After a tie or an abstention the winner so far stays: it had more votes. `judged` is asked once for each
    challenger after the first.
    """
    king = challengers[0]
    for challenger in challengers[1:]:
        preference = judged(Comparison(example_id=king.example_id, a=king, b=challenger))
        if voted([preference], accept).verdict is Verdict.B:
            king = challenger
    return king
