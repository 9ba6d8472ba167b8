"""Several results in one report: gaps and what they say of a claim, the page, and that labels stay text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from experiment import fake, small

from burnish.lab.running import run_all
from burnish.report.claims import CLAIMS, dial, figure_4, figure_5
from burnish.report.gaps import At, Gap, Held, above, alike, between, gain_difference, gap, no_gain, reaches
from burnish.report.joined import joined_table, write_joined
from burnish.report.paper import PAPER_FIGURES
from burnish.results import Metric, PairedRow, Results, Run

EVIL = "<script>alert(1)</script>"
METHODS = [
    {"kind": "sft"},
    {"kind": "sft", "name": "ceiling", "demonstrations": "gold"},
    {"kind": "ilr", "rounds": 2, "alpha": 0.2},
    {"kind": "dpo", "rounds": 2, "samples": 2},
]


def results(**values: dict[int, list[float]]) -> Results:
    """Return results with {method: {round: test accuracy by seed}}; label accuracy is the same."""
    runs = [
        Run(
            method=method,
            kind=method,
            seed=seed,
            round=number,
            metrics={
                name: Metric(value=value, n=10, ci95=None)
                for name in ("test_accuracy", "label_accuracy", "annotator_accuracy")
            },
            counts={},
        )
        for method, rounds in values.items()
        for number, accuracies in rounds.items()
        for seed, value in enumerate(accuracies)
    ]
    return Results(burnish_version="1", config={}, runs=tuple(runs), summary=(), paired=())


def with_row(found: Results, a: tuple[str, int], b: tuple[str, int], ci95: tuple[float, float]) -> Results:
    difference = sum(ci95) / 2
    row = PairedRow(
        metric="test_accuracy",
        a=a[0],
        a_round=a[1],
        b=b[0],
        b_round=b[1],
        difference=difference,
        ci95=ci95,
        seeds=3,
        prompts=10,
    )
    return found.model_copy(update={"paired": (*found.paired, row)})


# --- gaps


def test_a_gap_takes_the_paired_interval_in_either_direction() -> None:
    found = with_row(
        results(sft={0: [0.5, 0.5]}, ilr={0: [0.5, 0.5], 2: [0.7, 0.7]}), ("ilr", 2), ("sft", 0), (0.1, 0.3)
    )
    assert gap(found, At("ilr"), At("sft", 0)) == Gap(value=0.2, ci95=(0.1, 0.3), seeds=3)
    assert gap(found, At("sft", 0), At("ilr", 2)) == Gap(value=-0.2, ci95=(-0.3, -0.1), seeds=3)


def test_without_a_paired_row_seeds_are_paired() -> None:
    found = results(sft={0: [0.5, 0.6]}, ilr={1: [0.6, 0.9]})
    one = gap(found, At("ilr", 1), At("sft", 0))
    assert one is not None
    assert one.value == pytest.approx(0.2)
    # The mean of 0.1 and 0.3 with t(0.975, 1) = 12.706: the half width is 12.706 * 0.1.
    assert one.ci95 == pytest.approx((0.2 - 1.2706, 0.2 + 1.2706), abs=1e-3)
    assert gap(found, At("ilr", 7), At("sft", 0)) is None


def test_gains_of_two_settings_are_compared_seed_by_seed() -> None:
    small_one = results(sft={0: [0.5, 0.6]}, ilr={1: [0.6, 0.7]})
    large_one = results(sft={0: [0.4, 0.4]}, ilr={1: [0.69, 0.71]})
    found = gain_difference(large_one, small_one, "ilr")
    assert found is not None
    assert found.value == pytest.approx(0.2)
    # The mean of 0.19 and 0.21 with t(0.975, 1) = 12.706: the half width is 12.706 * 0.01.
    assert found.ci95 == pytest.approx((0.2 - 0.12706, 0.2 + 0.12706), abs=1e-4)
    across = between(large_one, At("ilr", 1), small_one, At("ilr", 1))
    assert across is not None
    assert across.value == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("ci95", "verdicts"),
    [
        # above, no gain, reaches, alike
        ((0.01, 0.2), (Held.HELD, Held.NOT_HELD, Held.HELD, Held.NOT_HELD)),
        ((-0.1, 0.2), (Held.NOT_TOLD_APART,) * 4),
        ((-0.3, -0.1), (Held.NOT_HELD, Held.HELD, Held.NOT_HELD, Held.NOT_HELD)),
        ((-0.3, 0.01), (Held.NOT_TOLD_APART, Held.HELD, Held.NOT_TOLD_APART, Held.NOT_TOLD_APART)),
        ((-0.01, 0.01), (Held.NOT_TOLD_APART, Held.HELD, Held.HELD, Held.HELD)),
        # A clear difference below the margin of two points
        ((0.005, 0.015), (Held.HELD, Held.HELD, Held.HELD, Held.HELD)),
        (None, (Held.NOT_TOLD_APART,) * 4),
        # Equal seeds, as in files of earlier versions
        ((0.1, 0.1), (Held.NOT_TOLD_APART,) * 4),
        ((0.0, 0.0), (Held.NOT_TOLD_APART,) * 4),
    ],
)
def test_what_an_interval_says_of_a_claim(ci95: Any, verdicts: tuple[Held, ...]) -> None:
    found = Gap(value=0.1, ci95=ci95, seeds=5)
    assert tuple(judge("x", found).verdict for judge in (above, no_gain, reaches, alike)) == verdicts


def test_what_was_not_measured_is_not_decided() -> None:
    assert {judge("x", None).verdict for judge in (above, no_gain, reaches, alike)} == {Held.NOT_TOLD_APART}


def test_an_interval_without_width_is_not_shown() -> None:
    claim = no_gain("x", Gap(value=0.0, ci95=(0.0, 0.0), seeds=5))
    assert claim.detail == "Difference 0.0 points (the same in every seed, so no interval), 5 seeds; margin 2 points."


def test_seeds_that_are_equal_decide_nothing() -> None:
    found = results(sft={0: [0.5, 0.5]}, ilr={1: [0.7, 0.7]})
    one = gap(found, At("ilr", 1), At("sft", 0))
    assert one is not None
    assert one.ci95 is None
    assert above("x", one).verdict is Held.NOT_TOLD_APART


# --- claims


def test_a_claim_over_settings_compares_the_strong_models() -> None:
    small_one = results(sft={0: [0.5, 0.6]}, ilr={0: [0.5, 0.6], 1: [0.6, 0.7]}, dpo={0: [0.5, 0.6], 1: [0.5, 0.6]})
    large_one = results(sft={0: [0.4, 0.4]}, ilr={0: [0.4, 0.4], 1: [0.69, 0.71]}, dpo={0: [0.4, 0.4], 1: [0.4, 0.4]})
    claims = figure_4({"weak to strong": small_one, "weak to strong-large": large_one})
    (grows,) = [claim for claim in claims if "larger strong model" in claim.text]
    assert grows.verdict is Held.HELD
    assert "+20.0 points" in grows.detail


def test_labels_that_reach_the_ceiling_hold_the_claim_of_figure_5() -> None:
    reached = results(ilr={0: [0.4, 0.5], 1: [0.925, 0.95]}, ceiling={0: [0.9, 0.924]})
    vague = results(ilr={0: [0.4, 0.5], 1: [0.9, 0.95]}, ceiling={0: [0.9, 0.94]})
    fell_short = results(ilr={0: [0.4, 0.5], 1: [0.6, 0.6]}, ceiling={0: [0.9, 0.91]})
    assert figure_5({"oracle": reached})[-1].verdict is Held.HELD
    assert figure_5({"oracle": vague})[-1].verdict is Held.NOT_TOLD_APART
    assert figure_5({"oracle": fell_short})[-1].verdict is Held.NOT_HELD


def test_the_dial_says_from_which_accuracy_a_method_helps() -> None:
    def at(accuracy: float, low: float) -> Results:
        found = results(sft={0: [0.5, 0.5]}, ilr={1: [accuracy, accuracy]}, naive={1: [0.5, 0.5]})
        return with_row(found, ("ilr", 1), ("sft", 0), (low, low + 0.1))

    # The annotator's accuracy is the first number; 0.6 helps, 0.7 does not, 0.8 and 0.9 do.
    claims = dial({"a": at(0.6, 0.01), "b": at(0.7, -0.05), "c": at(0.9, 0.1), "d": at(0.8, 0.02)})
    ilr = next(claim for claim in claims if claim.text.startswith("ilr"))
    assert ilr.detail.startswith("80.0\u00a0%; measured from 60.0\u00a0% to 90.0\u00a0%.")
    naive = next(claim for claim in claims if claim.text.startswith("naive"))
    assert naive.verdict is Held.NOT_TOLD_APART  # no clear gain, and no proof that there is none


def test_every_claim_belongs_to_a_figure_that_is_drawn() -> None:
    assert CLAIMS.keys() <= PAPER_FIGURES.keys()


# --- the page


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A sweep of two settings on the fake backend, its second label a stranger's."""
    where = tmp_path_factory.mktemp("joined")
    shared: dict[str, Any] = {"figure": "figure-4", "methods": METHODS, "measure": ["kl", "win_rate"], "seeds": [0, 1]}
    oracle = {"annotator": {"kind": "oracle"}}
    configs = [small(**shared, variant="weak to strong"), small(**shared, variant=EVIL, supervision=oracle)]
    backend = fake()
    found = [where / "a", where / "b"]
    assert len(list(run_all(configs, found, where / "store", lambda: backend))) == 2
    return found


