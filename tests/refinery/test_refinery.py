"""`burnish refine` on a small noisy dataset: what it changes, what it writes down, what it leaves as it was."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from refinement import (
    ALPHA,
    CAP,
    COUNT,
    PROBLEMS,
    RIGHT,
    WRONG_LABELS,
    Refined,
    answer_in,
    label,
    noisy,
    refine,
    right,
    right_labels,
    rows,
    script,
    settings,
    trained_on,
    written,
)

from burnish.algorithms.ledger_lines import verdict_on
from burnish.backends.fake import SKILL, FakeBackend
from burnish.protocols import Prompt
from burnish.stats import wilson
from burnish.types import Completion, Effect, Reason, Verdict


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Refined:
    where = tmp_path_factory.mktemp("refined")
    return refine(settings(written(where)), where)


# --- better labels


def test_an_oracle_makes_labels_better_by_what_it_accepts(done: Refined) -> None:
    accepted = [line for line in done.ledger if line.reason is Reason.ACCEPTED]
    assert len(accepted) == 2 * CAP  # there is more to gain than the cap lets in
    assert right_labels(done) == COUNT - WRONG_LABELS + len(accepted)


def test_a_program_that_can_reckon_does_the_same(tmp_path: Path) -> None:
    command = script(
        tmp_path,
        "judge.py",
        """
        for row in rows:
            first, second = (row[side] == "#### " + RIGHT[row["prompt"]] for side in ("first", "second"))
            say(row["id"], p_second=(1 + second - first) / 2)
        """,
    )
    judge = {"kind": "command", "command": command}
    found = refine(settings(written(tmp_path), annotator=judge, no_selftest=True), tmp_path)
    assert right_labels(found) == COUNT - WRONG_LABELS + 2 * CAP
    assert {line.annotator for line in found.ledger if line.score is not None} == {"command"}
    assert {(line.p_b_ab, line.p_b_ba) for line in found.ledger if line.reason is Reason.ACCEPTED} == {(1.0, 1.0)}


def test_the_model_learned_what_the_dataset_holds(done: Refined) -> None:
    share = right_labels(done) / COUNT
    assert json.loads((done.out / "model" / SKILL).read_text()) == pytest.approx(0.1 + 0.8 * share)
    assert done.summary.model is not None
    assert (done.summary.model.folder, done.summary.model.current) == ("model", True)
    assert trained_on(done.store)[done.summary.model.fingerprint] == {row["id"] for row in rows()}


@pytest.mark.parametrize(("alpha", "cap"), [(0.02, 1), (0.05, 3), (1.0, COUNT)])
def test_no_round_changes_more_than_its_share(tmp_path: Path, alpha: float, cap: int) -> None:
    found = refine(settings(written(tmp_path), alpha=alpha), tmp_path)
    for number in (1, 2):
        reasons = found.reasons(number)
        assert reasons[Reason.ACCEPTED] <= cap
        assert reasons[Reason.ACCEPTED] == cap or not reasons[Reason.OVER_CAP]
    assert right_labels(found) == COUNT - WRONG_LABELS + sum(found.reasons(n)[Reason.ACCEPTED] for n in (1, 2))


# --- the ledger


def test_the_ledger_has_a_line_for_every_row_and_round(done: Refined) -> None:
    ids = sorted(row["id"] for row in rows())
    assert [(line.round, line.example_id) for line in done.ledger] == [(n, id_) for n in (1, 2) for id_ in ids]
    given = {example.id: label(i) for i, example in enumerate(done.examples)}
    for line in done.of_round(1):
        assert done.answers[line.kept].completion == given[line.example_id]
    for before, after in zip(done.of_round(1), done.of_round(2), strict=True):
        assert before.chosen == after.kept
    for line in done.ledger:
        accepted = line.reason is Reason.ACCEPTED
        assert line.chosen == (line.proposed if accepted else line.kept)
        assert (line.score is None) == (line.reason in {Reason.AGREED, Reason.INVALID, Reason.NOT_COMPARED})


def test_every_reason_is_what_an_oracle_makes_of_the_two_answers(done: Refined) -> None:
    questions = {example.id: example.prompt[0].content for example in done.examples}
    expected = {
        (True, True): {Reason.AGREED},
        (True, False): {Reason.REJECTED},
        (False, False): {Reason.TIE},
        (False, True): {Reason.ACCEPTED, Reason.OVER_CAP},
    }
    seen: set[Reason] = set()
    for line in done.ledger:
        kept, proposed = (done.answers[side].completion for side in (line.kept, line.proposed))
        question = questions[line.example_id]
        if kept == proposed:
            assert line.reason is Reason.AGREED
        else:
            assert line.reason in expected[right(question, kept), right(question, proposed)]
        seen.add(line.reason)
    assert seen == set().union(*expected.values())


def test_all_that_the_summary_counts_can_be_recomputed_from_the_ledger(done: Refined) -> None:
    questions = {example.id: example.prompt[0].content for example in done.examples}

    def is_right(id_: str, answer: str) -> bool:
        return right(questions[id_], done.answers[answer].completion)

    for one in done.summary.rounds:
        lines = done.of_round(one.round)
        assert one.counts == {str(reason): count for reason, count in Counter(line.reason for line in lines).items()}
        assert sum(one.counts.values()) == COUNT
        judged = [line for line in lines if line.score is not None]
        assert one.compared == len(judged)
        assert (one.replaced.value, one.replaced.n) == (CAP / COUNT, COUNT)
        stand = sum(is_right(line.example_id, line.chosen) for line in lines)
        assert one.label_accuracy is not None
        assert (one.label_accuracy.value, one.label_accuracy.ci95) == (stand / COUNT, wilson(stand, COUNT).ci95)
        decisive = [line for line in judged if verdict_on(line) is not Verdict.TIE]
        assert one.annotator_accuracy is not None
        assert (one.annotator_accuracy.value, one.annotator_accuracy.n) == (1.0, len(decisive))
        assert one.accepted_accuracy is not None
        assert (one.accepted_accuracy.value, one.accepted_accuracy.n) == (1.0, CAP)
        # The oracle accepts a proposal only where the label was wrong and the proposal is right.
        assert one.effects == {effect: CAP * (effect is Effect.WRONG_TO_RIGHT) for effect in Effect}
    before = done.summary.given_accuracy
    assert before is not None
    assert (before.value, before.n) == ((COUNT - WRONG_LABELS) / COUNT, COUNT)


def test_no_proposal_comes_from_a_model_that_was_trained_on_the_row(done: Refined) -> None:
    learned = trained_on(done.store)
    for line in done.ledger:
        assert done.answers[line.proposed].producer == line.model
        assert line.example_id not in learned[line.model]
    for number in (1, 2):
        halves = [learned[model] for model in {line.model for line in done.of_round(number)}]
        assert len(halves) == 2
        assert sum(map(len, halves)) == COUNT == len(set[str]().union(*halves))


# --- the dataset


@pytest.mark.parametrize(
    ("form", "suffix"),
    [
        *itertools.product(("question", "messages", "alpaca"), (".jsonl", ".csv", ".parquet")),
        ("text", ".json"),
        ("text", ".jsonl.gz"),
        ("question", ".csv.gz"),
    ],
)
def test_the_file_holds_the_chosen_answers_and_all_else_as_it_was(tmp_path: Path, form: str, suffix: str) -> None:
    given = rows(form)
    found = refine(settings(written(tmp_path, given, suffix), rounds=1), tmp_path)
    assert found.summary.data.file == f"refined{suffix}"
    assert [answer_in(row) for row in found.rows] == found.labels()
    changed = [i for i, row in enumerate(found.rows) if answer_in(row) != label(i)]
    assert len(changed) == CAP
    assert all(noisy(i) for i in changed)
    blank = _without_answers(found.rows)
    assert blank == _without_answers(given)
    assert [list(row) for row in found.rows] == [list(row) for row in given]


def _without_answers(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with a placeholder for the answer; a CSV file holds conversations as text."""
    found: list[dict[str, Any]] = []
    for given in data:
        row, turns = given, given.get("messages")
        if turns is not None:
            listed = json.loads(turns) if isinstance(turns, str) else turns
            row = {**row, "messages": [*listed[:-1], {**listed[-1], "content": "?"}]}
        found.append({key: "?" if key in {"answer", "completion", "output"} else value for key, value in row.items()})
    return found


