"""DPO and its variants in whole experiments on the fake backend: pairs, ledgers, feedback, rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiment import ROWS, TEST, Cut, Measured, Undecided, Wordy, gold, measured, small

from burnish.lab.experiment import Outcome
from burnish.steps.artifacts import (
    TRAINING,
    read_comparisons,
    read_demonstrations,
    read_grades,
    read_json,
    read_ledger,
    read_preferences,
    read_samples,
)
from burnish.tasks.numbers import marked_number
from burnish.types import Artifact, Reason, Refinement

PAIRS = 3 * ROWS
KEPT = 18
"""floor(0.15 * 120)."""
ORACLE = {"annotator": {"kind": "oracle"}}
MIXED = {
    "annotator": {"kind": "mixed", "oracle_share": 0.5, "other": {"kind": "likelihood", "model": "builtin:judge-3"}}
}


def dpo(**changes: Any) -> dict[str, Any]:
    return {"kind": "dpo", "rounds": 2, **changes}


def ledger_of(outcome: Outcome) -> list[Refinement]:
    assert outcome.round.compared is not None
    return read_ledger(outcome.round.compared.ledger)


def sides_of(outcome: Outcome) -> dict[str, str]:
    """Return the texts that stand on the ledger's sides, by demonstration."""
    assert outcome.round.compared is not None
    every = [read_samples(artifact) for artifact in outcome.round.compared.sides]
    return {row.id: row.completion for rows in every for samples in rows.values() for row in samples}


def stages_of(found: Measured, name: str) -> list[Artifact]:
    store = found.executor.store
    return [
        Artifact(path=str(store.place(name, record.fingerprint)), kind=name, fingerprint=record.fingerprint)
        for record in found.executor.records
        if record.stage.name == name
    ]


@pytest.mark.slow
@pytest.mark.parametrize("pairs_from", ["policy", "halves", "labels"])
@pytest.mark.parametrize("pairs", ["all", "differing"])
def test_every_variant_compares_its_pairs_and_trains_on_the_surest(tmp_path: Path, pairs_from: str, pairs: str) -> None:
    found = measured(small(methods=[dpo(pairs_from=pairs_from, pairs=pairs)]), tmp_path, Wordy(gold()))
    for number in (1, 2):
        run, outcome = found.run("dpo", number), found.outcome("dpo", number)
        ledger, sides = ledger_of(outcome), sides_of(outcome)
        assert len(ledger) == sum(run.counts.get(reason, 0) for reason in Reason) == PAIRS
        judged = [line for line in ledger if line.score is not None]
        assert run.counts["compared"] == len({(line.kept, line.proposed) for line in judged})
        assert run.counts["pairs_trained_on"] == run.counts["accepted"] == KEPT
        chosen = {line.example_id for line in ledger if line.chosen}
        assert run.counts["train_rows"] == len(chosen)
        for line in ledger:
            assert line.chosen in ({line.kept, line.proposed} if line.reason is Reason.ACCEPTED else {""})
            a, b = (marked_number(sides[side]) for side in (line.kept, line.proposed))
            if pairs == "differing":
                assert (line.reason is Reason.AGREED) == (a == b)
        assert run.curve
        # Labels stay as they are.
        assert run.metrics["label_accuracy"] == found.run("dpo", 0).metrics["label_accuracy"]
        assert "replaced" not in run.metrics
    assert found.run("dpo", 0).curve == ()
    assert set(found.run("dpo", 0).counts) == {"train_rows", "without_answer", "dropped"}


def test_equal_pairs_are_judged_once_and_counted_once(tmp_path: Path) -> None:
    """The fake says each answer in one way, so that pairs of a right and a wrong one repeat."""
    found = measured(small(methods=[dpo(rounds=1)]), tmp_path)
    (compared,) = stages_of(found, "pair")
    comparisons = read_comparisons(compared)
    assert len({one.id for one in comparisons}) == len(comparisons)
    ledger = ledger_of(found.outcome("dpo", 1))
    judged = [line for line in ledger if line.score is not None]
    assert found.run("dpo", 1).counts["compared"] == len(comparisons) < len(judged)
    assert {(line.kept, line.proposed) for line in judged} == {(one.a.id, one.b.id) for one in comparisons}


