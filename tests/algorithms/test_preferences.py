"""Preference data for DPO: pairs, what is judged, the most confident under the cap, the ledger, a round by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.algorithms.caps import split_cap
from burnish.algorithms.comparisons import combined
from burnish.algorithms.preferences import Pair, against, ledger_line, most_confident, paired, preferred, screened
from burnish.errors import ConfigError
from burnish.types import Answer, Demonstration, DemonstrationSource, Order, Preference, Reason, Verdict

BOTH = (Order.AB, Order.BA)
KEEP = st.sampled_from([0.1, 0.15, 0.29, 0.3, 0.5, 1.0])
P_B = st.none() | st.sampled_from([0.0, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0])  # 1 - p is exact
SCREENED = st.sampled_from([Reason.AGREED, Reason.INVALID, Reason.NOT_COMPARED])
TEXT = st.text(alphabet="#12", max_size=4)


def answered(text: str, finished: bool = True, sample: int = 0, example_id: str = "e") -> Demonstration:
    return Demonstration(
        example_id=example_id,
        completion=text,
        source=DemonstrationSource.PROPOSAL,
        producer="m",
        round=1,
        finished=finished,
        sample=sample,
    )


def label(text: str) -> Demonstration:
    return Demonstration(example_id="e", completion=text, source=DemonstrationSource.WEAK, producer="w")


def pair(example_id: str, number: int = 0, reason: Reason | None = None) -> Pair:
    a, b = (answered(f"{side} {number}", example_id=example_id) for side in "ab")
    return Pair(example_id=example_id, number=number, a=a, b=b, reason=reason)


def judged(one: Pair, p_b: float | None, judge: str = "j") -> Preference:
    return combined(one.comparison.id, (Order.AB,), (p_b,), judge)


class Marked:
    """The answer is what stands after the last #."""

    def extract(self, completion: str) -> Answer | None:
        _, mark, answer = completion.rpartition("#")
        return Answer(text=answer) if mark and answer else None

    def agree(self, a: Answer, b: Answer) -> bool:
        return a.text == b.text


MARKED = Marked()


# --- pairs


def test_six_samples_are_three_pairs_in_their_order():
    samples = [answered(f"{number}", sample=number) for number in range(6)]
    assert [(a.sample, b.sample) for a, b in paired(samples)] == [(0, 1), (2, 3), (4, 5)]


def test_an_odd_number_of_samples_is_refused():
    with pytest.raises(AssertionError):
        paired([answered("1")])


def test_the_label_stands_on_side_a_against_each_sample():
    given_label, samples = label("#1"), [answered("#2"), answered("#1")]
    assert against(given_label, samples) == [(given_label, samples[0]), (given_label, samples[1])]


def test_pairs_of_equal_texts_have_keys_of_their_own():
    one, other = (Pair(example_id="e", number=number, a=answered("1"), b=answered("2")) for number in (0, 1))
    assert one.comparison.id == other.comparison.id
    assert (one.key, other.key) == ("e#0", "e#1")


# --- what is judged


@pytest.mark.parametrize(
    ("a", "b", "all_", "differing"),
    [
        ("x #1", "y #2", None, None),
        ("x #1", "y #1", None, Reason.AGREED),
        ("x #1", "x #1", Reason.AGREED, Reason.AGREED),
        ("x #1", "no answer", None, None),
        ("no answer", "another", None, None),  # two answers without one agree in nothing
        ("no answer", "no answer", Reason.AGREED, Reason.AGREED),
    ],
)
def test_equal_texts_are_not_judged_and_equal_answers_where_so_asked(
    a: str, b: str, all_: Reason | None, differing: Reason | None
):
    for one, other in ((a, b), (b, a)):
        assert screened(MARKED, answered(one), answered(other), differing=False) is all_
        assert screened(MARKED, answered(one), answered(other), differing=True) is differing