@pytest.mark.slow
def test_a_page_joins_settings_with_claims_figures_and_a_table(places: list[Path], tmp_path: Path) -> None:
    page = write_joined(places, tmp_path).read_text()
    assert "Figure 4: ILR and DPO over the rounds" in page
    assert "ILR improves the SFT model more than DPO in all four settings" in page
    assert "ILR beats SFT (weak to strong):" in page
    assert "gain over SFT" in page
    assert page.count("<svg ") == 4  # two settings, overoptimisation, training
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {claim["verdict"] for claim in claims["small"]} <= set(Held)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "small-overoptimisation.svg",
        "small-preference-training.svg",
        "small-test_accuracy-0.svg",
        "small-test_accuracy-1.svg",
    ]


@pytest.mark.slow
def test_a_label_is_text(places: list[Path], tmp_path: Path) -> None:
    page = write_joined(places, tmp_path).read_text()
    assert EVIL not in page
    assert "&lt;script&gt;" in page


def test_the_same_results_give_the_same_page(places: list[Path], tmp_path: Path) -> None:
    first, second = (write_joined(places, tmp_path / name).read_bytes() for name in ("one", "two"))
    assert first == second


def test_the_table_has_a_row_for_each_round(places: list[Path]) -> None:
    from burnish.results import read_results

    found = read_results(places[0])
    table = joined_table({"": found})
    assert len(table.rows) == len({(run.method, run.round) for run in found.runs})
    assert {len(row) for row in table.rows} == {len(table.header)}


def test_a_report_names_budget_and_released_ways() -> None:
    from burnish.report.facts import facts

    config: dict[str, Any] = small(
        budget={"kind": "equal", "comparisons": 200}, compat={"unswapped_dpo": True, "cap": "differing"}
    ).model_dump(mode="json")
    said = {fact.name: fact.value for fact in facts(results(sft={0: [0.5]}).model_copy(update={"config": config}))}
    assert said["Budget"] == "at most 200 comparisons a round for every method"
    assert "without swapping" in said["As the released code does"]
    assert "cap taken over differing proposals" in said["As the released code does"]
    plain: dict[str, Any] = small().model_dump(mode="json")
    quiet = [fact.name for fact in facts(results(sft={0: [0.5]}).model_copy(update={"config": plain}))]
    assert "Budget" not in quiet
    assert "As the released code does" not in quiet
