"""The self-test on annotators whose faults are known: every number by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import pytest

from burnish.algorithms.comparisons import combined
from burnish.config import SelftestConfig
from burnish.errors import AnnotatorError
from burnish.protocols import Annotator
from burnish.selftest.asking import SelftestReport, check, on_pairs, selftest
from burnish.selftest.labelled import LabelledPair, bundled_rows
from burnish.selftest.planted import CORRUPTIONS, Planted, Planting, plant
from burnish.types import Comparison, Demonstration, DemonstrationSource, Example, Order, Preference

PLANTED = plant(bundled_rows(), 0)
"""24 corrupted pairs, 24 labels against themselves, 12 longer copies."""
Z2 = 1.959964**2
"""3.8415: Wilson's upper bound for 0 of n is Z2 / (n + Z2)."""
Opinion = Callable[[Comparison], tuple[float | None, ...]]


class Fake:
    """Answers with P(the second one shown is better) for order ab and, where it has two opinions, for ba."""

    fingerprint = "fake"

    def __init__(self, opinion: Opinion, order_free: bool = False) -> None:
        self.opinion, self.order_free, self.asked = opinion, order_free, 0

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        self.asked += len(comparisons)
        for comparison in comparisons:
            p_second = self.opinion(comparison)
            yield [combined(comparison.id, tuple(Order)[: len(p_second)], p_second, "fake")]


def by_planting(opinions: dict[Planting, tuple[float | None, float | None]], planted: Sequence[Planted]) -> Opinion:
    """Opinions as if the label stood at a: where it stands at b, the orders change places. A tie if not given."""
    known = {one.comparison.id: one for one in planted}

    def opinion(comparison: Comparison) -> tuple[float | None, float | None]:
        one = known[comparison.id]
        label_first, label_second = opinions.get(one.planting, (0.5, 0.5))
        return (label_first, label_second) if one.label_is_a else (label_second, label_first)

    return opinion


PERFECT = by_planting(dict.fromkeys(CORRUPTIONS, (0.0, 1.0)), PLANTED)
WRONG = by_planting(dict.fromkeys(CORRUPTIONS, (1.0, 0.0)), PLANTED)


def side(name: str, text: str) -> Demonstration:
    return Demonstration(example_id=name, completion=text, source=DemonstrationSource.GIVEN)


def pairs_of(kind: Planting, count: int) -> list[Planted]:
    """Pairs whose label stands at a and b in turn."""
    return [
        Planted(
            comparison=Comparison(example_id=str(n), a=side(str(n), f"{kind} a"), b=side(str(n), f"{kind} b")),
            planting=kind,
            label_is_a=n % 2 == 0,
        )
        for n in range(count)
    ]


# --- annotators


def test_a_perfect_annotator():
    report = selftest(Fake(PERFECT), PLANTED)
    assert (report.annotator, report.pairs) == ("fake", 60)
    assert (report.accuracy.value, report.accuracy.n) == (1.0, 24)
    assert report.accuracy.ci95 == pytest.approx((24 / (24 + Z2), 1.0), abs=1e-6)
    assert {kind: metric.value for kind, metric in report.by_planting.items()} == dict.fromkeys(CORRUPTIONS, 1.0)
    assert {metric.n for metric in report.by_planting.values()} == {6}
    assert (report.ties.count, report.ties.n, report.abstained.count, report.abstained.n) == (0, 24, 0, 60)
    assert report.position_lean is not None
    assert report.flip_rate is not None
    # 48 pairs at one half: at most Z2 / (48 + Z2) of pairs are otherwise, half of that to each side
    assert (report.position_lean.value, report.position_lean.n) == (0.0, 48)
    assert report.position_lean.ci95 == pytest.approx((-Z2 / (48 + Z2) / 2, Z2 / (48 + Z2) / 2), abs=1e-6)
    assert (report.flip_rate.value, report.flip_rate.n) == (0.0, 24)
    assert (report.length_lean.value, report.length_lean.n) == (0.0, 12)
    assert report.length_lean.ci95 == pytest.approx((-Z2 / (12 + Z2) / 2, Z2 / (12 + Z2) / 2), abs=1e-6)
    assert (report.self_consistency.value, report.self_consistency.n) == (1.0, 60)