@given(TEXT, TEXT, st.booleans(), st.booleans(), st.booleans())
def test_what_is_judged_is_finished_and_differs(a: str, b: str, a_ends: bool, b_ends: bool, differing: bool):
    reason = screened(MARKED, answered(a, a_ends), answered(b, b_ends), differing)
    assert (reason is Reason.INVALID) == (not (a_ends and b_ends))
    if reason is None:
        assert a != b
        assert not differing or MARKED.extract(a) is None or MARKED.extract(a) != MARKED.extract(b)


# --- the most confident


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[Pair], dict[str, Preference]]:
    keys = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), unique=True, max_size=20))
    pairs = [pair(f"e{example}", number, draw(st.none() | SCREENED)) for example, number in keys]
    return pairs, {one.comparison.id: judged(one, draw(P_B)) for one in pairs if one.reason is None}


def sure(given_preferences: dict[str, Preference], one: Pair) -> float:
    p_b = given_preferences[one.comparison.id].p_b
    assert p_b is not None
    return abs(p_b - 0.5)


@given(rounds(), KEEP)
def test_the_cap_is_kept_and_filled_by_the_most_confident(drawn: tuple[list[Pair], dict[str, Preference]], keep: float):
    pairs, preferences = drawn
    reasons = most_confident(pairs, preferences, keep, len(pairs))
    accepted = [one for one, reason in zip(pairs, reasons, strict=True) if reason is Reason.ACCEPTED]
    over = [one for one, reason in zip(pairs, reasons, strict=True) if reason is Reason.OVER_CAP]
    places = math.floor(Fraction(str(keep)) * len(pairs))
    assert len(accepted) == min(places, len(accepted) + len(over))
    for one in accepted:
        for other in over:
            assert (-sure(preferences, one), one.key) < (-sure(preferences, other), other.key)


@given(rounds(), KEEP)
def test_each_pair_that_prefers_nothing_says_why(drawn: tuple[list[Pair], dict[str, Preference]], keep: float):
    pairs, preferences = drawn
    for one, reason in zip(pairs, most_confident(pairs, preferences, keep, len(pairs)), strict=True):
        if one.reason is not None:
            assert reason is one.reason
            continue
        match preferences[one.comparison.id].verdict:
            case Verdict.TIE:
                assert reason is Reason.TIE
            case Verdict.ABSTAIN:
                assert reason is Reason.ABSTAINED
            case Verdict.A | Verdict.B:
                assert reason in {Reason.ACCEPTED, Reason.OVER_CAP}


@pytest.mark.slow
@given(rounds(), KEEP, st.randoms(use_true_random=False))
def test_the_order_of_pairs_does_not_matter(
    drawn: tuple[list[Pair], dict[str, Preference]], keep: float, shuffler: Any
):
    pairs, preferences = drawn

    def by_key() -> dict[str, Reason]:
        return dict(zip([one.key for one in pairs], most_confident(pairs, preferences, keep, len(pairs)), strict=True))

    expected = by_key()
    shuffler.shuffle(pairs)
    assert by_key() == expected


@given(rounds(), KEEP)
def test_a_mirrored_preference_chooses_the_mirrored_side(drawn: tuple[list[Pair], dict[str, Preference]], keep: float):
    """Sides swapped and p_b turned: the same pairs are trained on, with the same answers chosen."""
    pairs, preferences = drawn
    mirrored = [
        Pair(example_id=one.example_id, number=one.number, a=one.b, b=one.a, reason=one.reason) for one in pairs
    ]
    turned: dict[str, Preference] = {}
    for one, other in zip(pairs, mirrored, strict=True):
        if one.reason is None:
            p_b = preferences[one.comparison.id].p_b
            turned[other.comparison.id] = judged(other, None if p_b is None else 1 - p_b)
    reasons = most_confident(pairs, preferences, keep, len(pairs))
    assert most_confident(mirrored, turned, keep, len(pairs)) == reasons
    for one, other, reason in zip(pairs, mirrored, reasons, strict=True):
        if reason is Reason.ACCEPTED:
            assert preferred(one, preferences[one.comparison.id]) == preferred(other, turned[other.comparison.id])


