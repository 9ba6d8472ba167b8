"""`burnish refine --holdout N`: rows that are never trained on say whether the trained model became better."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from refinement import (
    COUNT,
    PROBLEMS,
    RIGHT,
    Refined,
    fake,
    label,
    refine,
    rows,
    script,
    settings,
    trained_on,
    written,
)

from burnish.algorithms.holdout import LEAST_LEFT
from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.errors import BurnishError, ConfigError, DataError
from burnish.ledger.cards import Names, dataset_card
from burnish.ledger.folder import REPORT, Folder
from burnish.ledger.reverting import revert
from burnish.ledger.summary import HoldoutSummary
from burnish.protocols import Prompt
from burnish.refinery import FinishedRefinement, RunOptions
from burnish.refinery.dry_run import dry_run
from burnish.refinery.dry_run import words as plan_words
from burnish.refinery.words import closing
from burnish.stats import paired_difference
from burnish.steps.artifacts import read_demonstrations
from burnish.store.stages import Store
from burnish.types import Artifact, Completion, Demonstration, Reason

HELD, LEFT = 20, COUNT - 20
CHECKER = """
for row in rows:
    say(row["id"], passed=row["answer"] == "#### " + RIGHT[row["prompt"]])
"""


def held(found: Refined) -> HoldoutSummary:
    assert found.summary.holdout is not None
    return found.summary.holdout


def said(found: Refined) -> str:
    """Return the closing lines."""
    lines = closing(FinishedRefinement(out=found.out, summary=found.summary))
    return "\n".join(lines).replace("\u00a0", " ")


def answered(found: Refined) -> dict[int, dict[str, Demonstration]]:
    """Return the answers to the held-out prompts, by round and row."""
    return {
        done.payload["config"]["round"]: dict(
            read_demonstrations(Artifact(path=str(done.path), kind="answer", fingerprint="")).items()
        )
        for done in Store(found.store).every("answer")
        if done.payload["config"]["purpose"] == "holdout"
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Refined:
    where = tmp_path_factory.mktemp("holdout")
    return refine(settings(written(where), holdout=HELD), where)


def test_held_out_rows_are_never_trained_on_compared_or_changed(done: Refined) -> None:
    ids = set(held(done).ids)
    assert len(ids) == HELD
    learned = trained_on(done.store)
    assert len(learned) == 6  # two halves in each of two rounds, round 0, and the last round
    assert not any(ids & rows_ for rows_ in learned.values())
    assert not ids & {line.example_id for line in done.ledger}
    given = {row["id"]: row for row in rows()}
    assert all(row == given[row["id"]] for row in done.rows if row["id"] in ids)
    assert (done.summary.data.usable, done.summary.data.held_out) == (LEFT, HELD)
    assert all(sum(done.reasons(number).values()) == LEFT for number in (1, 2))
    assert done.reasons(1)[Reason.ACCEPTED] > 0


def test_both_figures_are_those_of_the_answers_and_of_the_delivered_model(done: Refined) -> None:
    found, answers = held(done), answered(done)
    questions = {example.id: example.prompt[0].content for example in done.examples}
    right = {
        number: [answers[number][id_].completion == f"#### {RIGHT[questions[id_]]}" for id_ in sorted(found.ids)]
        for number in (0, 2)
    }
    assert (found.before.value, found.after.value) == (sum(right[0]) / HELD, sum(right[2]) / HELD)
    both = sum(a and b for a, b in zip(right[0], right[2], strict=True))
    assert found.lost == sum(right[0]) - both
    assert found.gained == sum(right[2]) - both
    interval = paired_difference(both, found.lost, found.gained, HELD - both - found.lost - found.gained)
    assert (found.difference.value, found.difference.ci95) == (interval.value, interval.ci95)
    assert found.gained + found.lost > 0  # the two models differ, else this test could not fail
    assert done.summary.model is not None
    assert found.model == done.summary.model.fingerprint
    assert {answer.producer for answer in answers[2].values()} == {found.model}
    (before,) = {answer.producer for answer in answers[0].values()}
    labels = {row["id"]: row["answer"] for row in rows()}
    assert trained_on(done.store)[before] == labels.keys() - set(found.ids)


def test_the_terminal_the_report_and_the_cards_say_it(done: Refined) -> None:
    words = said(done)
    assert "Of 20 held-out prompts, the model answers" in words
    assert "the labels after the last round: a difference of" in words
    page = (done.out / REPORT).read_text()
    assert "<h2>Held-out prompts</h2>" in page
    assert "Newcombe" in page
    assert f"{HELD} held out" in page
    assert "Of 20 held-out prompts, the model answers" in dataset_card(Folder(done.out), done.summary, Names())


def test_show_says_that_a_row_was_held_out_and_lists_the_others(done: Refined) -> None:
    shown = CliRunner().invoke(main, ["show", str(done.out), held(done).ids[0]])
    assert "the row was held out" in shown.stdout
    listed = CliRunner().invoke(main, ["show", str(done.out), "--limit", "35"])
    assert len(listed.stdout.splitlines()) == 35
    every = json.loads(CliRunner().invoke(main, ["show", str(done.out), "--json"]).stdout)
    assert every["total"] == len(every["rows"]) == LEFT


def test_a_plan_has_the_stages_of_the_run_and_counts_round_0(tmp_path: Path) -> None:
    source = written(tmp_path)
    places = RunOptions(out=tmp_path / "out", store=tmp_path / "store")
    with_it, without = dry_run(settings(source, holdout=HELD), places), dry_run(settings(source), places)
    names = [stage.label for stage in with_it.stages]
    assert [name.split(" ", 1)[1] for name in names[-2:]] == ["answers for holdout 0", "answers for holdout 2"]
    assert any("held out: 20 rows of 20 prompts" in line for line in plan_words(with_it))
    # Each row is learned twice by the halves and once by the last model, and here once more by the model of round 0.
    share = LEFT / COUNT
    assert with_it.estimate.trained_tokens == pytest.approx(without.estimate.trained_tokens * share * 4 / 3, abs=3)
    assert with_it.estimate.comparisons == 2 * LEFT
    refine(settings(source, holdout=HELD), tmp_path)
    again = dry_run(settings(source, holdout=HELD), places)
    assert {stage.state for stage in again.stages} == {"done"}
    assert [stage.label for stage in again.stages] == names


class Cut(FakeBackend):
    """Answers all prompts right, but those that are held out are cut at the token limit."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        super().__init__(RIGHT)
        self.ids = ids

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        found = super()._answer(prompt, 1.0, model)
        return dataclasses.replace(found, finished=prompt.id not in self.ids)


