"""Agreement: published values, figures worked out by hand, what is undefined, and what must not matter."""

from __future__ import annotations

import dataclasses
import math
import random
import sys
from collections.abc import Callable
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labels_data import FLEISS, KRIPPENDORFF, drawn, of_counts, of_observers

from burnish.algorithms.agreement import (
    NO_ORDER,
    NO_PAIR,
    ONE_CATEGORY,
    Agreement,
    Coefficient,
    _alpha,
    _alpha_nominal,
    _alpha_ordinal,
    agreement,
    cohen,
)
from burnish.algorithms.label_table import GivenLabel, by_size, label_table
from burnish.algorithms.per_worker import by_worker
from burnish.errors import ConfigError

FIGURES = ("krippendorff_nominal", "krippendorff_ordinal", "fleiss_kappa", "gwet_ac1")
FEW = 40
"""Draws for intervals that a test does not look at closely."""


def measured(rows: list[GivenLabel], *order: str, draws: int = FEW) -> Agreement:
    return agreement(label_table(rows, order), draws)


def rows_of(*labels: str) -> list[GivenLabel]:
    """Return labels from a text for each item, with a letter for each worker; a dot is a missing label."""
    return [
        GivenLabel(item=f"i{item}", worker=f"w{worker}", label=label)
        for item, of_item in enumerate(labels)
        for worker, label in enumerate(of_item)
        if label != "."
    ]


def values(found: Agreement) -> dict[str, float | None]:
    return {name: getattr(found, name).value for name in FIGURES}


# Published values


def test_krippendorffs_own_example() -> None:
    found = measured(of_observers(KRIPPENDORFF))
    assert found.krippendorff_nominal.value == pytest.approx(0.743, abs=5e-4)
    assert found.krippendorff_ordinal.value == pytest.approx(0.815, abs=5e-4)
    assert (found.items, found.compared, found.workers, found.labels) == (12, 11, 4, 41)
    # One unit has one value. Eight of the other eleven have equal values.
    assert found.unanimous == pytest.approx(8 / 11)
    assert found.categories == {"1": 9, "2": 13, "3": 11, "4": 5, "5": 3}


def test_the_counts_give_krippendorffs_interval_alpha_too() -> None:
    # burnish reports no interval alpha. The package computes it from our counts, whose labels 1 to 5 are numbers.
    counts_IV = label_table(of_observers(KRIPPENDORFF)).counts()
    found = krippendorff.alpha(value_counts=counts_IV, level_of_measurement="interval")
    assert found == pytest.approx(0.849, abs=5e-4)


def test_fleiss_own_example_and_gwets_figure_for_it_by_hand() -> None:
    found = measured(of_counts(FLEISS))
    assert found.fleiss_kappa.value == pytest.approx(0.210, abs=5e-4)
    # By hand: agreement .378; shares .143, .200, .279, .150, .229, so chance is (1 - .2128) / 4 = .1968.
    assert found.gwet_ac1.value == pytest.approx((0.378 - 0.1968) / (1 - 0.1968), abs=1e-3)


def test_cohens_textbook_example() -> None:
    both = ["yy"] * 20 + ["yn"] * 5 + ["ny"] * 10 + ["nn"] * 15
    (pair,) = cohen(label_table(rows_of(*both)))
    assert (pair.worker, pair.other, pair.items) == ("w0", "w1", 50)
    assert pair.kappa.value == pytest.approx(0.4)


def test_the_figures_of_two_items_by_hand() -> None:
    found = measured(rows_of("AAB", "AAA"))
    # Pairs of equal labels: 2 of 6 and 6 of 6, so 2/3. Shares of labels: 5/6 and 1/6.
    by_chance = 25 / 36 + 1 / 36
    assert found.fleiss_kappa.value == pytest.approx((2 / 3 - by_chance) / (1 - by_chance))
    assert found.gwet_ac1.value == pytest.approx((2 / 3 - (1 - by_chance)) / by_chance)
    # Alpha: 4 of 12 ordered pairs, weighted by 1/2 each, differ: 2 of 6. Expected are 2 * 5 * 1 / 5 = 2 of 6.
    assert found.krippendorff_nominal.value == pytest.approx(0.0)
    assert found.unanimous == 0.5


# What is undefined


@pytest.mark.parametrize("labels", [("AAA", "AA."), ("A", "AA")])
def test_one_category_is_undefined_and_no_error(labels: tuple[str, ...]) -> None:
    found = measured(rows_of(*labels), "A", "B")
    undefined = {"value": None, "ci95": None, "why": ONE_CATEGORY}
    assert [getattr(found, name).as_json() for name in FIGURES] == [undefined] * 4
    assert found.unanimous == 1.0
    assert [pair.kappa.why for pair in cohen(label_table(rows_of(*labels)))] == [ONE_CATEGORY] * len(
        cohen(label_table(rows_of(*labels)))
    )


