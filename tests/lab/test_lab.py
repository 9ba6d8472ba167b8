"""Whole experiments on the fake backend: refinement under every annotator, shared stages, plans, the results folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from experiment import TRAIN, run_small, small

from burnish.lab.running import plan
from burnish.results import Run, read_changes, read_confidence, read_results
from burnish.steps.artifacts import read_demonstrations, read_ledger
from burnish.store.files import read_objects
from burnish.types import Artifact, Reason, Refinement

ANNOTATORS: dict[str, dict[str, Any]] = {
    "likelihood": {"kind": "likelihood", "model": "builtin:judge-3"},
    "classifier": {"kind": "classifier", "checkpoints": 3, "decode": {"beams": 1, "temperature": 0.6}},
    "oracle": {"kind": "oracle"},
    "mixed": {"kind": "mixed", "oracle_share": 0.5, "other": {"kind": "likelihood", "model": "builtin:judge-3"}},
}


def of(runs: tuple[Run, ...], method: str, round_: int) -> Run:
    return next(run for run in runs if (run.method, run.round) == (method, round_))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ANNOTATORS)
def test_every_annotator_refines_under_the_cap(tmp_path: Path, kind: str) -> None:
    runs = run_small(small(supervision={"annotator": ANNOTATORS[kind]}), tmp_path).results.runs
    assert [(run.method, run.round) for run in runs] == [
        ("weak", 0),
        ("sft", 0),
        ("naive", 0),
        ("naive", 1),
        ("naive", 2),
        ("ilr", 0),
        ("ilr", 1),
        ("ilr", 2),
    ]
    for number in (1, 2):
        run = of(runs, "ilr", number)
        assert run.counts.get("accepted", 0) <= int(0.15 * TRAIN / 2)
        assert run.metrics["label_accuracy"].value is not None
        assert sum(run.counts.get(reason, 0) for reason in Reason) == TRAIN / 2
    assert of(runs, "naive", 1).counts["accepted"] == int(0.15 * TRAIN / 2)
    assert "annotator_accuracy" not in of(runs, "naive", 1).metrics


@pytest.mark.slow
def test_an_oracle_is_always_right_and_labels_only_improve(tmp_path: Path) -> None:
    runs = run_small(small(supervision={"annotator": {"kind": "oracle"}}), tmp_path).results.runs
    labels = [of(runs, "ilr", number).metrics["label_accuracy"].value for number in range(3)]
    assert labels == sorted(labels, key=lambda value: value or 0)
    assert of(runs, "ilr", 1).metrics["annotator_accuracy"].value == 1.0


# Not marked slow: `make check` runs at least one experiment with several methods.
def test_methods_share_what_they_have_in_common(tmp_path: Path) -> None:
    run_small(small(), tmp_path)
    names = Counter(path.parent.name for path in (tmp_path / "store" / "stages").glob("*/*"))
    # p~ and its judge; the initial SFT; halves: round 1 is shared, round 2 is each method's own; a model a round.
    assert names["train"] == 2 + 1 + 2 + 2 * 2 + 2 * 2
    assert names["judge"] == 2


@pytest.mark.slow
def test_gold_demonstrations_and_the_ceiling(tmp_path: Path) -> None:
    methods = [{"kind": "sft"}, {"kind": "sft", "name": "ceiling", "demonstrations": "gold"}]
    runs = run_small(small(methods=methods), tmp_path).results.runs
    ceiling, given = of(runs, "ceiling", 0), of(runs, "sft", 0)
    assert ceiling.metrics["label_accuracy"].value == 1.0
    assert given.metrics["label_accuracy"].value != 1.0


@pytest.mark.slow
def test_the_ledger_recomputes_the_refined_labels(tmp_path: Path) -> None:
    run_small(small(), tmp_path)
    for place in (tmp_path / "store" / "stages" / "refine").iterdir():
        artifact = Artifact(path=str(place), kind="refine", fingerprint="")
        ledger: list[Refinement] = read_ledger(artifact)
        labels = read_demonstrations(artifact)
        assert {row.example_id: row.chosen for row in ledger} == {id_: row.id for id_, row in labels.items()}


# Not marked slow: `make check` writes at least one folder of results.
def test_results_hold_no_time_and_no_path(tmp_path: Path) -> None:
    out = run_small(small(), tmp_path).out
    text = (out / "results.json").read_text()
    assert str(tmp_path) not in text
    assert "second" not in text.replace('"second"', "")
    assert read_results(out).config["name"] == "small"
    assert "execution" not in read_results(out).config


@pytest.mark.slow
def test_a_plan_makes_the_stages_of_the_run(tmp_path: Path) -> None:
    config = small()
    before = plan(config, tmp_path / "store")
    assert {stage.state for stage in before.stages} == {"new"}
    assert not (tmp_path / "store").exists()
    run_small(config, tmp_path)
    after = plan(config, tmp_path / "store")
    assert [stage.fingerprint for stage in after.stages] == [stage.fingerprint for stage in before.stages]
    assert {stage.state for stage in after.stages} == {"done"}


@pytest.mark.slow
def test_the_report_and_its_parts_are_written(tmp_path: Path) -> None:
    out = run_small(small(seeds=[0, 1]), tmp_path).out
    written = {path.name for path in out.iterdir()}
    files = {
        "results.json",
        "timings.json",
        "models.json",
        "changes.jsonl",
        "confidence.jsonl",
        "config.yaml",
        "report.html",
        "grades.json.gz",
    }
    assert written == files | {"figures"}
    assert {change.method for change in read_changes(out)} == {"naive", "ilr"}
    assert len(list(read_objects(out / "changes.jsonl"))) > 0


@pytest.mark.slow
def test_results_of_other_settings_are_replaced_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = [{"kind": "sft"}]
    run_small(small(seeds=[0, 1], methods=methods), tmp_path)
    run_small(small(seeds=[0, 1], methods=methods), tmp_path)
    assert "which this run replaces" not in capsys.readouterr().err
    found = run_small(small(seeds=[0], methods=methods), tmp_path)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "which this run replaces" in line]
    assert line == (
        f"warning: {found.out} holds the results of other settings (seeds: [0, 1] there, [0] now), which this run "
        "replaces; use another --out to keep both. Finished stages stay in the store"
    )


@pytest.mark.slow
def test_confidence_counts_what_was_judged_and_accepted(tmp_path: Path) -> None:
    finished = run_small(small(seeds=[0, 1]), tmp_path)
    rows = {(row.method, row.seed, row.round): row for row in read_confidence(finished.out)}
    runs = {(run.method, run.seed, run.round): run.counts for run in finished.results.runs}
    assert {method for method, _, _ in rows} == {"ilr"}  # naive replacement judges nothing
    metrics = {(run.method, run.seed, run.round): run.metrics for run in finished.results.runs}
    for place, row in rows.items():
        right = metrics[place]["annotator_accuracy"]
        assert row.reliability is not None
        assert (row.reliability.n, sum(one.right for one in row.reliability.bins)) == (
            right.n,
            round((right.value or 0) * right.n),
        )
        assert sum(row.accepted) == runs[place].get(Reason.ACCEPTED, 0)
        assert sum(row.judged) == runs[place]["compared"] > 0
    assert any(any(row.accepted) for row in rows.values())