def test_an_annotator_that_prefers_the_first_one_shown():
    report = selftest(Fake(lambda _: (0.0, 0.0)), PLANTED)
    assert report.accuracy.value == 0.5
    assert (report.ties.count, report.ties.value) == (24, 1.0)
    assert report.position_lean is not None
    assert report.flip_rate is not None
    assert report.position_lean.value == 0.5
    assert report.position_lean.ci95 == pytest.approx((48 / (48 + Z2) - 0.5, 0.5), abs=1e-6)
    assert (report.flip_rate.value, report.flip_rate.n) == (1.0, 24)
    assert report.length_lean.value == 0.0


def test_an_annotator_that_prefers_the_second_one_shown_leans_the_other_way():
    report = selftest(Fake(lambda _: (0.9, 0.9)), PLANTED)
    assert report.position_lean is not None
    assert report.position_lean.value == -0.5


@pytest.mark.parametrize("p_b", [0.0, 1.0])
def test_an_annotator_that_always_says_one_side_scores_half_on_every_kind(p_b: float):
    report = selftest(Fake(lambda _: (p_b,), order_free=True), PLANTED)
    assert report.accuracy.value == 0.5
    assert {metric.value for metric in report.by_planting.values()} == {0.5}
    assert report.length_lean.value == 0.0


def test_a_coin_is_near_one_half_and_not_consistent():
    tosses = iter([0.0, 1.0, 1.0, 0.0] + [1.0] * 4)  # asked twice
    planted = pairs_of(Planting.CUT, 4)  # labels at a, b, a, b: right, right, wrong, wrong
    report = selftest(Fake(lambda _: (next(tosses),), order_free=True), planted)
    assert (report.accuracy.value, report.accuracy.n) == (0.5, 4)
    assert report.accuracy.ci95 is not None
    assert report.accuracy.ci95[0] + report.accuracy.ci95[1] == pytest.approx(1.0)
    assert (report.self_consistency.value, report.self_consistency.n) == (0.5, 4)  # the two in the middle
    assert list(report.by_planting) == [Planting.CUT]


def test_an_annotator_that_is_always_wrong():
    report = selftest(Fake(WRONG), PLANTED)
    assert report.accuracy.value == 0.0
    assert report.flip_rate is not None
    assert report.flip_rate.value == 0.0


def test_ties_count_half_and_abstentions_not():
    opinions = iter([(0.0,), (0.0,), (0.5,), (None,)] * 2)  # labels at a, b, a, b: right, wrong, tie, abstain
    report = selftest(Fake(lambda _: next(opinions), order_free=True), pairs_of(Planting.CUT, 4))
    assert (report.accuracy.value, report.accuracy.n) == (0.5, 3)
    assert report.accuracy.ci95 == pytest.approx((0.0615, 0.9385), abs=1e-4)  # Wilson: 1 of 3 below, 2 of 3 above
    assert (report.ties.count, report.ties.n) == (1, 3)
    assert (report.abstained.count, report.abstained.n, report.abstained.value) == (1, 4, 0.25)
    assert (report.self_consistency.value, report.self_consistency.n) == (1.0, 3)


def test_an_annotator_that_loves_length():
    known = {one.comparison.id: one for one in pairs_of(Planting.LONGER, 4)}
    sure = {"0": 0.9, "1": 0.9, "2": 0.7, "3": 0.7}

    def opinion(comparison: Comparison) -> tuple[float]:
        p_longer = sure[comparison.example_id]
        return (p_longer if known[comparison.id].label_is_a else 1 - p_longer,)

    report = selftest(Fake(opinion, order_free=True), list(known.values()))
    # mean .8, sd .11547, standard error .057735, t with 3 degrees 3.18245: .8 +- .18374
    assert report.length_lean.value == pytest.approx(0.3)
    assert report.length_lean.ci95 == pytest.approx((0.11626, 0.48374), abs=1e-5)
    assert (report.accuracy.value, report.accuracy.n) == (None, 0)