def test_lines_that_stay_are_the_same_bytes(tmp_path: Path) -> None:
    odd = b'{"answer":"#### %d" ,  "question":"%s","x":1.50}\r\n'
    lines = [odd % (p.answer, p.question.encode()) for p in PROBLEMS[:20]]
    wrong = b'{"question": "%s", "answer": "#### 99", "x": null}\n'
    lines += [wrong % p.question.encode() for p in PROBLEMS[20:]]
    source = tmp_path / "data.jsonl"
    source.write_bytes(b"".join(lines))
    config = settings(source, annotator=None, method="naive", alpha=0.2, rounds=1)
    found = refine(config, tmp_path)
    after = (found.out / "refined.jsonl").read_bytes().splitlines(keepends=True)
    accepted = {line.example_id for line in found.ledger if line.reason is Reason.ACCEPTED}
    assert len(accepted) == 12
    for before, now, example in zip(lines, after, found.examples, strict=True):
        if example.id not in accepted:
            assert now == before
        assert json.loads(now)["question"] == example.prompt[0].content
        assert now.endswith(b"\r\n") == before.endswith(b"\r\n")


class Cut(FakeBackend):
    """Hits the token limit where the row's number is odd, and has no answer where it ends in 4."""

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        answer = super()._answer(prompt, skill, model)
        number = int(prompt.id[-2:])
        text = "no idea" if number % 10 == 4 else answer.text
        return Completion(id=answer.id, sample=0, text=text, finished=number % 2 == 0, tokens=answer.tokens)