def test_an_answer_that_was_cut_is_wrong(done: Refined, tmp_path: Path) -> None:
    found = held(refine(settings(written(tmp_path), holdout=HELD, rounds=1), tmp_path, Cut(held(done).ids)))
    assert found.ids == held(done).ids
    assert (found.before.value, found.after.value, found.gained, found.lost) == (0.0, 0.0, 0, 0)
    whole = held(refine(settings(written(tmp_path), holdout=HELD, rounds=1), tmp_path / "whole", Cut(())))
    assert (whole.before.value, whole.after.value) == (1.0, 1.0)


@pytest.mark.parametrize("method", ["naive", "clear", "majority", "verified"])
def test_every_method_holds_rows_out(tmp_path: Path, method: str) -> None:
    options: dict[str, Any] = {"annotator": None}
    if method == "verified":
        options["checker"] = " ".join(script(tmp_path, "check.py", CHECKER))
    elif method == "clear":
        options = {}
    found = refine(
        settings(written(tmp_path), method=method, rounds=1, reference="gold", holdout=HELD, **options), tmp_path
    )
    assert held(found).before.n == held(found).after.n == HELD
    assert not any(set(held(found).ids) & rows_ for rows_ in trained_on(found.store).values())
    assert sum(found.reasons(1).values()) == LEFT


def test_after_a_revert_the_figure_is_said_to_be_old_and_is_then_measured_again(tmp_path: Path) -> None:
    config = settings(written(tmp_path), holdout=HELD, rounds=1)
    found = refine(config, tmp_path)
    first = held(found)
    revert(found.out, 1, ())
    assert held(found) == first
    assert "so this is not the model of the present labels" in said(found)
    assert "so this is not the model of the present labels" in " ".join((found.out / REPORT).read_text().split())
    again = held(refine(config, tmp_path))
    changed = found.reasons(1)[Reason.ACCEPTED]
    assert again.reverted == changed > 0
    assert found.summary.model is not None
    assert again.model == found.summary.model.fingerprint != first.model
    assert f"the labels after {changed} rows were taken back" in said(found)
    # All changes are taken back, so the labels are those from before. The fake's skill depends on these alone.
    assert again.before == first.before


