"""Algorithm 1's arithmetic: split, check of the cross-labelling, selection under the cap, ledger, update of labels."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fractions import Fraction
from typing import assert_never

from burnish.algorithms.comparisons import confidence, verdict_of
from burnish.errors import ConfigError, StageError
from burnish.protocols import Score
from burnish.types import Accept, Demonstration, Order, Preference, Reason, Refinement, Verdict, turned_back

_BOTH = (Order.AB, Order.BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What selection knows of one example: why it was not compared, or how it was judged and by which source.

    `p_b` is P(the proposal is better), the mean over the orders that were judged; `orders` has it for each of them.
    """

    example_id: str
    screened: Reason | None
    verdict: Verdict | None
    p_b: float | None
    source: str = ""
    orders: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """When a proposal may replace a label: which verdict counts, and the least P(the proposal is better).

    `MEAN`, the paper's rule, takes the mean of the two orders in which a pair is shown. A position bias does not cancel
    in it: what is left of it is noise, which fills the cap. `BOTH_ORDERS` wants that each order prefers the proposal.
    """

    accept: Accept = Accept.MEAN
    gate: float = 0.5


PAPER = Acceptance()


def split(
    groups: Mapping[str, str], seed: int, round_number: int, purpose: str = "cross", parts: int = 2
) -> tuple[tuple[str, ...], ...]:
    """Split examples, given as {id: group}, into parts of sorted ids: two halves in Algorithm 1, lines 2 and 3.

    Rows of one group stay together. Groups are shuffled, then the larger ones go first, each to the smallest part:
    where single rows abound the sizes differ by one at most, and never by more than the largest group.
    """
    members: defaultdict[str, list[str]] = defaultdict(list)
    for example_id, group in groups.items():
        members[group].append(example_id)
    order = sorted(members)
    random.Random(_key(seed, purpose, round_number)).shuffle(order)  # noqa: S311 reproducible, not secret
    order.sort(key=lambda group: len(members[group]), reverse=True)
    dealt: list[list[str]] = [[] for _ in range(parts)]
    for group in order:
        min(dealt, key=len).extend(members[group])  # the first of the smallest
    return tuple(tuple(sorted(part)) for part in dealt)