def test_length_alone_is_worth_no_accuracy():
    def opinion(comparison: Comparison) -> tuple[float]:
        a, b = len(comparison.a.completion), len(comparison.b.completion)
        return (0.5 if a == b else float(b > a),)

    report = selftest(Fake(opinion, order_free=True), PLANTED)
    # A number or shuffled words leave the length (a tie), the cut copy is shorter, another answer longer where one is.
    found = {kind: metric.value for kind, metric in report.by_planting.items()}
    assert found == {Planting.NUMBER: 0.5, Planting.WORDS: 0.5, Planting.CUT: 1.0, Planting.OTHER: 0.0}
    assert report.accuracy.value == 0.5
    assert (report.length_lean.value, report.length_lean.n) == (0.5, 12)


def test_an_annotator_whose_replies_cannot_be_read():
    report = selftest(Fake(lambda _: (None, 0.2)), PLANTED)  # one order alone is no verdict
    assert (report.abstained.count, report.abstained.value) == (60, 1.0)
    nothing = [report.accuracy, report.position_lean, report.flip_rate, report.length_lean, report.self_consistency]
    assert [(metric.value, metric.n, metric.ci95) for metric in nothing if metric] == [(None, 0, None)] * 5
    assert any("not measured" in line for line in report.words())


def test_a_pair_is_one_vote_on_position_whatever_its_orders():
    opinions = iter([(0.2, 0.2), (0.9, 0.1), (0.5, 0.3)] * 2)
    report = selftest(Fake(lambda _: next(opinions)), pairs_of(Planting.SAME, 3))
    # The first one wins both times (1), once of two (.5), a tie and once (.75): mean .75, t 4.30265 * .25 / sqrt 3 is
    # .62104, and above 1 there is nothing.
    assert report.position_lean is not None
    assert (report.position_lean.value, report.position_lean.n) == (pytest.approx(0.25), 3)
    assert report.position_lean.ci95 == pytest.approx((0.75 - 0.62104 - 0.5, 0.5), abs=1e-4)


def test_one_order_shows_the_lean_but_no_flip():
    report = selftest(Fake(lambda _: (0.2,)), pairs_of(Planting.CUT, 4))  # as people see a pair
    assert report.position_lean is not None
    assert report.flip_rate is not None
    assert (report.position_lean.value, report.position_lean.n) == (0.5, 4)
    assert (report.flip_rate.value, report.flip_rate.n) == (None, 0)


def test_a_tie_in_one_order_names_no_winner_and_is_no_flip():
    opinions = iter([(0.5, 0.9), (0.9, 0.9), (0.9, 0.1), (0.5, 0.5)] * 2)
    report = selftest(Fake(lambda _: next(opinions)), pairs_of(Planting.CUT, 4))
    assert report.flip_rate is not None
    assert (report.flip_rate.value, report.flip_rate.n) == (0.25, 4)  # the second


def test_order_does_not_matter_to_an_order_free_annotator():
    report = selftest(Fake(lambda _: (0.2,), order_free=True), PLANTED)
    assert report.position_lean is None
    assert report.flip_rate is None
    assert "position lean     none: the order of the answers cannot matter" in report.words()


def test_an_empty_plan_asks_nobody():
    annotator = Fake(PERFECT)
    report = selftest(annotator, [])
    assert (report.pairs, report.accuracy.value, annotator.asked) == (0, None, 0)


# --- asking again


class Remembering(Fake):
    """Remembers its answers, so that a second question must go to another one."""

    def again(self) -> Annotator:
        return Fake(WRONG)


def test_the_second_time_asks_who_does_not_remember():
    # Of 60 pairs the 24 corrupted ones turn round, the 36 ties stay.
    assert selftest(Remembering(PERFECT), PLANTED).self_consistency.value == 0.6
    second = Fake(PERFECT)
    assert selftest(Remembering(PERFECT), PLANTED, second).self_consistency.value == 1.0
    assert second.asked == 60


def test_without_another_one_the_annotator_itself_is_asked():
    annotator = Fake(PERFECT)
    selftest(annotator, PLANTED)
    assert annotator.asked == 120


class Silent(Fake):
    """Forgets the last comparison."""

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        yield from super().judge(comparisons[:-1], done)


def test_a_pair_without_a_preference_is_an_error():
    with pytest.raises(AnnotatorError, match=r"annotator fake: no preference for the pair of '3' \(1 of 4 are missing"):
        selftest(Silent(lambda _: (0.5,)), pairs_of(Planting.CUT, 4))