def test_without_two_labels_on_an_item_nothing_is_defined() -> None:
    found = measured(rows_of("A", ".B"))
    assert [getattr(found, name).why for name in FIGURES] == [NO_PAIR] * 4
    assert (found.unanimous, found.compared) == (None, 0)
    assert cohen(label_table(rows_of("A", ".B"))) == []


def test_an_empty_table_is_undefined() -> None:
    found = measured([])
    assert [getattr(found, name).why for name in FIGURES] == [NO_PAIR] * 4
    assert (found.items, found.labels, found.unanimous) == (0, 0, None)


def test_alpha_looks_only_at_items_with_two_labels() -> None:
    # B is given once, where nobody else gave a label. Fleiss' shares of labels count it, alpha does not.
    found = measured(rows_of("AA", "AA", "B."))
    assert found.krippendorff_nominal.why == ONE_CATEGORY
    assert found.fleiss_kappa.value == pytest.approx(1.0)


def test_labels_without_an_order_have_no_ordinal_alpha() -> None:
    assert measured(rows_of("AB", "AA")).krippendorff_ordinal == Coefficient(value=None, why=NO_ORDER)
    assert measured(rows_of("AB", "AA"), "B", "A").krippendorff_ordinal.value is not None


def test_labels_that_are_numbers_are_ordered_by_size() -> None:
    assert by_size(["10", "9", "-1.5"]) == ("-1.5", "9", "10")
    assert by_size(["1", "1.0"]) == by_size(["1", "x"]) == by_size(["nan"]) == by_size(["inf", "1"]) == ()


def test_one_item_has_no_interval() -> None:
    found = measured(rows_of("AB"))
    assert found.gwet_ac1.ci95 is None
    assert found.gwet_ac1.why == "one item has no interval"


def test_no_interval_where_most_draws_have_one_category() -> None:
    found = measured(rows_of(*["AA"] * 30, "AB"))
    assert found.fleiss_kappa.value is not None
    assert found.fleiss_kappa.ci95 is None
    assert (found.fleiss_kappa.why or "").startswith("defined in only")
    assert found.gwet_ac1.ci95 is not None  # chance agreement of one category is 0, so AC1 is 1 there


def test_too_many_labels_have_no_ordinal_alpha() -> None:
    rows = [
        GivenLabel(item=f"i{n}", worker=f"w{k}", label=str(n + (n % 3 == 0) * k)) for n in range(110) for k in range(2)
    ]
    found = measured(rows, draws=4)
    assert found.krippendorff_ordinal == Coefficient(value=None, why="more than 100 different labels")
    assert found.krippendorff_nominal.value == pytest.approx(2 / 3, abs=0.01)


def test_a_table_that_is_too_large_for_the_package_has_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = values(measured(drawn(0), "A", "B", "C"))
    monkeypatch.setattr("burnish.algorithms.agreement._MOST_PAIRS", 0)
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    assert values(measured(drawn(0), "A", "B", "C")) == pytest.approx(whole)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    with pytest.raises(ConfigError, match=r"pip install 'burnish\[web\]'"):
        measured(rows_of("AB", "AA"))


@given(st.lists(st.text("ABC.", min_size=1, max_size=4), max_size=6))
@settings(max_examples=40, deadline=None)
def test_no_table_gives_nan_or_an_error(labels: list[str]) -> None:
    rows = rows_of(*labels)
    found = measured(rows, "A", "B", "C", draws=4)
    for name in FIGURES:
        figure: Coefficient = getattr(found, name)
        assert (figure.value is None) <= (figure.why is not None)
        assert figure.value is None or (math.isfinite(figure.value) and figure.value <= 1 + 1e-9)
        assert figure.ci95 is None or all(map(math.isfinite, figure.ci95))
    cohen(label_table(rows))
    by_worker(rows)


# What must not matter, and what must


@pytest.mark.parametrize("seed", range(3))
def test_names_and_the_order_of_the_input_change_nothing(seed: int) -> None:
    rows = drawn(seed)
    found = measured(rows, "A", "B", "C")
    new = {"A": "z", "B": "m", "C": "a"}
    renamed = [dataclasses.replace(one, label=new[one.label]) for one in rows]
    workers = [dataclasses.replace(one, worker=f"x{9 - int(one.worker[1:])}") for one in rows]
    mixed = random.Random(seed).sample(rows, len(rows))
    for other, order in ((renamed, "zma"), (workers, "ABC"), (mixed, "ABC")):
        again = measured(other, *order)
        for name in FIGURES:
            one, two = getattr(found, name), getattr(again, name)
            assert two.value == pytest.approx(one.value)
            assert two.ci95 == pytest.approx(one.ci95)
        assert again.unanimous == found.unanimous