def test_either_side_may_be_preferred_and_equally_sure_pairs_go_by_key():
    pairs = [pair("b"), pair("a", 1), pair("a"), pair("c")]
    preferences = {
        one.comparison.id: judged(one, p_b) for one, p_b in zip(pairs, (0.25, 0.75, 0.25, 0.375), strict=True)
    }
    reasons = most_confident(pairs, preferences, 0.5, 4)
    assert reasons == [Reason.OVER_CAP, Reason.ACCEPTED, Reason.ACCEPTED, Reason.OVER_CAP]
    assert preferred(pairs[1], preferences[pairs[1].comparison.id]) == (pairs[1].b, pairs[1].a)
    assert preferred(pairs[2], preferences[pairs[2].comparison.id]) == (pairs[2].a, pairs[2].b)


def test_the_cap_may_be_of_fewer_pairs_than_there_are():
    """Under an equal budget it is a share of the judged pairs alone."""
    pairs = [pair("a"), pair("b"), pair("c", 0, Reason.NOT_COMPARED), pair("d", 0, Reason.NOT_COMPARED)]
    preferences = {one.comparison.id: judged(one, 0.75) for one in pairs[:2]}
    reasons = most_confident(pairs, preferences, 0.5, 2)
    assert reasons == [Reason.ACCEPTED, Reason.OVER_CAP, Reason.NOT_COMPARED, Reason.NOT_COMPARED]


@pytest.mark.parametrize("p_b", [0.5, None])
def test_what_prefers_nothing_has_no_chosen_side(p_b: float | None):
    one = pair("a")
    with pytest.raises(AssertionError, match="prefers nothing"):
        preferred(one, judged(one, p_b))


# --- mixed feedback


@given(rounds(), st.integers(0, 4), KEEP)
def test_no_source_goes_over_its_share_of_the_cap(
    drawn: tuple[list[Pair], dict[str, Preference]], quarters: int, keep: float
):
    pairs, preferences = drawn
    shares = {"oracle": quarters / 4, "weak": 1 - quarters / 4}
    sources = {one.key: ("oracle", "weak")[int(one.example_id[1:]) % 2] for one in pairs}
    by_source = {
        one.comparison.id: judged(one, preferences[one.comparison.id].p_b, sources[one.key])
        for one in pairs
        if one.reason is None
    }
    reasons = most_confident(pairs, by_source, keep, len(pairs), shares)
    for source, places in split_cap(math.floor(Fraction(str(keep)) * len(pairs)), shares).items():
        mine = [reason for one, reason in zip(pairs, reasons, strict=True) if sources[one.key] == source]
        assert mine.count(Reason.ACCEPTED) == min(places, mine.count(Reason.ACCEPTED) + mine.count(Reason.OVER_CAP))


def test_an_oracle_does_not_fill_the_cap_and_a_source_without_a_share_is_named():
    pairs = [pair(f"o{number}") for number in range(4)] + [pair(f"w{number}") for number in range(4)]
    sources = ["oracle"] * 4 + ["weak"] * 4
    preferences = {
        one.comparison.id: judged(one, 0.0 if source == "oracle" else 0.625, source)
        for one, source in zip(pairs, sources, strict=True)
    }
    reasons = most_confident(pairs, preferences, 0.5, 8, {"oracle": 0.25, "weak": 0.75})
    chosen = [one.example_id for one, reason in zip(pairs, reasons, strict=True) if reason is Reason.ACCEPTED]
    assert chosen == ["o0", "w0", "w1", "w2"]
    with pytest.raises(ConfigError, match="'weak'"):
        most_confident(pairs, preferences, 0.5, 8, {"oracle": 1.0})


# --- the ledger