@pytest.mark.slow
def test_dpo_samples_and_trains_the_policy_that_the_round_starts_from(tmp_path: Path) -> None:
    found = measured(small(methods=[dpo()]), tmp_path, Wordy(gold()))
    for number in (1, 2):
        outcome, before = found.outcome("dpo", number), found.outcome("dpo", number - 1)
        assert outcome.round.compared is not None
        _, samples = outcome.round.compared.sides
        rows = read_samples(samples)
        assert {len(answers) for answers in rows.values()} == {6}
        assert {row.producer for answers in rows.values() for row in answers} == {before.round.model.fingerprint}
        assert {row.round for answers in rows.values() for row in answers} == {number}
        # ... and goes on training it.
        trained = found.executor.store.done("train_preferences", outcome.round.model.fingerprint)
        assert trained is not None
        assert trained.payload["inputs"]["policy"] == before.round.model.fingerprint


@pytest.mark.slow
def test_sdpo_samples_models_that_did_not_see_the_row(tmp_path: Path) -> None:
    found = measured(small(methods=[dpo(pairs_from="halves")]), tmp_path, Wordy(gold()))
    seen = {model.fingerprint: set(read_json(model, TRAINING)["trained_on"]) for model in stages_of(found, "train")}
    for number in (1, 2):
        compared = found.outcome("dpo", number).round.compared
        assert compared is not None
        _, *samples = compared.sides
        answered = [(id_, row) for part in samples for id_, rows in read_samples(part).items() for row in rows]
        assert len(samples) == 2
        assert len(answered) == 6 * ROWS
        assert len({row.producer for _, row in answered}) == 2
        assert not [id_ for id_, row in answered if id_ in seen[row.producer]]


@pytest.mark.slow
def test_wsdpo_compares_the_label_with_half_as_many_samples(tmp_path: Path) -> None:
    found = measured(small(methods=[dpo(pairs_from="labels")]), tmp_path, Wordy(gold()))
    outcome = found.outcome("dpo", 1)
    labels = read_demonstrations(outcome.round.demonstrations)
    ledger = ledger_of(outcome)
    assert [line.kept for line in ledger] == [labels[line.example_id].id for line in ledger]
    assert len({line.proposed for line in ledger}) == PAIRS


def test_an_answer_without_an_end_is_never_judged(tmp_path: Path) -> None:
    found = measured(small(methods=[dpo(rounds=1)]), tmp_path, Cut(gold()))
    outcome = found.outcome("dpo", 1)
    assert outcome.round.compared is not None
    every = [row for rows in read_samples(outcome.round.compared.sides[1]).values() for row in rows]
    ended = {row.id: row.finished for row in every}
    ledger = ledger_of(outcome)
    for line in ledger:
        assert (line.reason is Reason.INVALID) == (not (ended[line.kept] and ended[line.proposed]))
    assert 0 < sum(line.reason is Reason.INVALID for line in ledger) < PAIRS


# --- feedback


def test_an_oracle_prefers_the_right_side_of_every_pair_that_is_trained_on(tmp_path: Path) -> None:
    found = measured(small(supervision=ORACLE, methods=[dpo()]), tmp_path, Wordy(gold()))
    for number in (1, 2):
        run = found.run("dpo", number)
        assert run.metrics["annotator_accuracy"].value == 1.0
        assert run.metrics["accepted_accuracy"].value == 1.0
        assert run.metrics["accepted_accuracy"].n == run.counts["pairs_trained_on"]
        assert run.counts["tie"] + run.counts["accepted"] + run.counts.get("over_cap", 0) == PAIRS


def test_mixed_feedback_fills_each_sources_share(tmp_path: Path) -> None:
    found = measured(small(supervision=MIXED, methods=[dpo(rounds=1)]), tmp_path, Wordy(gold()))
    ledger = ledger_of(found.outcome("dpo", 1))
    (compared,), (judged,) = stages_of(found, "pair"), stages_of(found, "judge")
    by = {one.id: one for one in read_comparisons(compared)}
    judges = {
        (by[id_].a.id, by[id_].b.id): preference.judge
        for id_, preference in read_preferences(Path(judged.path)).items()
    }
    accepted = [judges[line.kept, line.proposed] for line in ledger if line.reason is Reason.ACCEPTED]
    assert set(judges.values()) == {"oracle", "likelihood"}
    assert accepted.count("oracle") <= KEPT // 2
    assert accepted.count("likelihood") == KEPT // 2


@pytest.mark.parametrize("supervision", [ORACLE, MIXED])
def test_the_same_rows_have_the_same_judge_for_refinement_and_for_dpo(
    tmp_path: Path, supervision: dict[str, Any]
) -> None:
    methods = [{"kind": "ilr", "rounds": 1}, dpo(rounds=1)]
    found = measured(small(supervision=supervision, methods=methods), tmp_path, Wordy(gold()))
    judge_of: dict[str, set[str]] = {}
    for compared, judged in zip(
        [stages_of(found, "compare")[0], stages_of(found, "pair")[0]], stages_of(found, "judge"), strict=True
    ):
        preferences = read_preferences(Path(judged.path))
        for comparison in read_comparisons(compared):
            judge_of.setdefault(comparison.example_id, set()).add(preferences[comparison.id].judge)
    assert {len(judges) for judges in judge_of.values()} == {1}