def _key(*parts: str | int) -> int:
    """Return 256 bits that depend on the parts alone, on every machine (hash() would not)."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest(), "big")


def check_cross_label(trained_on: Mapping[str, AbstractSet[str]], proposals: Iterable[Demonstration]) -> None:
    """Check that no model labels what it was trained on; `trained_on` is {model fingerprint: example ids}.

    Raises StageError naming the example and the model; an unknown model is refused too.
    """
    for proposal in proposals:
        seen = trained_on.get(proposal.producer)
        if seen is None:
            raise StageError(
                f"example {proposal.example_id}: proposed by {proposal.producer!r}, which is none of this round's "
                f"models ({', '.join(sorted(trained_on))}); remove the stage's directory and run again"
            )
        if proposal.example_id in seen:
            raise StageError(
                f"example {proposal.example_id}: proposed by model {proposal.producer}, which was trained on it; a "
                "proposal must come from the model of the other half"
            )


def cap(alpha: float, n: int) -> int:
    """Return floor(alpha * n), the labels that may change in a round (Algorithm 1, line 13).

    Exact for the alpha that was meant: 0.29 * 100 is 28.999... in floats. Raises ConfigError outside (0, 1].
    """
    if not 0 < alpha <= 1:
        raise ConfigError(f"alpha: {alpha} found, must be above 0 and at most 1; the paper uses 0.15")
    return math.floor(_meant(alpha) * n)


def _meant(number: float) -> Fraction:
    """Return the fraction that a float stands for: 29/100 for 0.29, 1/3 for 1 / 3."""
    return Fraction(number).limit_denominator(10**9)


def select(
    candidates: Sequence[Candidate],
    alpha: float,
    n: int,
    shares: Mapping[str, float] | None = None,
    rule: Acceptance = PAPER,
) -> list[Reason]:
    """Say for each candidate what becomes of it: at most floor(alpha * n), the most confident, are accepted.

    Eligible is a proposal that is preferred by `rule`; equal confidence is ranked by example id. With mixed
    feedback `shares` ({source: share of the cap}) selects within each source, because an oracle's verdicts have full
    confidence and would fill the cap; a source with too few eligible proposals leaves its rest unused. Raises
    ConfigError.
    """
    assert len({candidate.example_id for candidate in candidates}) == len(candidates), "an example comes once"
    total = cap(alpha, n)
    left = {"": total} if shares is None else split_cap(total, shares)
    judged_by = {candidate.source for candidate in candidates if candidate.screened is None}
    if shares is not None and (missing := sorted(judged_by - shares.keys())):
        raise ConfigError(f"shares: none for source {missing[0]!r}; give each of the mixed annotators its share")
    reasons = [_before_cap(candidate, rule) for candidate in candidates]
    eligible = (index for index, reason in enumerate(reasons) if reason is Reason.ACCEPTED)
    for index in sorted(eligible, key=lambda index: _rank(candidates[index])):
        source = "" if shares is None else candidates[index].source
        if left[source] > 0:
            left[source] -= 1
        else:
            reasons[index] = Reason.OVER_CAP
    accepted = reasons.count(Reason.ACCEPTED)
    assert accepted <= total, (accepted, total)
    return reasons


def _before_cap(candidate: Candidate, rule: Acceptance) -> Reason:
    if candidate.screened is not None:
        assert candidate.verdict is None, candidate
        return candidate.screened
    assert candidate.verdict is verdict_of(candidate.p_b), candidate
    return _split_orders(candidate, rule.accept) or _by_mean(candidate, rule.gate)


def _split_orders(candidate: Candidate, accept: Accept) -> Reason | None:
    """Say why two orders together prefer nothing, None where they agree or one alone was judged."""
    if accept is Accept.MEAN or candidate.p_b is None or len(candidate.orders) < 2:
        return None
    verdicts = {verdict_of(p_b) for p_b in candidate.orders}
    if Verdict.TIE in verdicts:
        return Reason.TIE
    return Reason.ORDERS_DISAGREE if len(verdicts) > 1 else None


def _by_mean(candidate: Candidate, gate: float) -> Reason:
    match candidate.verdict:
        case Verdict.A:
            return Reason.REJECTED
        case Verdict.B:
            assert candidate.p_b is not None, candidate
            return Reason.ACCEPTED if candidate.p_b >= gate else Reason.BELOW_GATE
        case Verdict.TIE:
            return Reason.TIE
        case Verdict.ABSTAIN:
            return Reason.ABSTAINED
        case None:
            raise AssertionError(candidate)
        case _:
            assert_never(candidate.verdict)


def _rank(candidate: Candidate) -> tuple[float, str]:
    assert candidate.p_b is not None, candidate
    return (-abs(candidate.p_b - 0.5), candidate.example_id)


def split_cap(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split a cap over sources: floor(share * total) each, the rest by largest remainder, then by name.

    Raises ConfigError unless the shares lie in [0, 1] and sum to 1.
    """
    if any(not 0 <= share <= 1 for share in shares.values()) or not math.isclose(sum(shares.values()), 1):
        raise ConfigError(f"shares: {dict(shares)} found; each must lie in [0, 1] and all must sum to 1")
    exact = {source: _meant(share) for source, share in shares.items()}
    whole = sum(exact.values())  # 1 but for rounding: 0.333333 three times
    quota = {source: total * share / whole for source, share in exact.items()}
    room = {source: math.floor(part) for source, part in quota.items()}
    by_remainder = sorted(quota, key=lambda source: (room[source] - quota[source], source))
    for source in by_remainder[: total - sum(room.values())]:
        room[source] += 1
    assert sum(room.values()) == total, (room, total)
    return room


def naive_choice(candidates: Sequence[Candidate], alpha: float, n: int, seed: int, round_number: int) -> list[Reason]:
    """Accept floor(alpha * n) valid proposals at random, without feedback: naive ILR (section 5.2, appendix E.2).

    A proposal that agrees with the current label may be chosen too, as the paper draws from all.
    """
    total = cap(alpha, n)
    valid = [candidate.example_id for candidate in candidates if candidate.screened is not Reason.INVALID]
    chosen = drawn(valid, total, seed, round_number, "naive")
    return [
        Reason.ACCEPTED
        if candidate.example_id in chosen
        else Reason.INVALID
        if candidate.screened is Reason.INVALID
        else Reason.OVER_CAP
        for candidate in candidates
    ]


def drawn(ids: Iterable[str], count: int, seed: int, round_number: int, purpose: str) -> frozenset[str]:
    """Draw `count` of the ids, all if there are fewer: those with the lowest hash of seed, purpose, round and id."""
    return frozenset(sorted(ids, key=lambda id_: _key(seed, purpose, round_number, id_))[:count])