def test_a_line_of_a_trained_pair_names_the_chosen_side():
    one = pair("a", 2)
    line = ledger_line(one, combined(one.comparison.id, BOTH, (0.25, 1.0), "j"), Reason.ACCEPTED, 3, "classifier")
    # ab: .25; ba: 1 - 1 = 0; mean .125, so a is better by .375
    assert (line.example_id, line.round, line.kept, line.proposed) == ("a", 3, one.a.id, one.b.id)
    assert (line.chosen, line.score, line.p_b_ab, line.p_b_ba) == (one.a.id, 0.375, 0.25, 0.0)
    assert (line.annotator, line.model, line.reason) == ("classifier", "m", Reason.ACCEPTED)


@pytest.mark.parametrize(
    ("p_b", "reason", "score"), [(0.75, Reason.OVER_CAP, 0.25), (0.5, Reason.TIE, 0.0), (None, Reason.ABSTAINED, None)]
)
def test_a_line_of_a_judged_pair_that_is_left_out_chooses_nothing(
    p_b: float | None, reason: Reason, score: float | None
):
    one = pair("a")
    line = ledger_line(one, judged(one, p_b), reason, 1, "q")
    assert (line.chosen, line.score, line.p_b_ab, line.p_b_ba, line.annotator) == ("", score, p_b, None, "q")


def test_a_line_of_a_pair_that_was_not_judged_names_no_annotator():
    line = ledger_line(pair("a", 0, Reason.AGREED), None, Reason.AGREED, 1, "q")
    assert (line.chosen, line.score, line.p_b_ab, line.p_b_ba, line.annotator) == ("", None, None, None, "")
    assert (line.model, line.reason) == ("m", Reason.AGREED)


# --- a round by hand: two prompts, six samples each, 6 pairs, keep .34 of them: 2.04, so 2


def test_a_round_worked_by_hand():
    texts = {
        "p": ["x #1", "y #2", "z #3", "z #3", "u #1", "v #1"],
        "q": ["x #4", "y #5", "cut", "w #6", "s #7", "t #8"],
    }
    pairs: list[Pair] = []
    for name, given_texts in texts.items():
        samples = [answered(text, text != "cut", place, name) for place, text in enumerate(given_texts)]
        for number, (a, b) in enumerate(paired(samples)):
            reason = screened(MARKED, a, b, differing=True)
            pairs.append(Pair(example_id=name, number=number, a=a, b=b, reason=reason))
    assert {one.key: one.reason for one in pairs} == {
        "p#0": None,
        "p#1": Reason.AGREED,  # the same text
        "p#2": Reason.AGREED,  # the same answer
        "q#0": None,
        "q#1": Reason.INVALID,  # its first answer has no end
        "q#2": None,
    }
    # p#0: (.75 + 1 - .75) / 2 = .5, a tie for all that the judge leans to the second; q#0: a, by .25; q#2: b, by .4375
    shown = {"p#0": (0.75, 0.75), "q#0": (0.25, 0.75), "q#2": (1.0, 0.125)}
    preferences = {
        one.comparison.id: combined(one.comparison.id, BOTH, shown[one.key], "j") for one in pairs if not one.reason
    }
    reasons = most_confident(pairs, preferences, 0.34, len(pairs))
    assert reasons == [
        *(Reason.TIE, Reason.AGREED, Reason.AGREED),
        *(Reason.ACCEPTED, Reason.INVALID, Reason.ACCEPTED),
    ]
    lines = [
        ledger_line(one, preferences.get(one.comparison.id), reason, 1, "q")
        for one, reason in zip(pairs, reasons, strict=True)
    ]
    assert [line.score for line in lines] == [0.0, None, None, 0.25, None, 0.4375]
    assert [line.chosen for line in lines] == ["", "", "", pairs[3].a.id, "", pairs[5].b.id]
    # With room for one, the surer stays.
    assert most_confident(pairs, preferences, 0.17, len(pairs))[3:] == [
        Reason.OVER_CAP,
        Reason.INVALID,
        Reason.ACCEPTED,
    ]