def test_a_proposal_without_an_end_or_an_answer_is_never_accepted(tmp_path: Path) -> None:
    found = refine(settings(written(tmp_path), alpha=1.0), tmp_path, Cut(RIGHT))
    for line in found.ledger:
        number = int(line.example_id[-2:])
        assert (line.reason is Reason.INVALID) == (number % 2 == 1 or number % 10 == 4)
    assert found.reasons(1)[Reason.ACCEPTED] > 0
    assert right_labels(found) == COUNT - WRONG_LABELS + sum(found.reasons(n)[Reason.ACCEPTED] for n in (1, 2))


# --- the folder


def test_the_folder_holds_what_is_promised_and_nothing_else(done: Refined) -> None:
    files = ["answers.jsonl", "config.yaml", "examples.jsonl", "ledger.jsonl", "model", "refined.jsonl"]
    names = sorted(path.name for path in done.out.iterdir() if not path.name.startswith("."))
    assert names == [*files, "refinement.json", "report.html"]
    config = yaml.safe_load((done.out / "config.yaml").read_text())
    assert (config["method"]["alpha"], config["data"]["reference_column"]) == (ALPHA, "gold")
    config.pop("execution")
    assert config == done.summary.config.model_dump(mode="json")


def test_answers_are_the_given_ones_and_each_round_s_proposals(done: Refined) -> None:
    lines = (done.out / "answers.jsonl").read_text().splitlines()
    by_round = Counter(json.loads(line)["round"] for line in lines)
    assert by_round == {0: COUNT, 1: COUNT, 2: COUNT}
    named = {side for line in done.ledger for side in (line.kept, line.proposed, line.chosen)}
    assert named <= done.answers.keys()


def test_the_reference_reaches_no_example_that_is_judged_or_learned(done: Refined) -> None:
    assert [example.reference for example in done.examples] == [str(problem.answer) for problem in PROBLEMS]
    for place in sorted((done.store / "stages").iterdir()):
        if place.name != "given":
            assert not any(b'"reference":"' in file.read_bytes() for file in place.rglob("*.jsonl"))


def test_comparisons_can_be_limited(tmp_path: Path) -> None:
    found = refine(settings(written(tmp_path), comparisons=10, alpha=1.0), tmp_path)
    for one in found.summary.rounds:
        lines = found.of_round(one.round)
        assert one.compared == sum(line.score is not None for line in lines) == 10
        assert one.counts["not_compared"] == COUNT - 10 - one.counts["agreed"]
        assert one.counts["not_compared"] > 0


def test_seeds_cut_other_halves(tmp_path: Path) -> None:
    source = written(tmp_path)
    cuts: list[set[frozenset[str]]] = []
    for seed in (0, 1):
        found = refine(settings(source, f"seed={seed}", rounds=1), tmp_path / str(seed))
        cuts.append({frozenset(trained_on(found.store)[line.model]) for line in found.ledger})
    assert cuts[0].isdisjoint(cuts[1])
    assert math.isclose(sum(map(len, cuts[0])), COUNT)


def test_the_report_shows_how_sure_the_annotator_was(tmp_path: Path) -> None:
    """An oracle is certain of what it prefers, and undecided between two wrong answers."""
    found = refine(settings(written(tmp_path), rounds=1), tmp_path)
    (round_,) = found.summary.rounds
    assert sum(round_.confidence) == round_.compared
    assert round_.confidence[1:-1] == (0,) * 8
    assert round_.accepted_confidence == (0,) * 9 + (CAP,)
    page = (found.out / "report.html").read_text()
    assert "How sure the annotator was" in page
    assert f"{CAP} accepted" in page
