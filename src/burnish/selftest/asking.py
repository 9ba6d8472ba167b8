"""The self-test of an annotator: how good its verdicts on planted or labelled pairs are, before money is spent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from burnish.algorithms.comparisons import by_order, logit_of, verdict_of
from burnish.config import SelftestConfig
from burnish.errors import AnnotatorError
from burnish.protocols import Annotator, AsksAgain
from burnish.results import Metric
from burnish.selftest.calibrating import calibration_of
from burnish.selftest.labelled import LabelledPair
from burnish.selftest.planted import CORRUPTIONS, Planted, Planting
from burnish.selftest.report import LabelledReport, SelftestReport, Tally
from burnish.stats import share_over_items, win_rate
from burnish.types import Comparison, Order, Preference, Verdict, turned_back

__all__ = ["LabelledReport", "SelftestReport", "Tally", "check", "on_pairs", "selftest"]

_BOTH_NAMED = {Verdict.A, Verdict.B}
TIMES = 2
"""How often the self-test asks about each planted pair. The second time shows whether the verdicts stay the same."""
Tell: TypeAlias = Callable[[int, int], None]
"""A function that gets the number of pairs judged so far and the number of all pairs."""


def _silent(done: int, total: int) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A preference, and the side of the answer whose wins are counted."""

    preference: Preference
    counted_is_a: bool

    @property
    def p_counted(self) -> float | None:
        """P(the counted answer is better), or None for an abstention. The preference has P(b is better), so it is
        turned around if the counted answer is on side a."""
        p_b = self.preference.p_b
        return None if p_b is None else turned_back(p_b, Order.BA if self.counted_is_a else Order.AB)

    @property
    def logit(self) -> float | None:
        """The log-odds of the counted answer, or None for a tie or an abstention."""
        if self.preference.p_b is None or self.verdict is Verdict.TIE:
            return None
        logit = logit_of(self.preference.p_b, self.preference.logit)
        return -logit if self.counted_is_a else logit

    @property
    def verdict(self) -> Verdict:
        """The verdict as if the counted answer were on side b: B if it is preferred."""
        return verdict_of(self.p_counted)


def selftest(
    annotator: Annotator, planted: Sequence[Planted], again: Annotator | None = None, tell: Tell = _silent
) -> SelftestReport:
    """Ask an annotator about planted pairs twice, and return a report.

    The second time, `again` is asked. If it is not given, the annotator's method `again()` makes the second annotator.
    Annotators that remember their answers have this method. Otherwise the annotator itself is asked again. `tell` is
    called with the number of pairs judged so far and the number of all pairs. Raises AnnotatorError if the annotator
    leaves a pair without a preference.
    """
    comparisons = [pair.comparison for pair in planted]
    first = _asked(annotator, comparisons, tell, 0, TIMES)
    second = _asked(again if again is not None else _fresh(annotator), comparisons, tell, 1, TIMES)
    # Every kind has a list. It is empty if no pair of that kind could be planted.
    by_kind = {kind: list(_of_kind(planted, first, kind)) for kind in Planting}
    corrupted = [judged for kind in CORRUPTIONS for judged in by_kind[kind]]
    # Ties and flips are counted only on corrupted pairs, because on two equally good answers they are not a fault.
    preferences = [judged.preference for judged in corrupted]
    # Neither side is better here, so any preference shows a lean to a position.
    same = [judged.preference for judged in by_kind[Planting.SAME]]
    longer = [judged.p_counted for judged in by_kind[Planting.LONGER]]
    return SelftestReport(
        annotator=annotator.fingerprint,
        pairs=len(planted),
        accuracy=Metric.of(win_rate(judged.verdict for judged in corrupted)),
        by_planting={
            kind: Metric.of(win_rate(judged.verdict for judged in by_kind[kind]))
            for kind in CORRUPTIONS
            if by_kind[kind]
        },
        ties=_ties(preferences),
        abstained=_abstained(list(first.values())),
        position_lean=None if annotator.order_free else _position_lean([*preferences, *same]),
        flip_rate=None if annotator.order_free else _flip_rate(preferences),
        length_lean=_lean([p for p in longer if p is not None]),
        self_consistency=_same_verdicts(first, second),
        calibration=calibration_of([logit for judged in corrupted if (logit := judged.logit) is not None]),
    )


