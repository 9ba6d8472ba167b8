"""One budget for all methods, the released code's ways, splits and cross-labelling: on the fake backend."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from experiment import ROWS, Measured, Poor, Wordy, gold, measured, small

from burnish.annotators.unswapped import UnswappedAnnotator
from burnish.config import Compat
from burnish.steps.artifacts import TRAINING, read_demonstrations, read_json, read_ledger, read_samples
from burnish.types import Artifact, Comparison, Demonstration, DemonstrationSource, Reason, Refinement, Verdict

PAIRS = 3 * ROWS
ILR: dict[str, Any] = {"kind": "ilr", "rounds": 1}
NAIVE: dict[str, Any] = {"kind": "naive", "rounds": 1}
DPO: dict[str, Any] = {"kind": "dpo", "rounds": 1}


def ledger_of(found: Measured, method: str, number: int = 1, seed: int = 0) -> list[Refinement]:
    compared = found.outcome(method, number, seed).round.compared
    assert compared is not None
    return read_ledger(compared.ledger)


# --- budget


def test_the_papers_budget_judges_all_that_differs(tmp_path: Path) -> None:
    found = measured(small(methods=[ILR, DPO]), tmp_path, Wordy(gold()))
    assert "not_compared" not in found.run("ilr", 1).counts
    assert found.run("dpo", 1).counts["compared"] == PAIRS


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 3])
def test_an_equal_budget_is_the_same_number_for_each_method(tmp_path: Path, limit: int) -> None:
    config = small(methods=[ILR, DPO], budget={"kind": "equal", "comparisons": limit})
    found = measured(config, tmp_path, Wordy(gold()))
    everything = measured(small(methods=[ILR, DPO]), tmp_path, Wordy(gold()))
    for method in ("ilr", "dpo"):
        run, whole = found.run(method, 1), everything.run(method, 1)
        assert whole.counts["compared"] > limit
        assert run.counts["compared"] == limit
        # The rest says that nobody looked at it.
        assert run.counts["not_compared"] == whole.counts["compared"] - limit
        assert sum(run.counts.get(reason, 0) for reason in Reason) == (ROWS if method == "ilr" else PAIRS)
        for line in ledger_of(found, method):
            assert (line.score is None) == (line.reason in {Reason.NOT_COMPARED, Reason.AGREED})
            assert line.reason is not Reason.NOT_COMPARED or line.chosen == ("" if method == "dpo" else line.kept)


def test_an_equal_budget_is_as_many_as_there_are_rows_unless_it_says_so(tmp_path: Path) -> None:
    found = measured(small(methods=[DPO, ILR], budget="equal"), tmp_path, Wordy(gold()))
    run = found.run("dpo", 1)
    assert (run.counts["compared"], run.counts["not_compared"]) == (ROWS, PAIRS - ROWS)
    assert run.counts["pairs_trained_on"] == 6  # floor(0.15 * 40): a share of what was judged
    assert "not_compared" not in found.run("ilr", 1).counts  # never more than a row


@pytest.mark.slow
def test_a_larger_budget_changes_nothing(tmp_path: Path) -> None:
    config = small(methods=[ILR, DPO], budget={"kind": "equal", "comparisons": PAIRS})
    found, everything = (measured(one, tmp_path, Wordy(gold())) for one in (config, small(methods=[ILR, DPO])))
    for method in ("ilr", "dpo"):
        assert ledger_of(found, method) == ledger_of(everything, method)


@pytest.mark.slow
def test_which_are_compared_changes_with_seed_and_round(tmp_path: Path) -> None:
    methods: list[dict[str, Any]] = [DPO | {"rounds": 2}]
    config = small(methods=methods, budget={"kind": "equal", "comparisons": 20}, seeds=[0, 1])
    found = measured(config, tmp_path, Wordy(gold()))
    looked_at = {
        frozenset(place for place, line in enumerate(ledger_of(found, "dpo", number, seed)) if line.score is not None)
        for number in (1, 2)
        for seed in (0, 1)
    }
    assert len(looked_at) == 4
    assert {len(places) for places in looked_at} == {20}


def test_repeated_pairs_do_not_use_up_the_budget(tmp_path: Path) -> None:
    """The fake says each answer in one way: more than 20 of the 120 pairs differ, and no comparison is drawn twice."""
    config = small(methods=[DPO], budget={"kind": "equal", "comparisons": 20})
    assert measured(config, tmp_path).run("dpo", 1).counts["compared"] == 20


# --- the released code's ways


@pytest.mark.slow
def test_unswapped_scores_are_one_half_and_say_nothing(tmp_path: Path) -> None:
    config = small(methods=[ILR, DPO | {"rounds": 2}], compat={"unswapped_dpo": True}, seeds=[0, 1, 2])
    found = measured(config, tmp_path, Wordy(gold()))
    right = decisive = 0
    for seed in config.seeds:
        for number in (1, 2):
            ledger = ledger_of(found, "dpo", number, seed)
            assert len(ledger) == PAIRS
            for line in ledger:
                assert line.score is not None
                assert line.score < 1e-7
                assert line.p_b_ab is not None
                assert abs(line.p_b_ab - 0.5) == line.score
                assert (line.p_b_ba, line.annotator) == (None, "unswapped")
            run = found.run("dpo", number, seed)
            assert run.counts["pairs_trained_on"] == 18  # it does train on noise
            metric = run.metrics["annotator_accuracy"]
            right, decisive = right + round((metric.value or 0) * metric.n), decisive + metric.n
        # Refinement's comparisons are as they were.
        assert max(line.score or 0 for line in ledger_of(found, "ilr", 1, seed)) > 0.01
    assert decisive > 100
    assert abs(right - decisive / 2) < 4 * math.sqrt(decisive) / 2


def test_what_swapping_would_have_told_is_lost() -> None:
    """Of 2,000 comparisons of a right with a wrong answer half go to either side, within 4 standard errors."""
    verdicts = [verdict for one in right_and_wrong(2000) for verdict in (unswapped(one), unswapped(mirrored(one)))]
    assert abs(verdicts[::2].count(Verdict.B) - 1000) < 4 * math.sqrt(500)
    # Which side it is hangs on the pair as it stands, not on its texts: mirrored, half of them stay.
    same = sum(one is other for one, other in zip(verdicts[::2], verdicts[1::2], strict=True))
    assert abs(same - 1000) < 4 * math.sqrt(500)


def right_and_wrong(count: int) -> list[Comparison]:
    def answered(number: int, text: str) -> Demonstration:
        return Demonstration(
            example_id=f"e{number}", completion=text, source=DemonstrationSource.PROPOSAL, producer="m", round=1
        )

    return [
        Comparison(example_id=f"e{number}", a=answered(number, "#### 1"), b=answered(number, "#### 2"))
        for number in range(count)
    ]


def mirrored(comparison: Comparison) -> Comparison:
    return Comparison(example_id=comparison.example_id, a=comparison.b, b=comparison.a)


def unswapped(comparison: Comparison) -> Verdict:
    ((preference,),) = UnswappedAnnotator().judge([comparison], set())
    assert list(UnswappedAnnotator().judge([comparison], {comparison.id})) == [[]]
    return preference.verdict


def test_the_released_cap_is_a_share_of_what_differs(tmp_path: Path) -> None:
    """Of 40 rows d differ: floor(0.1 d) labels may change instead of floor(0.1 * 40) = 4."""
    config = small(supervision={"annotator": {"kind": "oracle"}}, methods=[ILR | {"alpha": 0.1}])
    changed: dict[str, int] = {}
    for cap in ("rows", "differing"):
        released = config.model_copy(update={"compat": Compat.model_validate({"cap": cap})})
        found = measured(released, tmp_path, Poor(gold()))
        ledger = ledger_of(found, "ilr")
        differing = sum(line.score is not None for line in ledger)
        assert 10 < differing < 30
        changed[cap] = found.run("ilr", 1).counts["accepted"]
        # There is more to change than may be.
        assert found.run("ilr", 1).counts["over_cap"] > 0
        assert changed[cap] == (4 if cap == "rows" else differing // 10)
    assert changed["differing"] < changed["rows"]


# --- splits and cross-labelling


@pytest.mark.parametrize("splits", [2, 3, 4])
def test_no_model_labels_what_it_learned(tmp_path: Path, splits: int) -> None:
    found = measured(small(methods=[ILR | {"rounds": 2, "splits": splits}]), tmp_path)
    for number in (1, 2):
        compared = found.outcome("ilr", number).round.compared
        assert compared is not None
        labels, *proposals = compared.sides
        assert len(proposals) == splits
        rows = set(read_demonstrations(labels))
        answered = [set(read_demonstrations(part)) for part in proposals]
        assert set().union(*answered) == rows
        assert sum(map(len, answered)) == len(rows) == ROWS
        for part, mine in zip(proposals, answered, strict=True):
            (producer,) = {row.producer for row in read_demonstrations(part).values()}
            assert trained_on(found, producer) == rows - mine  # on all the others


def test_without_cross_labelling_each_model_labels_what_it_learned(tmp_path: Path) -> None:
    for splits in (2, 4):
        method = ILR | {"splits": splits, "cross_label": False}
        found = measured(small(methods=[method]), tmp_path)
        compared = found.outcome("ilr", 1).round.compared
        assert compared is not None
        producers: set[str] = set()
        for part in compared.sides[1:]:
            for id_, rows in read_samples(part).items():
                assert id_ in trained_on(found, rows[0].producer)
                producers.add(rows[0].producer)
        assert len(producers) == splits
        assert len(ledger_of(found, "ilr")) == ROWS


def trained_on(found: Measured, model: str) -> set[str]:
    place = found.executor.store.place("train", model)
    return set(read_json(Artifact(path=str(place), kind="train", fingerprint=model), TRAINING)["trained_on"])


def test_two_splits_are_shared_with_naive_replacement(tmp_path: Path) -> None:
    found = measured(small(methods=[NAIVE, ILR]), tmp_path)
    # p~ and its judge; the initial SFT; two halves for both; a model each.
    assert found.stages.count("train") == 2 + 1 + 2 + 1 + 1


def test_a_model_that_no_result_needs_is_not_trained(tmp_path: Path) -> None:
    """The ceiling alone: p~, its judge and the ceiling."""
    ceiling = {"kind": "sft", "name": "ceiling", "demonstrations": "gold"}
    found = measured(small(methods=[ceiling]), tmp_path)
    assert found.stages.count("train") == 3
