"""Comparisons: which answers are compared, how the two sides are shown, and how judgements become a preference."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from burnish.protocols import AnswerMatcher
from burnish.types import (
    Accept,
    Answer,
    Comparison,
    Demonstration,
    Message,
    Order,
    PairRow,
    Preference,
    Reason,
    Verdict,
    short_hash,
    turned_back,
)

# P(b is better) for each vote. An abstention has no vote, so it is not here.
_BOTH, _ONE = (Order.AB, Order.BA), (Order.AB,)
VOTES = {Verdict.A: 0.0, Verdict.TIE: 0.5, Verdict.B: 1.0}
EVEN = 1e-12
"""A p_b closer to 0.5 than this is a tie. The small rest comes from the rounding of a sum; it is not an opinion."""


def combined(comparison_id: str, shown: Sequence[Order], p_second: Sequence[float | None], judge: str) -> Preference:
    """Average a judge's P(the second answer shown is better) over the orders in which it saw the comparison.

    If one order failed (None), the result is an abstention: the other order alone would keep the judge's position bias.
    The orders that were judged stay in `shown` and `raw`.
    """
    assert len(shown) == len(p_second), (comparison_id, shown, p_second)
    # Each order counts once; an order that is asked twice would weigh more in the mean.
    assert len(set(shown)) == len(shown), (comparison_id, shown)
    judged = [(order, p) for order, p in zip(shown, p_second, strict=True) if p is not None]
    assert all(0.0 <= p <= 1.0 for _, p in judged), (comparison_id, judge, p_second)
    complete = bool(judged) and len(judged) == len(shown)
    # fsum rounds once, at the end, so the mean does not depend on the order of the orders.
    p_b = math.fsum(turned_back(p, order) for order, p in judged) / len(judged) if complete else None
    orders, raw = tuple(order for order, _ in judged), tuple(p for _, p in judged)
    return _preference(comparison_id, p_b, judge, orders, raw)


def abstentions(comparisons: Iterable[Comparison], judged: AbstractSet[str], judge: str) -> list[Preference]:
    """Return an abstention for each comparison whose id is not in `judged`."""
    return [
        combined(comparison.id, (Order.AB,), (None,), judge)
        for comparison in comparisons
        if comparison.id not in judged
    ]


def from_difference(comparison_id: str, logit: float, judge: str) -> Preference:
    """Turn a difference of scores into a preference: p_b = sigmoid(logit).

    `logit` is the score of b minus the score of a, in nats. The judge has no order: it scores each answer alone. Above
    about 37 nats p_b is exactly 1.0 in floats. So the preference keeps the logit, which still ranks.
    """
    assert not math.isnan(logit), (comparison_id, judge)
    p_b = sigmoid(logit)
    return _preference(comparison_id, p_b, judge, (Order.AB,), (p_b,), logit)


def sigmoid(logit: float) -> float:
    """Return 1 / (1 + exp(-logit))."""
    # Both forms are the sigmoid. Each is used where its exponent is at most 0, because exp overflows above about 709.
    return 1.0 / (1.0 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1.0 + math.exp(logit))


def logit_of(p_b: float, known: float | None = None) -> float:
    """Return log(p_b / (1 - p_b)) in nats. `known` is the logit that the judge recorded, if it recorded one.

    Without it the result is between -36.7 and 36.7, because the p_b next to 1 in floats is 1 - 2**-53.
    """
    if known is not None:
        return known
    inside = min(max(p_b, 2.0**-53), 1.0 - 2.0**-53)
    return math.log(inside / (1.0 - inside))


def majority(preferences: Sequence[Preference]) -> Preference:
    """Combine several judgements of one comparison: the mean p_b of those that do not abstain.

    `judge` joins the names of the judges that were counted, or of all judges if all abstain. The names are sorted, and
    each appears once. `shown` and `raw` hold the values of the counted judges, one judge after the other.
    """
    ids = {preference.comparison_id for preference in preferences}
    assert len(ids) == 1, ids
    counted = [preference for preference in preferences if preference.p_b is not None]
    p_bs = [preference.p_b for preference in counted if preference.p_b is not None]
    return _preference(
        preferences[0].comparison_id,
        math.fsum(p_bs) / len(p_bs) if p_bs else None,
        "+".join(sorted({preference.judge for preference in counted or preferences})),
        tuple(order for preference in counted for order in preference.shown),
        tuple(p for preference in counted for p in preference.raw),
    )


def _preference(
    comparison_id: str,
    p_b: float | None,
    judge: str,
    shown: tuple[Order, ...],
    raw: tuple[float, ...],
    logit: float | None = None,
) -> Preference:
    # Round to exactly 0.5 here, so that the stored p_b and its verdict agree.
    if p_b is not None and abs(p_b - 0.5) <= EVEN:
        p_b = 0.5
    verdict = verdict_of(p_b)
    return Preference(
        comparison_id=comparison_id, shown=shown, verdict=verdict, p_b=p_b, judge=judge, raw=raw, logit=logit
    )


def verdict_of(p_b: float | None) -> Verdict:
    """Return the verdict for P(b is better). None, a missing probability, is an abstention."""
    if p_b is None:
        return Verdict.ABSTAIN
    if abs(p_b - 0.5) <= EVEN:
        return Verdict.TIE
    return Verdict.B if p_b > 0.5 else Verdict.A


def confidence(preference: Preference) -> float | None:
    """Return |p_b - 0.5|, in [0, 0.5]. Accepted proposals are ranked by it. Return None for an abstention."""
    return None if preference.p_b is None else abs(preference.p_b - 0.5)


def agreed(preference: Preference) -> float:
    """Return the share of the single judgements in a preference that come to its own verdict, in [0, 1].

    It is 1 for one judgement. It tells equally confident preferences apart that several people judged: two people who
    moderately prefer b agree more than one who is sure and one who finds both alike.
    """
    if not preference.raw:
        return 1.0
    verdicts = [verdict_of(turned_back(p, order)) for p, order in zip(preference.raw, preference.shown, strict=True)]
    return verdicts.count(preference.verdict) / len(verdicts)


def tie_rank(preference: Preference, *key: str) -> str:
    """Return a text by which equally confident preferences are ranked, the lowest first.

    More agreement (`agreed`) comes first. Then a hash of `key` decides.
    """
    return f"{1.0 - agreed(preference):.6f} {short_hash('rank', *key)}"


def by_order(preference: Preference) -> tuple[float | None, float | None]:
    """Return P(b is better) from order AB and from order BA. An order that nobody judged is None.

    A judge that keeps no raw probabilities (the oracle) has no order. Its p_b stands in the place of order AB.
    """
    shown, raw = preference.shown, preference.raw
    if not raw:
        return preference.p_b, None
    # Fast paths for nearly every row: 1 microsecond instead of 3.
    if shown == _BOTH:
        return turned_back(raw[0], Order.AB), turned_back(raw[1], Order.BA)
    if shown == _ONE:
        return turned_back(raw[0], Order.AB), None
    return _mean_p_b(shown, raw, Order.AB), _mean_p_b(shown, raw, Order.BA)


def orders_of(preference: Preference) -> tuple[float, ...]:
    """Return P(b is better) from each order in which the comparison was judged: no, one or two numbers."""
    return tuple(p_b for p_b in by_order(preference) if p_b is not None)


def _mean_p_b(shown: Sequence[Order], raw: Sequence[float], order: Order) -> float | None:
    """Return the mean P(b is better) over all judgements in one order. Return None where there are none."""
    # One order may have several judgements: `majority` joins those of all its judges.
    p_bs = [turned_back(p, order) for shown_order, p in zip(shown, raw, strict=True) if shown_order is order]
    return math.fsum(p_bs) / len(p_bs) if p_bs else None


def both_orders(comparison: Comparison, prompt: tuple[Message, ...]) -> tuple[PairRow, PairRow]:
    """Return the comparison twice: in its own order (id ends in `:ab`) and swapped (`:ba`).

    A judge that sees a first and a second answer is asked about both, so that its position bias can be averaged out.
    """
    identity, a, b = comparison.id, comparison.a.completion, comparison.b.completion
    return (
        PairRow(id=f"{identity}:{Order.AB}", prompt=prompt, first=a, second=b),
        PairRow(id=f"{identity}:{Order.BA}", prompt=prompt, first=b, second=a),
    )


def answer_of(matcher: AnswerMatcher, demonstration: Demonstration) -> Answer | None:
    """Return a demonstration's final answer, or None where it has none.

    A demonstration that was cut at the token limit has no final answer, whatever its text says.
    """
    return matcher.extract(demonstration.completion) if demonstration.finished else None


def most_voted(matcher: AnswerMatcher, drawn: Sequence[Demonstration]) -> tuple[Demonstration, float]:
    """Find the most frequent final answer among several answers to one prompt.

    Returns the first of the answers that give it, and the share of all answers that give it. If two final answers are
    equally frequent, the one that came first wins. An answer that was cut, or that has no final answer, has no vote but
    counts in the total. If no answer has a vote, the first answer is returned with the share 0.
    """
    ranked = camps(matcher, drawn)
    return (ranked[0][0], ranked[0][1] / len(drawn)) if ranked else (drawn[0], 0.0)


def camps(matcher: AnswerMatcher, drawn: Sequence[Demonstration]) -> list[tuple[Demonstration, int]]:
    """Return the first of the answers that give each final answer, with the number of answers that give it.

    The most frequent final answer comes first, and of equally frequent ones the one that came first. An answer that was
    cut, or that has no final answer, is left out.
    """
    # A list and not a dict: only `agree` knows whether two answers are the same. Two SQL queries with different texts
    # agree if their results are the same.
    found: list[tuple[Answer, Demonstration, int]] = []
    for demonstration in drawn:
        answer = answer_of(matcher, demonstration)
        if answer is None:
            continue
        for place, (known, first, votes) in enumerate(found):
            if matcher.agree(known, answer):
                found[place] = (known, first, votes + 1)
                break
        else:
            found.append((answer, demonstration, 1))
    # The sort is stable: equally frequent answers stay in the order in which they came.
    return sorted(((first, votes) for _, first, votes in found), key=lambda camp: -camp[1])


def voted(preferences: Sequence[Preference], accept: Accept = Accept.MEAN) -> Preference:
    """Let several judgements of one comparison vote. A tie is half a vote for each side; an abstention is no vote.

    P(b is better) becomes the share of votes for b, however sure each voter is. With `BOTH_ORDERS`, a voter whose two
    orders name different winners votes for a tie. The result then keeps only the share of votes, because a share has no
    order: `shown` and `raw` are empty.
    """
    votes = [
        dataclasses.replace(preference, p_b=VOTES[vote_of(preference, accept)])
        for preference in preferences
        if preference.verdict is not Verdict.ABSTAIN
    ]
    combined_vote = majority(votes or preferences)
    return combined_vote if accept is Accept.MEAN else dataclasses.replace(combined_vote, shown=(), raw=())


def vote_of(preference: Preference, accept: Accept) -> Verdict:
    """Return a voter's vote. With `BOTH_ORDERS` it is a tie unless all orders name the same winner."""
    if accept is Accept.MEAN:
        return preference.verdict
    verdicts = {verdict_of(turned_back(p, order)) for p, order in zip(preference.raw, preference.shown, strict=True)}
    return Verdict.TIE if len(verdicts) > 1 else preference.verdict


def screen(matcher: AnswerMatcher, current: Demonstration, proposal: Demonstration) -> Reason | None:
    """Say why a proposal is not compared. Return None where it is compared.

    A proposal is compared only if its final answer differs from the current one's (section 5.1). A current
    demonstration without a final answer differs from every valid proposal.
    """
    proposed = answer_of(matcher, proposal)
    if proposed is None:
        return Reason.INVALID
    kept = answer_of(matcher, current)
    if kept is None:
        return None
    return Reason.AGREED if matcher.agree(kept, proposed) else None


def request_text(prompt: Sequence[Message]) -> str:
    """Return a prompt as text for people and programs.

    A single message is returned as it is. Of several messages, each is preceded by its role.
    """
    if len(prompt) == 1:
        return prompt[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in prompt)


SECOND_BETTER: dict[str, float | None] = {"first": 0.0, "tie": 0.5, "second": 1.0, "abstain": None}
"""The verdicts that a program may write, each with its P(the second answer shown is better)."""