def test_rows_of_one_prompt_are_held_out_together(tmp_path: Path) -> None:
    data = rows()
    twice = data + [{**row, "id": f"{row['id']}-again", "answer": label(i)} for i, row in enumerate(data)]
    found = refine(settings(written(tmp_path, twice), holdout=HELD, rounds=1), tmp_path)
    ids = set(held(found).ids)
    assert (len(ids), held(found).prompts) == (2 * HELD, HELD)
    assert {id_.removesuffix("-again") for id_ in ids} == {id_ for id_ in ids if not id_.endswith("-again")}
    assert not any(ids & rows_ for rows_ in trained_on(found.store).values())


def test_proposals_for_held_out_rows_change_nothing(tmp_path: Path) -> None:
    given = tmp_path / "proposals.jsonl"
    # Every row has a proposal, also those that are held out.
    given.write_text("".join(f'{{"id": "{row["id"]}", "proposal": "#### {row["gold"]}"}}\n' for row in rows()))
    config = settings(written(tmp_path), proposals=str(given), rounds=1, holdout=HELD)
    places = RunOptions(out=tmp_path / "out", store=tmp_path / "store", backend=fake)
    plan = dry_run(config, places)
    said_before = list(plan_words(plan))
    assert f"proposals: {COUNT} of {COUNT} rows have one, paired by id" in said_before
    assert f"held out: {HELD} rows of {HELD} prompts, never trained on, compared or changed" in said_before
    found = refine(config, tmp_path)
    again = dry_run(config, places).stages
    assert {stage.state for stage in again} == {"done"}
    assert [stage.fingerprint for stage in again] == [stage.fingerprint for stage in plan.stages]
    ids, asked = set(held(found).ids), {row["id"]: row for row in rows()}
    assert len(ids) == HELD
    assert sum(found.reasons(1).values()) == LEFT
    assert found.reasons(1)[Reason.ACCEPTED] > 0
    assert all(row == asked[row["id"]] for row in found.rows if row["id"] in ids)
    # Nothing is trained to propose: the models are those of the labels before and after.
    assert [rows_ & ids for rows_ in trained_on(found.store).values()] == [set(), set()]
    assert found.summary.model is not None
    assert held(found).model == found.summary.model.fingerprint
    assert answered(found).keys() == {0, 1}
    assert found.answers.keys() >= {line.chosen for line in found.ledger}
    proposed = {row.example_id for row in found.answers.values() if row.source == "proposal"}
    assert proposed == asked.keys() - ids


def refused(config: Any, where: Path) -> BurnishError:
    """Return the error of a run; a dry run has the same."""
    errors: list[BurnishError] = []
    places = RunOptions(out=where / "out", store=where / "store")
    for call in (lambda: dry_run(config, places), lambda: refine(config, where)):
        with pytest.raises(BurnishError) as caught:
            call()
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    assert type(errors[0]) is type(errors[1])
    return errors[0]


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path)
    none = refused(settings(source, holdout=HELD, method="naive", annotator=None), tmp_path)
    assert isinstance(none, ConfigError)
    assert "name one with --reference COLUMN" in str(none)
    few = refused(settings(source, holdout=COUNT - LEAST_LEFT + 1), tmp_path)
    assert isinstance(few, DataError)
    assert "holdout: 41 found, but only 60 different prompts have a reference" in str(few)
    # Rows without a reference do not count.
    data = [{**row, "gold": row["gold"] if i < 25 else None} for i, row in enumerate(rows())]
    some = refused(settings(written(tmp_path / "some", data), holdout=6), tmp_path)
    assert "only 25 different prompts" in str(some)


def test_without_it_nothing_is_written_about_it(tmp_path: Path) -> None:
    config = settings(written(tmp_path))
    assert "holdout" not in config.settings.model_dump(mode="json")
    assert len(PROBLEMS) == COUNT
