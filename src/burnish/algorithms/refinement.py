"""Algorithm 1 as pure functions: split, selection under the cap, ledger, label update."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from burnish.algorithms.calibration import calibrated
from burnish.algorithms.caps import cap, meant, split_cap
from burnish.algorithms.comparisons import EVEN, by_order, confidence, verdict_of
from burnish.algorithms.ranking import Candidate, Eligible
from burnish.errors import ConfigError
from burnish.protocols import Score
from burnish.store.keys import Keys, packed, texts_of
from burnish.types import Accept, Demonstration, Preference, Reason, Refinement, Verdict

_PIECE = 65_536
"""How many numbers of an array are Python objects at a time."""
# Algorithm 1 by its lines: 2 and 3 are `split`, 13 is `caps.cap`, 15 is `updated`, and 11 to 16 together are `select`
# and `updated`. Training and answering (4 to 8) need models and are in `steps.refining`.


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """The rule for which proposals may replace a label.

    `accept` says which verdict counts. `gate` is the lowest P(the proposal is better) that is enough. With a
    `temperature`, it is compared with the probability after temperature scaling.

    `MEAN`, the paper's rule, takes the mean of the two orders in which a pair is shown. The mean does not remove a
    position bias completely: the rest is noise, and this noise fills the cap. `BOTH_ORDERS` requires that each order
    prefers the proposal.

    `most_doubt` is the largest share of edits of a proposal that the annotator may prefer to it. None sets no limit.
    """

    accept: Accept = Accept.MEAN
    gate: float = 0.5
    temperature: float | None = None
    most_doubt: float | None = None


PAPER = Acceptance()
"""The paper's rule: the mean of both orders, with any p_b above 0.5."""


def split(
    groups: Mapping[str, str], seed: int, round_number: int, purpose: str = "cross", parts: int = 2
) -> tuple[tuple[str, ...], ...]:
    """Split examples into parts of sorted ids: two halves in Algorithm 1, lines 2 and 3.

    `groups` is {example id: group}. Rows of one group stay together. The groups are shuffled; then they are dealt,
    larger groups first, each to the smallest part. If there are many groups of one row, the sizes differ by at most
    one; they never differ by more than the largest group.
    """
    cut = split_keys(
        packed(id_.encode() for id_ in groups),
        packed(group.encode() for group in groups.values()),
        seed,
        round_number,
        purpose,
        parts,
    )
    return tuple(tuple(texts_of(part)) for part in cut)


def split_keys(id_N: Keys, group_N: Keys, seed: int, round_number: int, purpose: str, parts: int) -> tuple[Keys, ...]:
    """Do what `split` does for many rows. N counts the rows and G the groups."""
    # The groups are sorted before the shuffle, so that the order of the input file does not change the split.
    _, group_N, size_G = np.unique(group_N, return_inverse=True, return_counts=True)
    order = array("q", range(len(size_G)))
    # The key holds purpose and round, so that each of them has a split of its own.
    random.Random(_key(seed, purpose, round_number)).shuffle(order)  # noqa: S311 reproducible, not secret  # pyright: ignore[reportArgumentType]
    order_G = np.frombuffer(order, dtype=np.int64) if len(order) else np.zeros(0, dtype=np.int64)
    # The sort is stable: groups of one size stay in their shuffled order.
    order_G = order_G[np.argsort(-size_G[order_G], kind="stable")]
    part_G, sizes = np.zeros(len(size_G), dtype=np.uint16), [0] * parts
    for start in range(0, len(order_G), _PIECE):
        some = order_G[start : start + _PIECE]
        for group, size in zip(some.tolist(), size_G[some].tolist(), strict=True):
            smallest = sizes.index(min(sizes))  # the first of the smallest
            sizes[smallest] += size
            part_G[group] = smallest
    return tuple(np.sort(id_N[part_G[group_N] == part]) for part in range(parts))


def _key(*parts: str | int) -> int:
    """Return a number of 256 bits that depends on the parts alone.

    Python's hash() cannot be used: for strings it differs from process to process.
    """
    # The separator keeps ("a", "bc") and ("ab", "c") apart.
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest(), "big")


