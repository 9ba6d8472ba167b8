"""Refiners that merge answers, leave rows out or ask nobody: on the fake backend."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from experiment import ROWS, Astray, Measured, gold, measured, small

from burnish.config import Decoding
from burnish.config.reading import refine_config
from burnish.errors import ConfigError, DataError
from burnish.lab.experiment import Outcome
from burnish.protocols import RowKey, SamplingKey
from burnish.steps.artifacts import (
    TRAINING,
    iter_ledger,
    read_comparisons,
    read_demonstrations,
    read_json,
    read_ledger,
    read_samples,
)
from burnish.store.stages import Store
from burnish.types import Artifact, Completion, Prompt, Reason, Refinement

CAP = 6
"""floor(0.15 * 40)"""
ILR: dict[str, Any] = {"kind": "ilr", "rounds": 1}
VOTE: dict[str, Any] = {"kind": "ilr", "name": "vote", "rounds": 1, "samples": 4}
TOURNAMENT: dict[str, Any] = {"kind": "tournament", "rounds": 1, "samples": 4, "comparisons": 2}
ROBUSTFT: dict[str, Any] = {"kind": "robustft", "rounds": 1, "samples": 4}
MAJORITY: dict[str, Any] = {"kind": "majority", "rounds": 1, "samples": 4}
REST_EM: dict[str, Any] = {"kind": "rest_em", "rounds": 1, "samples": 4}
DROP: dict[str, Any] = {"kind": "drop", "rounds": 2}


def found(tmp_path: Path, *methods: dict[str, Any], **changes: Any) -> Measured:
    """Run methods whose supervisor is right in four cases of ten."""
    return measured(small(methods=list(methods), **changes), tmp_path, Astray(gold()))


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Run all refiners once, because the tests of this file look at the same runs."""
    methods = (ILR, VOTE, MAJORITY, TOURNAMENT, ROBUSTFT, REST_EM | {"rounds": 2}, DROP)
    return found(tmp_path_factory.mktemp("every"), *methods)


