"""Claims on the experiment with SEAM: their measures, worked by hand, and the verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from burnish.config.yaml_text import read_yaml
from burnish.results import Metric
from burnish.seam.arm_results import TRUTH, ArmResult, ArmResults, PolicyAnswers
from burnish.seam.study_claims import ClaimVerdict, Measure, SeamClaim, judged
from burnish.seam.study_results import SourceResult, StudyCell, StudyResults

ROOT = Path(__file__).parent.parent.parent


def metric(value: float | None) -> Metric:
    return Metric(value=value, n=9, ci95=None)


def cell(seed: int, rows: int, pairs: int, mismatch: float | None, own: float | None, contrast: float) -> StudyCell:
    sources = {
        name: SourceResult(mean=0.5, undefined=0, correlation={"seam": metric(value)})
        for name, value in (("own", own), ("contrast", contrast))
    }
    return StudyCell(
        seed=seed,
        rows=rows,
        pairs=pairs,
        right=None,
        mismatch=metric(mismatch),
        off_policy=metric(0.8),
        sources=sources,
    )


TINY = 1e-4
"""How much the two seeds differ from their mean, so that the interval has a width."""


def results(noise: float = 0.0) -> StudyResults:
    """Two seeds whose mismatch falls by .2 with more pairs and rises by .1 with more rows; the second has noise."""

    def mismatch(seed: int, rows: int, pairs: int) -> float:
        # Seeds differ in all that is measured: the level, and what more pairs and more rows do.
        off = TINY * (2 * seed - 1)
        return (0.4 + off) - (0.2 + off) * (pairs == 90) + (0.1 + off) * (rows == 50) + seed * noise * (pairs == 90)

    cells = [
        cell(seed, rows, pairs, mismatch(seed, rows, pairs), 0.6 + TINY * (2 * seed - 1), 0.2)
        for seed in (0, 1)
        for rows in (10, 50)
        for pairs in (30, 90)
    ]
    return StudyResults(name="x", cells=cells)


def claim(measure: Measure, margin: float, **more: Any) -> SeamClaim:
    return SeamClaim(id="a", experiment="x", words="A.", measure=measure, margin=margin, **more)


@pytest.mark.parametrize(
    ("measure", "expected", "more"),
    [
        (Measure.MISMATCH, 0.35, {}),
        (Measure.DISCREPANCY, 0.15, {}),
        (Measure.REWARD_SIZE, 0.2, {}),
        (Measure.POLICY_SIZE, 0.1, {}),
        (Measure.CORRELATION, 0.6, {"source": "own"}),
        (Measure.OVER_SOURCE, 0.4, {"source": "own", "other": "contrast"}),
    ],
)
def test_the_measures(measure: Measure, expected: float, more: dict[str, Any]) -> None:
    found = judged(claim(measure, expected - 0.01, **more), results())
    assert found.measured.value == pytest.approx(expected)
    assert (found.measured.n, found.verdict) == (2, ClaimVerdict.HOLDS)
    assert judged(claim(measure, expected + 0.01, **more), results()).verdict is ClaimVerdict.FAILS


def test_a_claim_is_open_where_the_interval_holds_the_margin_or_is_missing() -> None:
    assert judged(claim(Measure.REWARD_SIZE, 0.15), results(noise=0.1)).verdict is ClaimVerdict.OPEN
    one = StudyResults(name="x", cells=results().cells[:4])
    assert judged(claim(Measure.REWARD_SIZE, 0.1), one).verdict is ClaimVerdict.OPEN


def test_what_could_not_be_measured_is_no_value() -> None:
    cells = [cell(0, 10, 30, None, None, 0.2), cell(0, 10, 90, 0.2, None, 0.2)]
    none = StudyResults(name="x", cells=cells)
    # There is one size of policy, so there is no difference either.
    for one in (
        claim(Measure.REWARD_SIZE, 0.0),
        claim(Measure.POLICY_SIZE, 0.0),
        claim(Measure.CORRELATION, 0.0, source="own"),
    ):
        found = judged(one, none)
        assert (found.measured.value, found.measured.n, found.verdict) == (None, 0, ClaimVerdict.OPEN)


@pytest.mark.parametrize(
    "one",
    [
        claim(Measure.MISMATCH, 0.0),
        claim(Measure.DISCREPANCY, 0.0),
        claim(Measure.REWARD_SIZE, 0.0),
        claim(Measure.POLICY_SIZE, 0.0),
        claim(Measure.CORRELATION, 0.0, source="own"),
        claim(Measure.OVER_SOURCE, 0.0, source="own", other="contrast"),
    ],
)
def test_a_mean_over_a_part_of_the_cells_is_no_value(one: SeamClaim) -> None:
    """For example where a policy has only right answers to each prompt: the mean of the others is another measure."""
    part = [cell(0, rows, pairs, 0.4, 0.6, 0.2) for rows in (10, 50) for pairs in (30, 90)]
    part[0] = cell(0, 10, 30, None, None, 0.2)
    assert judged(one, StudyResults(name="x", cells=part)).measured.value is None


def answers(sampled: float, mismatch: float | None, off: float = 0.0) -> PolicyAnswers:
    return PolicyAnswers(
        sampled=metric(sampled), greedy=metric(0.5 + off), mismatch=None if mismatch is None else metric(mismatch)
    )


def arm(seed: int, name: str, reward: str, policy: int, after: float, rise: float | None) -> ArmResult:
    off = TINY * (2 * seed - 1)
    after, rise = after + off * (2 if name == "a" else 1), None if rise is None else rise + off
    return ArmResult(
        seed=seed,
        policy=policy,
        reward=reward,
        arm=name,
        prompts=9,
        off_policy=None if rise is None else metric(0.7 + off),
        before=answers(0.2, None if rise is None else 0.3),
        after=answers(after, None if rise is None else 0.3 + rise, off),
        steps=1,
        curve=[],
    )


ARMS = ArmResults(
    name="x",
    arms=[
        one
        for seed in (0, 1)
        for one in (
            arm(seed, "a", "30 pairs", 10, 0.4, 0.1),
            arm(seed, "b", "30 pairs", 10, 0.3, 0.2),
            arm(seed, "a", "truth", 50, 0.8, None),
        )
    ],
)


@pytest.mark.parametrize(
    ("expected", "more"),
    [
        (0.1, {"a": {"arm": "a", "policy": 10}, "b": {"arm": "b"}}),
        (0.45, {"a": {"rewards": ["truth"]}, "b": {"rewards": ["30 pairs"]}}),
        (0.4, {"quantity": "gain", "a": {"arm": "a"}}),
        (0.15, {"quantity": "mismatch_rise", "a": {"policy": 10}}),
        (0.7, {"quantity": "off_policy", "a": {"arm": "b"}}),
        (0.5, {"quantity": "greedy", "a": {}}),
    ],
)
def test_the_measure_of_arms(expected: float, more: dict[str, Any]) -> None:
    found = judged(claim(Measure.ARMS, expected - 0.01, **more), ARMS)
    assert found.measured.value == pytest.approx(expected)
    assert (found.measured.n, found.verdict) == (2, ClaimVerdict.HOLDS)
    assert judged(claim(Measure.ARMS, expected - 0.01, below=True, **more), ARMS).verdict is ClaimVerdict.FAILS
    assert judged(claim(Measure.ARMS, expected + 0.01, below=True, **more), ARMS).verdict is ClaimVerdict.HOLDS


@pytest.mark.parametrize("which", [{"arm": "c"}, {"rewards": ["truth", "30 pairs"]}])
def test_arms_that_do_not_exist_or_have_no_such_number_give_no_value(which: dict[str, Any]) -> None:
    # The true reward misjudges nothing, and a mean over the other arms alone would be another one.
    found = judged(claim(Measure.ARMS, 0.0, quantity="mismatch", a=which), ARMS)
    assert (found.measured.value, found.verdict) == (None, ClaimVerdict.OPEN)


def test_the_registered_claims_name_what_the_configs_have() -> None:
    text = (ROOT / "docs" / "seam-claims.yaml").read_text()
    claims = TypeAdapter(list[SeamClaim]).validate_python(read_yaml(text, "seam-claims.yaml"))
    assert len({one.id for one in claims}) == len(claims) > 3
    configs: dict[str, Any] = {}
    for path in sorted((ROOT / "configs" / "seam").glob("*.yaml")):
        values: Any = read_yaml(path.read_text(), path.name)
        configs[values["name"]] = values
    for one in claims:
        config = configs[one.experiment]
        kinds = {source["kind"] for source in config.get("sources", [])}
        assert {name for name in (one.source, one.other) if name} <= kinds
        for side in (one.a, one.b):
            assert (side is not None) or one.measure is not Measure.ARMS or side is one.b
            if side is not None:
                assert side.arm in (None, *(arm["name"] for arm in config.get("arms", [])))
                assert side.policy in (None, *config.get("policies", []))
                names = {TRUTH, *(f"{count:,} pairs" for count in config.get("rewards", []))}
                assert set(side.rewards or ()) <= names
