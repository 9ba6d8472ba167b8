"""Preference data for DPO: which answers form a pair, which pairs are judged, and which are trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from burnish.algorithms.comparisons import by_order, confidence, orders_of
from burnish.algorithms.ranking import Candidate
from burnish.algorithms.refinement import PAPER, Acceptance, select
from burnish.protocols import AnswerMatcher
from burnish.types import (
    Comparison,
    Demonstration,
    Order,
    Preference,
    Reason,
    Refinement,
    Verdict,
    turned_back,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to one example.

    `number` counts the pairs of the example from 0. `reason` says why the pair is not judged; it is None where it is
    judged.
    """

    example_id: str
    number: int
    a: Demonstration
    b: Demonstration
    reason: Reason | None = None

    @property
    def key(self) -> str:
        """Identity within a round. Two pairs with equal texts have different keys but the same comparison id."""
        return f"{self.example_id}#{self.number}"

    @property
    def comparison(self) -> Comparison:
        """The comparison that an annotator judges."""
        return Comparison(example_id=self.example_id, a=self.a, b=self.b)


def paired(samples: Sequence[Demonstration]) -> list[tuple[Demonstration, Demonstration]]:
    """Pair samples two by two in their order: 6 samples give 3 pairs (appendix C)."""
    assert len(samples) % 2 == 0, samples
    return list(zip(samples[::2], samples[1::2], strict=True))


def against(label: Demonstration, samples: Sequence[Demonstration]) -> list[tuple[Demonstration, Demonstration]]:
    """Pair the current demonstration with each sample (wsDPO, appendix E.4)."""
    return [(label, sample) for sample in samples]


def screened(matcher: AnswerMatcher, a: Demonstration, b: Demonstration, differing: bool) -> Reason | None:
    """Say why a pair is not judged. Return None where it is judged.

    A pair with an answer that was cut is `invalid`: training on it would teach an end where there was none. Equal texts
    agree. With `differing`, answers with the same final answer agree as well. Two answers without a final answer do not
    agree.
    """
    if not (a.finished and b.finished):
        return Reason.INVALID
    if a.completion == b.completion:
        return Reason.AGREED
    if differing:
        answer_a, answer_b = matcher.extract(a.completion), matcher.extract(b.completion)
        # Two answers without a final answer may differ in everything else, so they are still judged.
        if answer_a is not None and answer_b is not None and matcher.agree(answer_a, answer_b):
            return Reason.AGREED
    return None


def most_confident(
    pairs: Sequence[Pair],
    preferences: Mapping[str, Preference],
    keep: float,
    n: int,
    shares: Mapping[str, float] | None = None,
    rule: Acceptance = PAPER,
    rank: Callable[[Preference, str], str] = lambda preference, key: "",
) -> list[Reason]:
    """Decide what becomes of each pair: the floor(keep * n) most confident ones are accepted (appendix C).

    Confidence is |p_b - 0.5|, or |logit| where that is known, whichever side is preferred. Ties and abstentions are
    never trained on. `preferences` is {comparison id: preference}. `shares` and `rule` are those of
    `algorithms.refinement.select`. `rank` gets a preference and the key of its pair, and decides between equally
    confident ones. Raises ConfigError as `select` does.
    """
    return select([_turned_up(pair, preferences, rank) for pair in pairs], keep, n, shares, rule)


def _turned_up(pair: Pair, preferences: Mapping[str, Preference], rank: Callable[[Preference, str], str]) -> Candidate:
    """Put the preferred side in the place of the proposal, so that one rule selects for refinement and for DPO."""
    if pair.reason is not None:
        return Candidate(example_id=pair.key, screened=pair.reason, verdict=None, p_b=None)
    preference = preferences[pair.comparison.id]
    sureness = confidence(preference)
    # Verdict A becomes B, and p_b becomes 0.5 + confidence: the preferred side is now side b.
    verdict = Verdict.B if preference.verdict is Verdict.A else preference.verdict
    p_b = None if sureness is None else 0.5 + sureness
    side = Order.BA if preference.verdict is Verdict.A else Order.AB
    # The orders are turned with the sides. Otherwise `both-orders` would read them as preferring the other answer.
    orders = tuple(turned_back(p, side) for p in orders_of(preference))
    return Candidate(
        example_id=pair.key,
        screened=None,
        verdict=verdict,
        p_b=p_b,
        source=preference.judge,
        orders=orders,
        rank=rank(preference, pair.key),
        logit=None if preference.logit is None else abs(preference.logit),
    )


def preferred(pair: Pair, preference: Preference) -> tuple[Demonstration, Demonstration]:
    """Return (chosen, rejected) for a pair whose verdict is A or B."""
    match preference.verdict:
        case Verdict.A:
            return pair.a, pair.b
        case Verdict.B:
            return pair.b, pair.a
        case Verdict.TIE | Verdict.ABSTAIN:
            raise AssertionError(f"{pair.key}: {preference.verdict} prefers nothing")


def ledger_line(
    pair: Pair, preference: Preference | None, reason: Reason, round_number: int, annotator: str | None
) -> Refinement:
    """Return the ledger line of a pair.

    `kept` is side a and `proposed` is side b. `chosen` is the preferred side where the pair is trained on, else "". If
    `annotator` is None, the line names the judge of the preference.
    """
    accepted = reason is Reason.ACCEPTED
    p_b_ab, p_b_ba = (None, None) if preference is None else by_order(preference)
    return Refinement(
        example_id=pair.example_id,
        round=round_number,
        kept=pair.a.id,
        proposed=pair.b.id,
        # `verdict_on` reads the empty id as "not trained on", because either side may have been preferred.
        chosen=preferred(pair, preference)[0].id if accepted and preference is not None else "",
        score=None if preference is None else confidence(preference),
        p_b_ab=p_b_ab,
        p_b_ba=p_b_ba,
        annotator="" if preference is None else annotator or preference.judge,
        model=pair.b.producer,
        reason=reason,
    )