@pytest.fixture(scope="module")
def by_oracle(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Run a tournament and a removal whose annotator is always right.

    It takes more than a second, but without it `make check` would run none of these methods.
    """
    oracle = {"annotator": {"kind": "oracle"}}
    return found(tmp_path_factory.mktemp("oracle"), TOURNAMENT, DROP, supervision=oracle)


def ledger_of(outcome: Outcome) -> list[Refinement]:
    assert outcome.round.compared is not None
    return read_ledger(outcome.round.compared.ledger)


def learned_ids(outcome: Outcome) -> set[str]:
    return set(read_json(outcome.training, TRAINING)["trained_on"])


# --- samples vote, then the annotator decides


@pytest.mark.slow
def test_a_vote_is_the_proposal_and_the_annotator_decides(every: Measured) -> None:
    voted, by_votes = (ledger_of(every.outcome(name, 1)) for name in ("vote", "majority"))
    assert [line.proposed for line in voted] == [line.proposed for line in by_votes]
    judged = [line for line in voted if line.score is not None]
    assert {line.annotator for line in judged} == {"likelihood"}
    assert [line.p_b_ab for line in judged] != [line.p_b_ab for line in by_votes if line.score is not None]
    assert every.run("vote", 1).counts["compared"] == len(judged) > CAP
    # Shares of votes and entropies are no comparisons.
    assert {every.run(name, 1).counts["compared"] for name in ("majority", "robustft")} == {0}


@pytest.mark.slow
def test_what_starts_alike_is_computed_once(every: Measured) -> None:
    once = [record.stage for record in every.executor.records if not record.reused]
    first = Counter((stage.name, stage.config.get("purpose")) for stage in once if stage.config.get("round") == 1)
    # Each half is sampled once for the four methods that vote, and once more from the model of rest_em.
    assert (first["answer", "samples"], first["answer", "proposals"]) == (3, 2)
    labels = Counter(stage.label for stage in once)
    assert labels["seed 0 round 1 votes"] == 1
    assert labels["seed 0 round 1 without part 1"] == labels["seed 0 round 1 without part 2"] == 1
    # ilr, vote, tournament and rest_em judge. Up to the choice of rows, a removal is a replacement: drop takes ilr's.
    assert labels["seed 0 round 1 judgements"] == 4


@pytest.mark.slow
def test_no_vote_comes_from_a_model_that_saw_the_row(tmp_path: Path) -> None:
    lines = ledger_of(found(tmp_path, VOTE | {"splits": 3}).outcome("vote", 1))
    seen = {
        done.fingerprint: set(json.loads((done.path / TRAINING).read_text())["trained_on"])
        for done in Store(tmp_path / "store").every("train")
    }
    assert len({line.model for line in lines}) == 3
    assert not [line for line in lines if line.example_id in seen[line.model]]


# --- tournament


@pytest.mark.slow
def test_a_tournament_counts_every_comparison(every: Measured) -> None:
    outcome = every.outcome("tournament", 1)
    compared = outcome.round.compared
    assert compared is not None
    (bout,) = compared.before
    first, last = len(read_comparisons(bout)), sum(line.score is not None for line in ledger_of(outcome))
    assert first > 0
    assert every.run("tournament", 1).counts["compared"] == first + last
    # A row that has a bout also has the last comparison.
    assert {one.example_id for one in read_comparisons(bout)} <= {
        line.example_id for line in ledger_of(outcome) if line.score is not None
    }


@pytest.mark.slow
def test_a_tournament_of_one_comparison_is_a_vote_before_it(tmp_path: Path) -> None:
    done = found(tmp_path, VOTE, TOURNAMENT | {"comparisons": 1})
    assert ledger_of(done.outcome("tournament", 1)) == ledger_of(done.outcome("vote", 1))


def test_the_winner_of_a_tournament_is_the_proposal_and_only_the_cap_changes(by_oracle: Measured) -> None:
    outcome = by_oracle.outcome("tournament", 1)
    compared = outcome.round.compared
    assert compared is not None
    right = gold()
    questions = {id_: one.prompt[0].content for id_, one in outcome.rows.examples().items()}
    answers = {row.example_id: row for row in read_demonstrations(compared.sides[1]).values()}
    for pair in read_comparisons(compared.before[0]):
        text = f"#### {right[questions[pair.example_id]]}"
        # The oracle lets the right one of the two through.
        if text in (pair.a.completion, pair.b.completion):
            assert answers[pair.example_id].completion == text
    accepted = [line for line in ledger_of(outcome) if line.reason is Reason.ACCEPTED]
    assert len(accepted) == CAP
    assert all(line.chosen == answers[line.example_id].id for line in accepted)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [7, 12])
def test_all_methods_use_the_same_budget(tmp_path: Path, limit: int) -> None:
    methods: tuple[dict[str, Any], ...] = (
        ILR,
        VOTE,
        TOURNAMENT | {"comparisons": 3},
        REST_EM,
        DROP | {"rounds": 1},
        ROBUSTFT,
    )
    done = found(tmp_path, *methods, budget={"kind": "equal", "comparisons": limit})
    names = [str(method.get("name", method["kind"])) for method in methods]
    used = {name: done.run(name, 1).counts["compared"] for name in names}
    assert used == dict.fromkeys(names, limit) | {"robustft": 0}


# --- robustft


@pytest.mark.slow
def test_robustft_keeps_what_the_vote_confirms_and_takes_the_lowest_entropy(every: Measured) -> None:
    lines = ledger_of(every.outcome("robustft", 1))
    taken = [line for line in lines if line.reason is Reason.ACCEPTED]
    left = [line for line in lines if line.reason is Reason.OVER_CAP]
    assert (len(taken), {line.annotator for line in taken}) == (CAP, {"none"})
    assert left
    assert min(line.score or 0 for line in taken) >= max(line.score or 0 for line in left)
    assert {line.reason for line in lines} <= {Reason.AGREED, Reason.ACCEPTED, Reason.OVER_CAP}


# --- rest_em


@pytest.mark.slow
def test_rest_em_trains_the_base_on_samples_that_pass_alone(every: Measured) -> None:
    left_out = 0
    for number in (1, 2):
        outcome = every.outcome("rest_em", number)
        lines, labels = ledger_of(outcome), read_demonstrations(outcome.round.demonstrations)
        passed = {line.example_id: line.chosen for line in lines if line.chosen}
        assert {id_: row.id for id_, row in labels.items()} == passed
        assert learned_ids(outcome) == set(passed)
        assert 0 < len(passed) <= ROWS == len(lines)
        left_out += ROWS - len(passed)
        compared = outcome.round.compared
        assert compared is not None
        samples = {one.id for drawn in read_samples(compared.sides[1]).values() for one in drawn}
        assert set(passed.values()) <= samples
        given = read_demonstrations(compared.sides[0])
        # The label is the given one in every round, and what is kept without being accepted agrees with it.
        assert compared.sides[0].fingerprint == every.outcome("rest_em", 0).round.demonstrations.fingerprint
        for line in lines:
            if line.chosen and line.reason is not Reason.ACCEPTED:
                assert labels[line.example_id].completion == given[line.example_id].completion
        run = every.run("rest_em", number)
        assert run.metrics["removed"].value == pytest.approx(1 - len(passed) / ROWS)
        assert run.metrics["label_accuracy"].n == len(passed) == run.counts["train_rows"]
    assert left_out > 0


@pytest.mark.slow
def test_rest_em_without_a_sample_that_passes_says_what_to_do(tmp_path: Path) -> None:
    class Mute(Astray):
        """Never ends an answer that is sampled."""

        def generate(
            self,
            model: Artifact,
            prompts: Sequence[Prompt],
            settings: Decoding,
            key: SamplingKey,
            done: AbstractSet[RowKey],
        ) -> Iterator[Sequence[Completion]]:
            for batch in super().generate(model, prompts, settings, key, done):
                yield [dataclasses.replace(one, finished=settings.temperature == 0) for one in batch]

    with pytest.raises(DataError, match=r"rest_em: no sample passed in round 1.*use more samples"):
        measured(small(methods=[REST_EM]), tmp_path, Mute(gold()))


@pytest.mark.slow
def test_drop_that_removes_every_row_says_what_to_do(tmp_path: Path) -> None:
    class Certain(Astray):
        """Labels every row wrong and proposes right answers only, so that the oracle prefers every proposal."""

        def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
            weak = skill < 0.5
            return super()._answer(prompt, 0.0 if weak else 1.0, model)

        def _write(self, model: Artifact, into: Path, skill: float) -> None:
            super()._write(model, into, 0.9)

    oracle = {"annotator": {"kind": "oracle"}}
    with pytest.raises(DataError, match=r"drop: round 1 removed every row; set a smaller alpha"):
        measured(small(methods=[DROP | {"alpha": 1.0}], supervision=oracle), tmp_path, Certain(gold()))


@pytest.mark.slow
def test_a_cap_of_rest_em_bounds_what_differs_from_the_label(tmp_path: Path) -> None:
    open_, capped = (found(tmp_path, REST_EM | more) for more in ({}, {"alpha": 0.15}))
    assert capped.run("rest_em", 1).counts["accepted"] == CAP < open_.run("rest_em", 1).counts["accepted"]


# --- drop


@pytest.mark.slow
def test_drop_removes_what_ilr_replaces_and_trains_on_the_rest(every: Measured) -> None:
    replaced = {line.example_id for line in ledger_of(every.outcome("ilr", 1)) if line.reason is Reason.ACCEPTED}
    first, second = every.outcome("drop", 1), every.outcome("drop", 2)
    gone = {line.example_id for line in ledger_of(first) if line.reason is Reason.REMOVED}
    assert gone == replaced
    assert len(gone) == CAP
    assert not learned_ids(first) & gone
    # The rows that are left keep their labels, and only they are in the next round.
    before, after = read_demonstrations(every.outcome("drop", 0).round.demonstrations), first.round.demonstrations
    assert {id_: row.id for id_, row in read_demonstrations(after).items()} == {
        id_: row.id for id_, row in before.items() if id_ not in gone
    }
    assert len(ledger_of(second)) == ROWS - CAP
    also = {line.example_id for line in ledger_of(second) if line.reason is Reason.REMOVED}
    assert learned_ids(second) == set(before) - gone - also


def test_drop_says_how_many_rows_are_left_and_what_they_were_worth(by_oracle: Measured) -> None:
    zero, one, two = (by_oracle.run("drop", number) for number in (0, 1, 2))
    assert "removed" not in zero.metrics
    assert [run.metrics["removed"].value for run in (one, two)] == pytest.approx([6 / 40, 11 / 40])  # floor(0.15 * 34)
    assert [run.metrics["label_accuracy"].n for run in (zero, one, two)] == [40, 34, 29]
    assert [run.metrics["replaced"].value for run in (one, two)] == [0, 0]
    # The oracle removes wrong labels alone.
    assert [(run.counts["removed"], run.counts["removed_wrong"]) for run in (one, two)] == [(6, 6), (5, 5)]
    assert (one.metrics["label_accuracy"].value or 0) > (zero.metrics["label_accuracy"].value or 0)
    assert one.metrics["accepted_accuracy"].value == 1.0
    # The report shows removed rows, too.
    assert b'"reason":"removed"' in by_oracle.changes.replace(b" ", b"")


@pytest.mark.parametrize("kind", ["drop", "rest_em", "tournament"])
def test_a_refinement_of_ones_own_data_refuses_what_its_folder_cannot_hold(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"method.*{kind}"):
        refine_config({"data": {"source": "d.jsonl"}, "model": {"source": "builtin:strong"}, "method": {"kind": kind}})


@pytest.mark.slow
def test_a_ledger_of_a_drop_reads_as_a_preferred_proposal(every: Measured) -> None:
    outcome = every.outcome("drop", 1)
    assert outcome.round.compared is not None
    gone = [line for line in iter_ledger(outcome.round.compared.ledger) if line.reason is Reason.REMOVED]
    assert {line.chosen for line in gone} == {""}
    assert all((line.p_b_ab or 0) > 0.5 for line in gone)


def test_a_temperature_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match=r"temperature: 0\.3 has no effect with samples: 1; set samples to 2 or more"):
        small(methods=[ILR | {"temperature": 0.3}])