def select(
    candidates: Iterable[Candidate],
    alpha: float,
    n: int,
    shares: Mapping[str, float] | None = None,
    rule: Acceptance = PAPER,
) -> list[Reason]:
    """Decide what becomes of each candidate: at most floor(alpha * n), the most confident, are accepted.

    A proposal is eligible if `rule` prefers it. Candidates of equal confidence are ranked by example id. With mixed
    feedback, `shares` ({source: share of the cap}) selects within each source: an oracle's verdicts have full
    confidence and would fill the whole cap. If a source has too few eligible proposals, the rest of its share stays
    unused. The candidates may come from an iterator if they are in the order of their ids: none of them is kept.

    Raises ConfigError if alpha or a share is out of range, or if an annotator has no share.
    """
    allowed = cap(alpha, n)
    # Without shares there is one cap for all; it has the empty name.
    room = {"": allowed} if shares is None else split_cap(allowed, shares)
    reasons, eligible, judged_by, ascending, previous = list[Reason](), Eligible(), set[str](), True, ""
    for index, candidate in enumerate(candidates):
        ascending = ascending and (index == 0 or previous < candidate.example_id)
        previous = candidate.example_id
        if candidate.screened is None:
            judged_by.add(candidate.source)
        reason = before_cap(candidate, rule)
        reasons.append(reason)
        if reason is Reason.ACCEPTED:
            eligible.add(index, candidate)
    assert ascending or len({candidate.example_id for candidate in candidates}) == len(reasons), "an id comes once"
    # Only sources that judged something need a share.
    if shares is not None and (missing := sorted(judged_by - shares.keys())):
        raise ConfigError(f"shares: source {missing[0]!r} has no share; give a share to each of the mixed annotators")
    # The most confident come first and use the cap up; all others are over the cap.
    for index, judge in eligible.ranked(ascending):
        source = "" if shares is None else judge
        if room[source] > 0:
            room[source] -= 1
        else:
            reasons[index] = Reason.OVER_CAP
    accepted = reasons.count(Reason.ACCEPTED)
    # The cap is a promise to the user: no more labels change than alpha allows.
    assert accepted <= allowed, (accepted, allowed)
    return reasons


def before_cap(candidate: Candidate, rule: Acceptance) -> Reason:
    """Return the reason that a candidate would have without a cap."""
    if candidate.screened is not None:
        assert candidate.verdict is None, candidate
        return candidate.screened
    assert candidate.verdict is verdict_of(candidate.p_b), candidate
    # The rule of orders goes first: a mean above the gate must not accept what the two orders disagree on.
    reason = _split_orders(candidate, rule.accept) or _by_mean(candidate, rule)
    return Reason.DISTRUSTED if reason is Reason.ACCEPTED and _doubtful(candidate, rule) else reason


def _doubtful(candidate: Candidate, rule: Acceptance) -> bool:
    """Say whether the annotator prefers too many edits of a proposal. Where no share is known, it does not."""
    if rule.most_doubt is None or candidate.doubt is None:
        return False
    return candidate.doubt > rule.most_doubt + EVEN


def _split_orders(candidate: Candidate, accept: Accept) -> Reason | None:
    """Say why two orders together prefer no side. Return None where they agree or only one order was judged."""
    if accept is Accept.MEAN or candidate.p_b is None or len(candidate.orders) < 2:
        return None
    verdicts = {verdict_of(p_b) for p_b in candidate.orders}
    # One order without a preference is a tie, even if the other order prefers a side.
    if Verdict.TIE in verdicts:
        return Reason.TIE
    return Reason.ORDERS_DISAGREE if len(verdicts) > 1 else None


def _by_mean(candidate: Candidate, rule: Acceptance) -> Reason:
    """Return the reason that follows from the mean over the orders."""
    match candidate.verdict:
        case Verdict.A:
            return Reason.REJECTED
        case Verdict.B:
            assert candidate.p_b is not None, candidate
            p_b = calibrated(candidate.p_b, rule.temperature, candidate.logit)
            # EVEN: a graded answer of 2 means 5/6, which floats round in two ways, as 1/2 + 1/3 and as 5/6.
            return Reason.ACCEPTED if p_b >= rule.gate - EVEN else Reason.BELOW_GATE
        case Verdict.TIE:
            return Reason.TIE
        case Verdict.ABSTAIN:
            return Reason.ABSTAINED
        case None:
            # A candidate that passed the screening was judged, so it has a verdict.
            raise AssertionError(candidate)
        case _:
            assert_never(candidate.verdict)