@pytest.mark.parametrize("seed", range(5))
def test_a_permuted_worker_agrees_less(seed: int) -> None:
    rows = drawn(seed)
    own = [one for one in rows if one.worker == "w0"]
    labels = random.Random(seed).sample([one.label for one in own], len(own))
    permuted = [one for one in rows if one.worker != "w0"] + [
        dataclasses.replace(one, label=label) for one, label in zip(own, labels, strict=True)
    ]
    before, after = values(measured(rows, "A", "B", "C")), values(measured(permuted, "A", "B", "C"))
    assert all((after[name] or 0) < (before[name] or 0) for name in FIGURES)
    # The shares of labels stay, so Cohen's kappa of the others stays, and those of this worker fall.
    kappas = [
        {(one.worker, one.other): one.kappa.value or 0 for one in cohen(label_table(r))} for r in (rows, permuted)
    ]
    assert all((kappas[1][pair] < kappas[0][pair]) == ("w0" in pair) for pair in kappas[0])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_workers_bias_does_not_raise_agreement(seed: int, share: float) -> None:
    rows, draw = drawn(seed), random.Random(seed)
    biased = [
        dataclasses.replace(one, label="A") if one.worker == "w0" and draw.random() < share else one for one in rows
    ]
    before, after = values(measured(rows, "A", "B", "C")), values(measured(biased, "A", "B", "C"))
    assert all((after[name] or 0) < (before[name] or 0) for name in FIGURES)


@pytest.mark.parametrize(("level", "formula"), [("nominal", _alpha_nominal), ("ordinal", _alpha_ordinal)])
@pytest.mark.parametrize("seed", range(3))
def test_the_draws_use_the_formula_of_the_package(level: str, formula: Callable[..., Any], seed: int) -> None:
    counts_IV = label_table(drawn(seed), ("A", "B", "C")).counts()
    counts_IV = counts_IV[counts_IV.sum(axis=1) >= 2]
    weight_DI = np.random.default_rng(seed).integers(0, 3, size=(4, len(counts_IV)))
    value_D, defined_D = formula(counts_IV, weight_DI)
    assert defined_D.all()
    for value, weight_I in zip(value_D, weight_DI, strict=True):
        assert value == pytest.approx(_alpha(np.repeat(counts_IV, weight_I, axis=0), level))


def test_the_interval_is_about_as_wide_as_its_standard_error_says() -> None:
    # Two workers on 400 items, half of them equal labels of two kinds: kappa is about 0 with a standard error of .05.
    draw = random.Random(0)
    rows = rows_of(*(draw.choice("AB") + draw.choice("AB") for _ in range(400)))
    low, high = measured(rows, draws=1000).fleiss_kappa.ci95 or (0.0, 0.0)
    assert low < 0 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.05, rel=0.15)


def test_the_interval_is_the_same_every_time() -> None:
    assert measured(drawn(1)) == measured(drawn(1))


# Each worker


def test_what_is_known_of_a_worker() -> None:
    def one(item: str, worker: str, label: str, **more: object) -> GivenLabel:
        return GivenLabel(item=item, worker=worker, label=label, **more)  # type: ignore[arg-type]

    rows = [
        one("i1", "ann", "A", seconds=10.0, chose_first=True),
        one("i2", "ann", "B", seconds=30.0, chose_first=True),
        one("i3", "ann", "tie", seconds=50.0),
        *(one(f"j{n}", "ann", "A", chose_first=True) for n in range(6)),
        one("i1", "bob", "A"),
        one("i2", "bob", "A"),
        one("i1", "cy", "B"),
        one("k", "dee", "A", chose_first=False),
    ]
    # Somebody who only answered a check gave no label.
    ann, bob, _, dee = by_worker(rows, [("ann", True), ("ann", False), ("zoe", True)])
    assert (ann.worker, ann.labels, ann.passed, ann.checked) == ("ann", 9, 1, 2)
    assert ann.median_seconds == 30.0
    assert (ann.agrees, ann.pairs) == (pytest.approx(1 / 3), 3)
    assert ann.chose_first is not None
    assert (ann.chose_first.value, ann.chose_first.n, ann.leans) == (1.0, 8, True)
    assert (bob.agrees, bob.pairs) == (pytest.approx(1 / 3), 3)
    assert (bob.chose_first, bob.median_seconds, bob.leans) == (None, None, False)
    assert (dee.agrees, dee.leans) == (None, False)