# --- the threshold, the words


def report_of(opinion: Opinion) -> SelftestReport:
    return selftest(Fake(opinion), PLANTED)


def test_refine_stops_with_what_it_saw():
    settings = SelftestConfig(min_accuracy=0.6)
    check(report_of(PERFECT), settings)
    with pytest.raises(AnnotatorError) as caught:
        check(report_of(lambda _: (0.0, 0.0)), settings)
    text = str(caught.value)
    assert text.startswith("selftest: accuracy 0.500 on planted pairs, selftest.min_accuracy is 0.6; ")
    assert "flip rate" in text
    with pytest.raises(AnnotatorError, match="no verdict on a corrupted pair"):
        check(report_of(lambda _: (None, None)), settings)


def test_refine_goes_on_where_told_to_or_at_the_threshold():
    check(report_of(WRONG), SelftestConfig(go_on=True))
    check(report_of(lambda _: (0.5, 0.5)), SelftestConfig(min_accuracy=0.5))


def test_the_words_for_a_terminal():
    lines = [line.replace("\u00a0", " ") for line in report_of(PERFECT).words()]
    assert lines[0] == "60 planted pairs, annotator fake"
    assert lines[1] == "accuracy          100.0 % (95 % interval 86.2 to 100.0, n 24)"
    assert lines[2] == "  number          100.0 % (95 % interval 61.0 to 100.0, n 6)"
    assert "position lean     0.0 points (95 % interval \u22123.7 to +3.7, n 48)" in lines


def test_a_report_is_stored_as_value_n_and_bounds():
    stored = json.loads(report_of(PERFECT).model_dump_json())
    assert stored["flip_rate"] == {"value": 0.0, "n": 24, "ci95": [0.0, pytest.approx(Z2 / (24 + Z2), abs=1e-6)]}
    assert list(stored["by_planting"]) == ["number", "words", "cut", "other"]
    assert SelftestReport.model_validate(stored) == report_of(PERFECT)


# --- labelled pairs


def five_pairs() -> list[LabelledPair]:
    """Right is: first, first, second, second, first."""
    first_better = {"0": True, "1": True, "2": False, "3": False, "4": True}
    subsets = ("x", "x", "y", "y", "\x1b[31mz")
    return [
        LabelledPair(
            comparison=Comparison(example_id=id_, a=side(id_, "one"), b=side(id_, "two")),
            example=Example(id=id_, group="", prompt=()),
            first_better=better,
            subset=subset,
        )
        for (id_, better), subset in zip(first_better.items(), subsets, strict=True)
    ]


def test_labelled_pairs_tell_the_accuracy():
    # right, wrong by both orders, right, a tie by position, no verdict
    opinions = iter([(0.1, 0.9), (0.8, 0.4), (0.9, 0.2), (0.1, 0.1), (0.1, None)])
    report = on_pairs(Fake(lambda _: next(opinions)), five_pairs())
    assert report.pairs == 5
    assert (report.accuracy.value, report.accuracy.n) == (pytest.approx(2 / 3), 3)
    assert report.accuracy.ci95 == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert (report.ties.count, report.ties.n) == (1, 4)
    assert (report.abstained.count, report.abstained.n) == (1, 5)
    found = {name: (metric.value, metric.n) for name, metric in report.by_subset.items()}
    assert found == {"\x1b[31mz": (None, 0), "x": (0.5, 2), "y": (1.0, 1)}
    assert report.flip_rate is not None
    assert (report.flip_rate.value, report.flip_rate.n) == (0.25, 4)  # the fourth
    assert report.position_lean is not None
    # the first shown wins: once of two, once of two, once of two, twice of two
    assert (report.position_lean.value, report.position_lean.n) == (pytest.approx(0.125), 4)
    assert not any("\x1b" in line for line in report.words())


def test_a_report_can_carry_both():
    annotator = Fake(PERFECT)
    free = Fake(lambda _: (0.1,), order_free=True)
    both = selftest(annotator, PLANTED).model_copy(update={"labelled": on_pairs(free, five_pairs())})
    lines = both.words()
    assert "5 labelled pairs, annotator fake" in lines
    assert lines[0] == "60 planted pairs, annotator fake"