def naive_choice(candidates: Sequence[Candidate], alpha: float, n: int, seed: int, round_number: int) -> list[Reason]:
    """Accept floor(alpha * n) valid proposals at random, without feedback: naive ILR (section 5.2, appendix E.2).

    A proposal that agrees with the current label may be chosen too, because the paper draws from all proposals. Raises
    ConfigError if alpha is not in (0, 1].
    """
    total = cap(alpha, n)
    # Every valid proposal can be drawn, also one that was screened because it agrees.
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
    """Draw `count` of the ids, or all if there are fewer.

    The ids with the lowest hash of seed, purpose, round and id are drawn. So the draw does not depend on the order of
    the ids, and each id's hash stays the same when other ids are added.
    """
    return frozenset(sorted(ids, key=lambda id_: _key(seed, purpose, round_number, id_))[:count])


def distant(
    reasons: Mapping[str, Reason | None], scores: Mapping[str, Score], share: float | None
) -> dict[str, Reason | None]:
    """Screen proposals by their distance from the current label (section 5.1).

    A proposal at distance 0 agrees. With `share`, only that share of the other proposals is compared: the most distant
    ones, and equal distances are ranked by id. A row without a score is not compared.
    """
    differing_ids = [id_ for id_, why in reasons.items() if why is None and id_ in scores and scores[id_].value > 0]
    # floor, as for the cap; `meant` keeps the product exact.
    count = len(differing_ids) if share is None else math.floor(meant(share) * len(differing_ids))
    chosen = frozenset(sorted(differing_ids, key=lambda id_: (-scores[id_].value, id_))[:count])
    differing_set = frozenset(differing_ids)

    def screened(id_: str, why: Reason | None) -> Reason | None:
        if why is not None or id_ in chosen:
            return why
        return Reason.NOT_COMPARED if id_ in differing_set or id_ not in scores else Reason.AGREED

    return {id_: screened(id_, why) for id_, why in reasons.items()}


def updated(
    current: Iterable[Demonstration],
    proposals: Iterable[Demonstration],
    preferences: Iterable[Preference | None],
    reasons: Iterable[Reason],
    *,
    round_number: int,
    annotator: str | None,
) -> Iterator[tuple[Refinement, Demonstration]]:
    """Yield the ledger line and the label after the round for each example (Algorithm 1, line 15).

    The label is the proposal if that was accepted, else the current label. All arguments are in one order of the
    examples. A preference is None where nothing was compared, and then the line names no annotator. If `annotator` is
    None, each line names the judge of its preference.
    """
    for kept, proposed, preference, reason in zip(current, proposals, preferences, reasons, strict=True):
        assert kept.example_id == proposed.example_id, (kept, proposed)
        p_b_ab, p_b_ba = (None, None) if preference is None else by_order(preference)
        kept_id, proposed_id = kept.id, proposed.id  # each id is a sha256, so it is computed only once
        accepted = reason is Reason.ACCEPTED
        line = Refinement(
            example_id=kept.example_id,
            round=round_number,
            kept=kept_id,
            proposed=proposed_id,
            chosen=proposed_id if accepted else kept_id,
            score=None if preference is None else confidence(preference),
            p_b_ab=p_b_ab,
            p_b_ba=p_b_ba,
            # Lines that nobody judged must not count as the annotator's work.
            annotator="" if preference is None else annotator or preference.judge,
            model=proposed.producer,
            reason=reason,
        )
        yield line, proposed if accepted else kept


def over_risk(lines: Iterable[Refinement]) -> Iterator[Refinement]:
    """Yield a round's ledger with every change taken back, because an audit's bound on harm is too high."""
    for line in lines:
        accepted = line.reason is Reason.ACCEPTED
        yield dataclasses.replace(line, chosen=line.kept, reason=Reason.OVER_RISK) if accepted else line