def distant(
    reasons: Mapping[str, Reason | None], scores: Mapping[str, Score], share: float | None
) -> dict[str, Reason | None]:
    """Screen by distance: a proposal at distance 0 agrees, and with `share` only that share of the rest, the most
    distant, is compared (section 5.1); equal distances are ranked by id. A row without a score is not compared.
    """
    apart = [id_ for id_, why in reasons.items() if why is None and id_ in scores and scores[id_].value > 0]
    count = len(apart) if share is None else math.floor(_meant(share) * len(apart))
    chosen = frozenset(sorted(apart, key=lambda id_: (-scores[id_].value, id_))[:count])
    among = frozenset(apart)

    def screened(id_: str, why: Reason | None) -> Reason | None:
        if why is not None or id_ in chosen:
            return why
        return Reason.NOT_COMPARED if id_ in among or id_ not in scores else Reason.AGREED

    return {id_: screened(id_, why) for id_, why in reasons.items()}


def apply(
    current: Mapping[str, Demonstration], proposals: Mapping[str, Demonstration], reasons: Mapping[str, Reason]
) -> Iterator[Demonstration]:
    """Yield the updated dataset in the order of `current`: the proposal where accepted (Algorithm 1, line 15)."""
    for kept, proposed, reason in _joined(current, proposals, reasons):
        yield proposed if reason is Reason.ACCEPTED else kept


def ledger(
    current: Mapping[str, Demonstration],
    proposals: Mapping[str, Demonstration],
    preferences: Mapping[str, Preference],
    reasons: Mapping[str, Reason],
    *,
    round_number: int,
    annotator: str,
) -> Iterator[Refinement]:
    """Yield one line an example in the order of `current`; all mappings go by example id.

    `preferences` has the compared examples alone, and only their lines name the annotator.
    """
    for kept, proposed, reason in _joined(current, proposals, reasons):
        preference = preferences.get(kept.example_id)
        p_b_ab, p_b_ba = (None, None) if preference is None else by_order(preference)
        kept_id, proposed_id = kept.id, proposed.id  # each is a hash: computed once
        yield Refinement(
            example_id=kept.example_id,
            round=round_number,
            kept=kept_id,
            proposed=proposed_id,
            chosen=proposed_id if reason is Reason.ACCEPTED else kept_id,
            score=None if preference is None else confidence(preference),
            p_b_ab=p_b_ab,
            p_b_ba=p_b_ba,
            annotator="" if preference is None else annotator,
            model=proposed.producer,
            reason=reason,
        )


def over_risk(lines: Iterable[Refinement]) -> Iterator[Refinement]:
    """Yield a round's ledger with every change taken back, since an audit's bound on its harm is too high."""
    for line in lines:
        accepted = line.reason is Reason.ACCEPTED
        yield dataclasses.replace(line, chosen=line.kept, reason=Reason.OVER_RISK) if accepted else line


def _joined(
    current: Mapping[str, Demonstration], proposals: Mapping[str, Demonstration], reasons: Mapping[str, Reason]
) -> Iterator[tuple[Demonstration, Demonstration, Reason]]:
    assert len(current) == len(proposals) == len(reasons), (len(current), len(proposals), len(reasons))
    for example_id, kept in current.items():
        proposed = proposals[example_id]
        assert kept.example_id == proposed.example_id == example_id, (example_id, kept, proposed)
        yield kept, proposed, reasons[example_id]


def by_order(preference: Preference) -> tuple[float | None, float | None]:
    """Return P(b is better) from order AB and from BA, None where nobody saw it so.

    A judge that keeps no raw probabilities (the oracle) is order-free: its p_b stands for the first order.
    """
    shown, raw = preference.shown, preference.raw
    if not raw:
        return preference.p_b, None
    if shown == _BOTH:  # nearly every row of a million: 1 microsecond instead of 3
        return turned_back(raw[0], Order.AB), turned_back(raw[1], Order.BA)
    return _mean_p_b(shown, raw, Order.AB), _mean_p_b(shown, raw, Order.BA)


def orders_of(preference: Preference) -> tuple[float, ...]:
    """Return P(b is better) from each order in which the comparison was judged: none, one or two numbers."""
    return tuple(p_b for p_b in by_order(preference) if p_b is not None)


def _mean_p_b(shown: Sequence[Order], raw: Sequence[float], order: Order) -> float | None:
    seen = [turned_back(p, order) for one, p in zip(shown, raw, strict=True) if one is order]
    return math.fsum(seen) / len(seen) if seen else None