def test_correct_demonstrations_are_the_right_ones_alone(tmp_path: Path) -> None:
    supervision = {**ORACLE, "demonstrations": "correct"}
    methods = [{"kind": "sft"}, {"kind": "sft", "name": "ceiling", "demonstrations": "gold"}, dpo(rounds=1)]
    found = measured(small(supervision=supervision, methods=methods), tmp_path)
    all_ = measured(small(supervision=ORACLE, methods=methods[:1]), tmp_path)
    right = {id_ for id_, grade in read_grades(all_.outcome("sft", 0).labels).items() if grade.correct}
    assert 0 < len(right) < ROWS
    for method in ("weak", "sft", "ceiling", "dpo"):
        assert set(read_grades(found.outcome(method, 0).labels)) == right
        assert found.run(method, 0).metrics["label_accuracy"].value == 1.0
    assert found.run("sft", 0).counts["train_rows"] == found.run("ceiling", 0).counts["train_rows"] == len(right)
    assert {line.example_id for line in ledger_of(found.outcome("dpo", 1))} == right


def test_a_correct_demonstration_has_an_end(tmp_path: Path) -> None:
    """A label that was cut has no answer, whatever it got to say: it is not learned from, so it is none of them."""
    config = small(supervision={**ORACLE, "demonstrations": "correct"}, methods=[{"kind": "sft"}])
    counts = measured(config, tmp_path, Cut(gold())).run("sft", 0).counts
    assert counts["train_rows"] > 0
    assert counts["without_answer"] == 0


# --- rounds


def test_a_round_in_which_nothing_is_confident_says_so_and_changes_nothing(tmp_path: Path) -> None:
    units: list[str] = []
    found = measured(small(methods=[dpo()]), tmp_path, Undecided(gold(), units.append))
    for number in (1, 2):
        run = found.run("dpo", number)
        assert run.counts["pairs_trained_on"] == 0
        assert run.counts["tie"] > 0
        assert "accepted" not in run.counts
        assert run.curve == ()
        assert run.metrics["annotator_accuracy"].value is None
        model, before = (Path(found.outcome("dpo", n).round.model.path) for n in (number, number - 1))
        names = {path.name for path in before.iterdir()} - {"manifest.json", "training.json"}
        assert names == {"model.json", "skill.json"}
        for name in names:
            assert (model / name).read_bytes() == (before / name).read_bytes()
    assert "train_preferences" not in units


@pytest.mark.slow
def test_dpo_goes_on_from_the_last_model_of_refinement(tmp_path: Path) -> None:
    refine = {"kind": "ilr", "rounds": 2}
    methods = [{"kind": "sft"}, refine, dpo(name="both", after=refine), dpo()]
    found = measured(small(methods=methods), tmp_path)
    assert [run.round for run in found.results.runs if run.method == "both"] == [0, 1, 2, 3, 4]
    for number in range(3):  # refinement is not computed again
        assert found.outcome("both", number).round.model == found.outcome("ilr", number).round.model
        assert found.run("both", number).metrics == found.run("ilr", number).metrics
    first = found.outcome("both", 3)
    assert first.round.demonstrations == found.outcome("ilr", 2).round.demonstrations
    assert first.round.compared is not None
    samples = read_samples(first.round.compared.sides[1])
    producers = {row.producer for rows in samples.values() for row in rows}
    assert producers == {found.outcome("ilr", 2).round.model.fingerprint}
    assert "replaced" in found.run("both", 2).metrics
    assert "replaced" not in found.run("both", 3).metrics
    assert found.run("both", 3).counts["pairs_trained_on"] == KEPT


def test_validation_measures_on_the_half_that_no_student_saw(tmp_path: Path) -> None:
    methods = [{"kind": "sft"}, dpo(rounds=1)]
    found = measured(small(methods=methods, evaluate="validation"), tmp_path)
    student = set(read_json(found.outcome("sft", 0).training, TRAINING)["trained_on"])
    for method, number in (("weak", 0), ("sft", 0), ("dpo", 1)):
        graded = set(read_grades(found.outcome(method, number).test))
        assert len(graded) == ROWS != TEST
        assert not graded & student
    supervisor = set(read_json(found.outcome("weak", 0).training, TRAINING)["trained_on"])
    assert supervisor == set(read_grades(found.outcome("sft", 0).test))
