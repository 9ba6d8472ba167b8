"""What is measured besides accuracy, recomputed from the artifacts: divergence, win rate, calls, paired rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from experiment import TEST, Cut, Skilled, Undecided, Wordy, fake, gold, measured, skill_of, small

from burnish.backends.fake import FakeBackend
from burnish.lab.experiment import Outcome
from burnish.protocols import RowKey, Score
from burnish.stats import mean_interval
from burnish.steps.artifacts import (
    Rows,
    Split,
    read_comparisons,
    read_demonstrations,
    read_grades,
    read_ledger,
    read_samples,
    read_scores,
)
from burnish.tasks import task_named
from burnish.types import Artifact, Effect, Example, Reason, Refinement, TrainingRow, short_hash

ORACLE = {"annotator": {"kind": "oracle"}}
METHODS: list[dict[str, Any]] = [{"kind": "sft"}, {"kind": "ilr", "rounds": 2}, {"kind": "dpo", "rounds": 2}]
BOTH = ["kl", "win_rate"]


class SkilledCut(Skilled, Cut):
    """Scores by skill, and hits the token limit now and then."""


class Blind(Wordy):
    """Scores an answer by a hash of its text: right for about half of what it compares."""

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        texts = {row.id: row.completion for row in rows}
        for batch in super().logprobs(model, rows, done):
            yield [dataclasses.replace(score, value=-int(short_hash(texts[score.id]), 16) / 2**62) for score in batch]


def correct(example: Example, completion: str) -> bool:
    return task_named("sums").on(example).grade(completion).correct


def test_nothing_more_is_measured_unless_asked_for(tmp_path: Path) -> None:
    found = measured(small(methods=METHODS), tmp_path)
    assert not {"kl", "kl_per_token", "win_rate"} & {name for run in found.results.runs for name in run.metrics}
    assert not {"score", "versus"} & set(found.stages)


def test_rounds_alone_are_measured_against_the_first_model(tmp_path: Path) -> None:
    found = measured(small(methods=METHODS, measure=BOTH), tmp_path)
    for run in found.results.runs:
        assert ({"kl", "kl_per_token", "win_rate"} <= run.metrics.keys()) == (run.round > 0)


# --- divergence


@pytest.mark.parametrize("kind", [Skilled, SkilledCut])
def test_divergence_is_the_mean_log_ratio_of_a_models_own_samples(tmp_path: Path, kind: type[FakeBackend]) -> None:
    found = measured(small(supervision=ORACLE, methods=METHODS, measure=["kl"]), tmp_path, kind(gold()))
    first = skill_of(found.outcome("sft", 0).round.model)
    examples = Rows(found.outcome("sft", 0).rows.data, Split.TEST).examples()
    for method, number in (("ilr", 1), ("ilr", 2), ("dpo", 1), ("dpo", 2)):
        run, outcome = found.run(method, number), found.outcome(method, number)
        now, probed = skill_of(outcome.round.model), outcome.divergence
        assert probed is not None
        assert now != first
        samples = read_demonstrations(probed.samples)
        assert {row.producer for row in samples.values()} == {outcome.round.model.fingerprint}
        ratios = [
            math.log(now / first) if correct(examples[id_], row.completion) else math.log((1 - now) / (1 - first))
            for id_, row in samples.items()
            if row.finished
        ]
        kl, per_token = run.metrics["kl"], run.metrics["kl_per_token"]
        assert kl.n == per_token.n == len(ratios) == len(read_scores(probed.reference))
        assert (kl.n < TEST) == (kind is SkilledCut)  # a sample without an end has no such probability
        assert kl.value == pytest.approx(sum(ratios) / len(ratios))
        assert kl.ci95 == pytest.approx(mean_interval(ratios).ci95)
        assert kl.ci95 is not None
        # The fake counts two tokens an answer.
        assert per_token.value == pytest.approx(sum(ratios) / len(ratios) / 2)
        assert per_token.ci95 == pytest.approx([bound / 2 for bound in kl.ci95])


def test_samples_that_never_end_have_no_divergence(tmp_path: Path) -> None:
    class Endless(FakeBackend):
        """Ends its first answers, which are learned from, and no sample at temperature 1."""

        def generate(self, model: Any, prompts: Any, settings: Any, key: Any, done: Any) -> Any:
            for batch in super().generate(model, prompts, settings, key, done):
                yield [dataclasses.replace(answer, finished=settings.temperature != 1.0) for answer in batch]

    found = measured(small(methods=METHODS, measure=["kl"]), tmp_path, Endless(gold()))
    for name in ("kl", "kl_per_token"):
        metric = found.run("dpo", 1).metrics[name]
        assert (metric.value, metric.n, metric.ci95) == (None, 0, None)


# --- win rate


def test_an_oracles_win_rate_is_half_the_gain_above_one_half(tmp_path: Path) -> None:
    """Right wins over wrong, the rest ties: .5 + (wins - losses) / 2n, and wins - losses is the gain in right ones."""
    found = measured(small(supervision=ORACLE, methods=METHODS, measure=["win_rate"]), tmp_path, Wordy(gold()))
    before = found.run("sft", 0).metrics["test_accuracy"].value
    assert before is not None
    for method, number in (("ilr", 1), ("ilr", 2), ("dpo", 1), ("dpo", 2)):
        metrics = found.run(method, number).metrics
        after, rate = metrics["test_accuracy"].value, metrics["win_rate"]
        assert after is not None
        assert rate.n == TEST
        assert rate.value == pytest.approx(0.5 + (after - before) / 2)


def test_equal_answers_are_ties_that_nobody_judges(tmp_path: Path) -> None:
    found = measured(small(methods=METHODS, measure=["win_rate"]), tmp_path, fake())
    for method in ("ilr", "dpo"):
        outcome = found.outcome(method, 1)
        assert outcome.versus is not None
        compared = read_comparisons(outcome.versus.compared)
        assert 0 < len(compared) < TEST
        assert all(one.a.completion != one.b.completion for one in compared)
        assert {one.a.producer for one in compared} == {found.outcome("sft", 0).round.model.fingerprint}
        assert {one.b.producer for one in compared} == {outcome.round.model.fingerprint}
        assert found.run(method, 1).metrics["win_rate"].n == TEST


def test_an_annotator_that_cannot_decide_gives_one_half(tmp_path: Path) -> None:
    found = measured(small(methods=METHODS, measure=["win_rate"]), tmp_path, Undecided(gold()))
    rate = found.run("ilr", 1).metrics["win_rate"]
    assert (rate.value, rate.n) == (0.5, TEST)


# --- how often the annotator is right


def calls(outcome: Outcome, ledger: Sequence[Refinement]) -> dict[tuple[str, str], bool]:
    """Return {decisive pair: whether the annotator called it rightly}."""
    assert outcome.round.compared is not None
    examples = outcome.rows.examples()
    right = {
        row.id: correct(examples[id_], row.completion)
        for artifact in outcome.round.compared.sides
        for id_, rows in read_samples(artifact).items()
        for row in rows
    }
    found: dict[tuple[str, str], bool] = {}
    for line in ledger:
        a, b = right[line.kept], right[line.proposed]
        if line.p_b_ab is not None and a != b:
            found[line.kept, line.proposed] = (line.p_b_ab > 0.5) == b
    return found


def test_calls_are_counted_over_decisive_pairs_of_all_and_of_the_accepted(tmp_path: Path) -> None:
    methods = [METHODS[0], METHODS[1], METHODS[2] | {"pairs": "differing"}]
    found = measured(small(methods=methods), tmp_path, Blind(gold()))
    shares: set[float | None] = set()
    for method, number in (("ilr", 1), ("ilr", 2), ("dpo", 1), ("dpo", 2)):
        run, outcome = found.run(method, number), found.outcome(method, number)
        assert outcome.round.compared is not None
        ledger = read_ledger(outcome.round.compared.ledger)
        accepted = [line for line in ledger if line.reason is Reason.ACCEPTED]
        for name, lines in (("annotator_accuracy", ledger), ("accepted_accuracy", accepted)):
            called, metric = calls(outcome, lines), run.metrics[name]
            assert metric.n == len(called)
            assert metric.value == (sum(called.values()) / len(called) if called else None)
        shares.add(run.metrics["annotator_accuracy"].value)
    assert shares - {0.0, 1.0, None}


def test_the_effects_of_changes_are_those_of_the_ledger(tmp_path: Path) -> None:
    methods = [*METHODS, {"kind": "naive", "rounds": 1}]
    found = measured(small(methods=methods), tmp_path, Blind(gold()))
    seen: set[str] = set()
    for method, number in (("ilr", 1), ("ilr", 2), ("naive", 1)):
        run, outcome = found.run(method, number), found.outcome(method, number)
        assert outcome.round.compared is not None
        examples = outcome.rows.examples()
        texts = {
            row.id: row.completion
            for side in outcome.round.compared.sides
            for rows in read_samples(side).values()
            for row in rows
        }
        expected = dict.fromkeys(Effect, 0)
        for line in read_ledger(outcome.round.compared.ledger):
            if line.reason is Reason.ACCEPTED:
                before, after = (correct(examples[line.example_id], texts[side]) for side in (line.kept, line.proposed))
                expected[Effect(f"{'right' if before else 'wrong'}_to_{'right' if after else 'wrong'}")] += 1
        assert {effect: run.counts[effect] for effect in Effect} == expected
        assert sum(expected.values()) == run.counts["accepted"]
        seen |= {effect for effect, count in expected.items() if count}
    assert seen >= {Effect.WRONG_TO_RIGHT, Effect.RIGHT_TO_WRONG}
    # Preference optimisation changes no label.
    assert not set(Effect) & found.run("dpo", 1).counts.keys()


def test_an_answer_that_was_cut_is_wrong_wherever_answers_are_graded(tmp_path: Path) -> None:
    found = measured(small(supervision=ORACLE, methods=METHODS), tmp_path, Cut(gold()))
    cut_answers = 0
    for outcome in found.outcomes:
        grades, answers = read_grades(outcome.test), read_demonstrations(outcome.answers)
        for id_, answer in answers.items():
            cut_answers += not answer.finished
            assert answer.finished or not grades[id_].correct
        if outcome.round.compared is None:
            continue
        sides = {
            row.id: row for side in outcome.round.compared.sides for rows in read_samples(side).values() for row in rows
        }
        for line in read_ledger(outcome.round.compared.ledger):
            # The oracle never keeps a label that was cut where the proposal is right.
            if line.reason is Reason.REJECTED:
                assert sides[line.kept].finished
    assert cut_answers


# --- paired differences


def test_every_last_round_is_compared_with_every_other_and_earlier_ones_with_sft(tmp_path: Path) -> None:
    found = measured(small(methods=METHODS, seeds=[0, 1]), tmp_path)
    pairs = [((row.a, row.a_round), (row.b, row.b_round)) for row in found.results.paired]
    assert pairs == [
        (("sft", 0), ("weak", 0)),
        (("ilr", 2), ("weak", 0)),
        (("dpo", 2), ("weak", 0)),
        (("ilr", 2), ("sft", 0)),
        (("dpo", 2), ("sft", 0)),
        (("dpo", 2), ("ilr", 2)),
        (("ilr", 1), ("sft", 0)),
        (("dpo", 1), ("sft", 0)),
    ]
    for row in found.results.paired:
        differences = [
            int(after[id_].correct) - int(before[id_].correct)
            for seed in (0, 1)
            for after, before in [
                (
                    read_grades(found.outcome(row.a, row.a_round, seed).test),
                    read_grades(found.outcome(row.b, row.b_round, seed).test),
                )
            ]
            for id_ in after
        ]
        assert (row.seeds, row.prompts, len(differences)) == (2, TEST, 2 * TEST)
        assert row.difference == pytest.approx(sum(differences) / len(differences))
        assert row.ci95 is not None
        assert row.ci95[0] <= row.difference <= row.ci95[1]


def test_without_an_sft_method_last_rounds_alone_are_compared(tmp_path: Path) -> None:
    found = measured(small(methods=[METHODS[2]]), tmp_path)
    assert [(row.a, row.a_round, row.b) for row in found.results.paired] == [("dpo", 2, "weak")]