def on_pairs(annotator: Annotator, pairs: Sequence[LabelledPair], tell: Tell = _silent) -> LabelledReport:
    """Ask an annotator about labelled pairs, and return a report.

    `tell` is called with the number of pairs judged so far and the number of all pairs. Raises AnnotatorError if the
    annotator leaves a pair without a preference.
    """
    asked = _asked(annotator, [pair.comparison for pair in pairs], tell, 0, 1)
    judged = [_Judged(preference=asked[pair.comparison.id], counted_is_a=pair.first_better) for pair in pairs]
    preferences = [one.preference for one in judged]
    by_subset: dict[str, list[_Judged]] = {}
    for pair, one in zip(pairs, judged, strict=True):
        if pair.subset:
            by_subset.setdefault(pair.subset, []).append(one)
    return LabelledReport(
        annotator=annotator.fingerprint,
        pairs=len(pairs),
        accuracy=_decided(judged),
        by_subset={name: _decided(by_subset[name]) for name in sorted(by_subset)},
        ties=_ties(preferences),
        abstained=_abstained(preferences),
        position_lean=None if annotator.order_free else _position_lean(preferences),
        flip_rate=None if annotator.order_free else _flip_rate(preferences),
    )


def check(report: SelftestReport, settings: SelftestConfig) -> None:
    """Check that an annotator is good enough.

    Raises AnnotatorError if the accuracy is below `min_accuracy`, or if it cannot be measured. The message has all
    lines of the report. Nothing is raised if the user asked to continue anyway (`go_on`).
    """
    value = report.accuracy.value
    if settings.go_on or (value is not None and value >= settings.min_accuracy):
        return
    result = "no verdict on a corrupted pair" if value is None else f"accuracy {value:.3f} on planted pairs"
    raise AnnotatorError(
        "\n  ".join(
            [
                f"selftest: {result}, selftest.min_accuracy is {settings.min_accuracy}; take another annotator, change "
                "its prompt, or use --go-on (selftest.go_on: true)",
                *report.words(),
            ]
        )
    )


def unusable(report: SelftestReport | LabelledReport, least: float) -> str | None:
    """Return why an annotator cannot be used, or None if it can. `refine` stops if the accuracy is below `least`."""
    value, pairs = report.accuracy.value, _pairs_words(report)
    if value is not None and value >= least:
        return None
    # An annotator that always abstains and one that never names a winner both have no accuracy. The reasons differ.
    if value is None and report.abstained.value == 1.0:
        reason = f"it gives no verdict on any of {report.abstained.n:,} pairs"
    elif value is None:
        reason = f"it names no better answer on any of the {pairs}"
    else:
        reason = f"its accuracy on {pairs} is {value:.3f}"
    # If the order cannot matter to an annotator, its report has no lean and no flip rate.
    lean = report.position_lean
    # This is a hint for the user: on most pairs the position decides, and not the answer.
    if report.flip_rate is not None and (report.flip_rate.value or 0.0) > 0.5 and lean is not None:
        place = "first" if (lean.value or 0.0) > 0 else "second"
        reason += f"; on most pairs it prefers whichever answer is shown {place}"
    return reason


def judgement(report: SelftestReport | LabelledReport, least: float) -> str:
    """Say in a sentence whether an annotator can be used."""
    if why := unusable(report, least):
        return f"This annotator cannot be used: {why}. `refine` stops below {least:g}."
    return (
        f"This annotator can be used: its accuracy on {_pairs_words(report)} is {report.accuracy.value:.3f}, and "
        f"`refine` stops below {least:g}."
    )


def _pairs_words(report: SelftestReport | LabelledReport) -> str:
    """Return the words for the pairs of a report."""
    return "planted pairs" if isinstance(report, SelftestReport) else "labelled pairs"


def _asked(
    annotator: Annotator, comparisons: Sequence[Comparison], tell: Tell, before: int, times: int
) -> dict[str, Preference]:
    """Return {comparison id: preference}. Raises AnnotatorError if one is missing.

    For the progress, `times` is how often all comparisons are asked in total, and `before` how often they were asked
    already.
    """
    # Two pairs may be the same comparison. It is asked once.
    distinct = list({comparison.id: comparison for comparison in comparisons}.values())
    preferences: dict[str, Preference] = {}
    if distinct:
        # Batches may come in any order, so preferences are joined by id.
        for batch in annotator.judge(distinct, frozenset()):
            preferences |= {preference.comparison_id: preference for preference in batch}
            tell(before * len(distinct) + len(preferences), times * len(distinct))
    missing = [comparison for comparison in distinct if comparison.id not in preferences]
    if missing:
        raise AnnotatorError(
            f"annotator {annotator.fingerprint}: no preference for the pair of {missing[0].example_id!r} "
            f"({len(missing)} of {len(distinct)} are missing); an annotator without a verdict must abstain"
        )
    return {comparison.id: preferences[comparison.id] for comparison in distinct}


