"""When a refinement should end: the stopping rule of `rounds: auto`.

An annotator that can tell the better answer prefers it whichever answer it reads first. As labels become better, the
pairs that are left become harder for it. Then its position bias and its noise decide, and its two orders disagree more
often. This needs no right answers to be seen, so the rule can be used where nobody knows them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from burnish.algorithms.comparisons import verdict_of
from burnish.algorithms.ledger_lines import mean_of_orders
from burnish.types import Reason, Refinement, Verdict

LEAST_HELD = 0.2
"""A round may change labels if at least this share of the preferred proposals holds.

It was chosen on seeds 0 and 1 of the embedded experiment. In rounds with a smaller share, about as many changes were
from right to wrong or from wrong to wrong as from wrong to right (docs/lab-log.md)."""
_TURNED_DOWN = frozenset({Reason.ORDERS_DISAGREE, Reason.TIE, Reason.BELOW_GATE, Reason.DISTRUSTED})
"""Why a rule of acceptance turns a proposal down that the mean of both orders prefers."""
_MAY_CHANGE = frozenset({Reason.ACCEPTED, Reason.OVER_CAP})
_HELD = _MAY_CHANGE | {Reason.STOPPED, Reason.OVER_RISK, Reason.REMOVED}
"""The reasons of proposals that met the rule of acceptance. The cap does not matter here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a round's judgements say about how much the annotator knows.

    The mean of both orders prefers the proposal in `preferred` pairs. Of these, `held` also meet the rule of
    acceptance: both orders agree, P(the proposal is better) is not below the gate, and no edits speak against it.
    """

    preferred: int
    held: int

    @property
    def share(self) -> float | None:
        """The share of the preferred proposals that holds, or None if no proposal is preferred."""
        return self.held / self.preferred if self.preferred else None

    @property
    def enough(self) -> bool:
        """Whether the round may change labels. Where no proposal is preferred, there is nothing to change."""
        return self.share is not None and self.share >= LEAST_HELD


def evidence(lines: Iterable[Refinement]) -> Evidence:
    """Count the evidence in a round's ledger."""
    kinds = [kind_of(line.reason, line.score, line.p_b_ab, line.p_b_ba) for line in lines]
    held = kinds.count(Preferred.HELD)
    return Evidence(preferred=held + kinds.count(Preferred.TURNED_DOWN), held=held)


class Preferred(Enum):
    """What became of a proposal that the mean of both orders prefers: it held, or it was turned down."""

    HELD = auto()
    TURNED_DOWN = auto()


def kind_of(reason: str, score: float | None, p_b_ab: float | None, p_b_ba: float | None) -> Preferred | None:
    """Say what became of a line's proposal, or return None if the annotator did not prefer it. The arguments are the
    fields of a ledger line."""
    if score is None:  # nothing was compared, as in naive replacement
        return None
    if reason in _HELD:
        return Preferred.HELD
    turned_down = reason in _TURNED_DOWN and verdict_of(mean_of_orders(p_b_ab, p_b_ba)) is Verdict.B
    return Preferred.TURNED_DOWN if turned_down else None


def stopped(lines: Iterable[Refinement]) -> Iterator[Refinement]:
    """Yield a round's ledger without its changes, because the refinement ends before them."""
    for line in lines:
        yield dataclasses.replace(line, chosen=line.kept, reason=Reason.STOPPED) if line.reason in _MAY_CHANGE else line