def _fresh(annotator: Annotator) -> Annotator:
    """Return an annotator that does not repeat remembered answers."""
    # Otherwise the second round would only read the first one's answers from the cache.
    return annotator.again() if isinstance(annotator, AsksAgain) else annotator


def _of_kind(planted: Iterable[Planted], asked: Mapping[str, Preference], kind: Planting) -> Iterator[_Judged]:
    """Yield the judgements on one kind of planted pair. The wins of the label are counted. In a pair with a longer
    copy, the wins of the copy are counted."""
    for pair in planted:
        if pair.planting is kind:
            # The longer copy is the side that is not the label, so the comparison is turned for that kind.
            counted_is_a = pair.label_is_a != (kind is Planting.LONGER)
            yield _Judged(preference=asked[pair.comparison.id], counted_is_a=counted_is_a)


def _decided(judged: Sequence[_Judged]) -> Metric:
    """Return the share of right verdicts. Ties and abstentions are left out."""
    counts = Counter(judgement_.verdict for judgement_ in judged)
    return Metric.share(counts[Verdict.B], counts[Verdict.A] + counts[Verdict.B])


def _ties(preferences: Sequence[Preference]) -> Tally:
    """Return the ties among the pairs with a verdict."""
    verdicts = Counter(preference.verdict for preference in preferences)
    return _tally(verdicts[Verdict.TIE], len(preferences) - verdicts[Verdict.ABSTAIN])


def _abstained(preferences: Sequence[Preference]) -> Tally:
    """Return the pairs without a verdict."""
    return _tally(sum(preference.verdict is Verdict.ABSTAIN for preference in preferences), len(preferences))


def _same_verdicts(first: Mapping[str, Preference], second: Mapping[str, Preference]) -> Metric:
    """Return the share of pairs with the same verdict both times. Abstentions are left out."""
    twice = [(first[id_].verdict, second[id_].verdict) for id_ in first]
    decided = [verdicts for verdicts in twice if Verdict.ABSTAIN not in verdicts]
    return Metric.share(sum(before is after for before, after in decided), len(decided))


def _position_lean(preferences: Iterable[Preference]) -> Metric:
    """Return how much the answer shown first is preferred. First the two orders of a pair are averaged, because they
    are not independent judgements. Abstentions are left out."""
    shares = [
        _first_preferred(preference)
        for preference in preferences
        if preference.verdict is not Verdict.ABSTAIN and preference.raw
    ]
    return _lean([math.fsum(share) / len(share) for share in shares])


def _first_preferred(preference: Preference) -> list[float]:
    """Return for each order in which a pair was shown whether the first answer won: 1, 0.5 for a tie, or 0."""
    shares: list[float] = []
    for p_b, order in zip(by_order(preference), Order, strict=True):
        if p_b is not None:
            verdict = verdict_of(turned_back(p_b, order))  # side A is now the answer that was shown first
            shares.append(0.5 if verdict is Verdict.TIE else float(verdict is Verdict.A))
    return shares


def _flip_rate(preferences: Iterable[Preference]) -> Metric:
    """Return the share of pairs whose two orders name different winners. Only pairs judged in both orders count."""
    orders = [by_order(preference) for preference in preferences]
    # A pair that was judged in only one order cannot flip.
    both = [(verdict_of(ab), verdict_of(ba)) for ab, ba in orders if ab is not None and ba is not None]
    return Metric.share(sum(set(verdicts) == _BOTH_NAMED for verdicts in both), len(both))


def _lean(shares: Sequence[float]) -> Metric:
    """Return the mean of some shares minus one half. The interval is shifted by one half, too."""
    # 0 means no lean. The extremes are -0.5 and +0.5.
    interval = share_over_items(shares) if shares else None
    if interval is None or interval.low is None or interval.high is None:
        return Metric.of(None)
    return Metric(value=interval.value - 0.5, n=interval.n, ci95=(interval.low - 0.5, interval.high - 0.5))


def _tally(count: int, n: int) -> Tally:
    """Return a share together with its count."""
    share = Metric.share(count, n)
    return Tally(value=share.value, n=share.n, ci95=share.ci95, count=count)
