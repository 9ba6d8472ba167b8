"""Methods on a user's rows: what each proposes, whom it asks, and that all of them keep to one cap."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from experiment import Quiet
from refinement import (
    ALPHA,
    CAP,
    COUNT,
    RIGHT,
    WRONG_LABELS,
    label,
    refine,
    right,
    right_labels,
    rows,
    script,
    settings,
    trained_on,
    written,
)

from burnish.algorithms.comparisons import most_voted
from burnish.algorithms.ranking import Candidate
from burnish.algorithms.refinement import Acceptance, select
from burnish.annotators.function import FunctionAnnotator
from burnish.config import ClearMethod, DataConfig, Decoding, IlrMethod, ModelConfig, TrainSettings
from burnish.forms.table import open_table
from burnish.methods import Setting, ilr
from burnish.protocols import Backend, Score
from burnish.refinery.dataset import given_rows
from burnish.steps.artifacts import Rows, Split, read_ledger, read_samples
from burnish.steps.basic import Steps
from burnish.steps.engines import Engines
from burnish.steps.judging import AnnotatorPlan
from burnish.store import identity
from burnish.store.runners import Executor
from burnish.store.stages import Store
from burnish.tasks.numbers import NumericAnswers
from burnish.types import (
    Artifact,
    Completion,
    Demonstration,
    DemonstrationSource,
    PairRow,
    Prompt,
    Reason,
    TrainingRow,
    Verdict,
)

CLASSIFIER = {"kind": "classifier", "model": "builtin:judge-1"}
CHECKER = """
for row in rows:
    say(row["id"], passed=row["answer"] == "#### " + RIGHT[row["prompt"]])
"""
NOBODY: dict[str, Any] = {"annotator": None}


# --- one cap for all


@pytest.mark.parametrize("method", ["ilr", "naive", "clear", "majority", "robustft", "verified"])
def test_every_method_changes_the_same_share(tmp_path: Path, method: str) -> None:
    options: dict[str, Any] = NOBODY
    if method == "verified":
        options = {"annotator": None, "checker": " ".join(script(tmp_path, "check.py", CHECKER))}
    elif method in {"ilr", "clear"}:
        options = {"annotator": "oracle:gold"}
    found = refine(settings(written(tmp_path), method=method, **options), tmp_path)
    for number in (1, 2):
        assert found.reasons(number)[Reason.ACCEPTED] == CAP
        assert found.reasons(number)[Reason.OVER_CAP] > 0
        assert sum(found.reasons(number).values()) == COUNT
    assert [row["answer"] for row in found.rows] == found.labels()


# --- clear


def candidates(*p_b: float | None) -> list[Candidate]:
    verdicts = [
        Verdict.ABSTAIN if p is None else Verdict.TIE if p == 0.5 else Verdict.B if p > 0.5 else Verdict.A for p in p_b
    ]
    return [
        Candidate(example_id=str(i), screened=None, verdict=verdict, p_b=p)
        for i, (p, verdict) in enumerate(zip(p_b, verdicts, strict=True))
    ]


def test_the_gate_by_hand() -> None:
    found = select(candidates(0.79, 0.8, 0.9, 0.5, 0.3, None, 1.0), 0.3, 7, rule=Acceptance(gate=0.8))  # at most 2
    low, over, take = Reason.BELOW_GATE, Reason.OVER_CAP, Reason.ACCEPTED
    assert found == [low, over, take, Reason.TIE, Reason.REJECTED, Reason.ABSTAINED, take]


def test_a_gate_lets_in_what_is_sure_enough_alone(tmp_path: Path) -> None:
    source = written(tmp_path)  # the fake classifier is sure by 0.7
    options: dict[str, Any] = {"method": "clear", "annotator": CLASSIFIER, "rounds": 1, "no_selftest": True}
    shut = refine(settings(source, **options), tmp_path / "shut")
    method = shut.summary.config.method
    assert isinstance(method, ClearMethod)
    assert method.gate == 0.8
    assert shut.reasons(1)[Reason.BELOW_GATE] > CAP
    assert shut.rows == rows()
    ajar = refine(settings(source, "method.gate=0.65", **options), tmp_path / "ajar")
    assert ajar.reasons(1)[Reason.BELOW_GATE] == 0
    assert (ajar.reasons(1)[Reason.ACCEPTED], right_labels(ajar)) == (CAP, COUNT - WRONG_LABELS + CAP)


def test_clear_s_proposals_come_from_the_model_of_all_rows(tmp_path: Path) -> None:
    found = refine(settings(written(tmp_path), method="clear"), tmp_path)
    learned = trained_on(found.store)
    for number in (1, 2):
        (model,) = {line.model for line in found.of_round(number)}
        assert len(learned[model]) == COUNT
    assert len(learned) == 3  # before, and after each round
    assert found.summary.model is not None
    assert found.summary.model.fingerprint in learned.keys() - {line.model for line in found.ledger}


# --- majority


def drawn(*texts: str) -> list[Demonstration]:
    """Samples by their texts; what ends in ~ has no end."""
    return [
        Demonstration(
            example_id="e", completion=t, source=DemonstrationSource.PROPOSAL, finished=not t.endswith("~"), sample=i
        )
        for i, t in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("texts", "chosen", "share"),
    [
        (["so 4", "it is 4", "5"], "so 4", 2 / 3),
        (["5", "so 4", "it is 4"], "so 4", 2 / 3),
        (["5", "4", "4", "5"], "5", 0.5),  # equally frequent: which came first
        (["4.0", "4", "8/2", "5"], "4.0", 0.75),  # equal as numbers
        (["4~", "4~", "5"], "5", 1 / 3),  # without an end no vote, but one of three
        (["dunno", "4", "no"], "4", 1 / 3),
        (["dunno", "no", "4~"], "dunno", 0.0),
    ],
)
def test_the_most_frequent_answer_by_hand(texts: list[str], chosen: str, share: float) -> None:
    found, votes = most_voted(NumericAnswers(), drawn(*texts))
    assert (found.completion, votes) == (chosen, pytest.approx(share))


@pytest.mark.slow
def test_a_majority_of_samples_is_proposed_with_its_share(tmp_path: Path) -> None:
    found = refine(settings(written(tmp_path), "method.samples=4", method="majority", **NOBODY), tmp_path)
    seen: Counter[Reason] = Counter()
    sampled = {
        (done.payload["config"]["round"], id_): [one.completion for one in samples]
        for done in Store(found.store).every("answer")
        if done.payload["config"]["purpose"] == "samples"
        for id_, samples in read_samples(Artifact(path=str(done.path), kind="", fingerprint="")).items()
    }
    assert len(sampled) == 2 * COUNT
    for line in found.ledger:
        texts = sampled[line.round, line.example_id]
        proposal = found.answers[line.proposed].completion
        share = texts.count(proposal) / 4
        assert len(texts) == 4
        assert share == max(map(texts.count, texts)) / 4
        if line.reason is Reason.AGREED:
            assert proposal == found.answers[line.kept].completion
        else:
            assert (line.p_b_ab, line.p_b_ba, line.annotator) == (share, None, "none")
            preferred = {Reason.ACCEPTED, Reason.OVER_CAP}
            assert line.reason in (preferred if share > 0.5 else {Reason.TIE} if share == 0.5 else {Reason.REJECTED})
        seen[line.reason] += 1
    assert {Reason.AGREED, Reason.ACCEPTED, Reason.OVER_CAP, Reason.TIE} <= seen.keys()
    learned = trained_on(found.store)
    assert not any(line.example_id in learned[line.model] for line in found.ledger)


@pytest.mark.slow
def test_a_vote_is_compared_with_the_label(tmp_path: Path) -> None:
    found = refine(settings(written(tmp_path), "method.samples=4", rounds=1), tmp_path)
    sampled = next(
        read_samples(Artifact(path=str(done.path), kind="", fingerprint=""))
        for done in Store(found.store).every("answer")
        if done.payload["config"]["samples"] == 4
    )
    for id_, drawn_samples in sampled.items():
        (line,) = (line for line in found.ledger if line.example_id == id_)
        texts = [one.completion for one in drawn_samples]
        assert texts.count(found.answers[line.proposed].completion) == max(map(texts.count, texts))
    assert {line.annotator for line in found.ledger if line.score is not None} == {"oracle"}
    assert found.reasons(1)[Reason.ACCEPTED] == CAP
    learned = trained_on(found.store)
    assert not any(line.example_id in learned[line.model] for line in found.ledger)


# --- verified, naive


def test_a_checker_replaces_what_fails_by_what_passes(tmp_path: Path) -> None:
    checker = " ".join(script(tmp_path, "check.py", CHECKER))
    found = refine(settings(written(tmp_path), method="verified", checker=checker, **NOBODY), tmp_path)
    questions = {example.id: example.prompt[0].content for example in found.examples}
    for line in found.ledger:
        if line.reason is Reason.ACCEPTED:
            question = questions[line.example_id]
            assert right(question, found.answers[line.proposed].completion)
            assert not right(question, found.answers[line.kept].completion)
    assert {line.annotator for line in found.ledger if line.score is not None} == {"checker"}
    assert right_labels(found) == COUNT - WRONG_LABELS + 2 * CAP
    assert found.summary.selftest is None


def test_naive_asks_nobody_and_draws_by_the_seed(tmp_path: Path) -> None:
    source = written(tmp_path)
    changed: list[set[str]] = []
    for seed in (0, 1):
        config = settings(source, f"seed={seed}", method="naive", rounds=1, **NOBODY)
        found = refine(config, tmp_path / str(seed))
        assert {(line.score, line.annotator) for line in found.ledger} == {(None, "")}
        changed.append({line.example_id for line in found.ledger if line.reason is Reason.ACCEPTED})
    assert changed[0] != changed[1]


# --- any backend


class Own:
    """A backend of one's own: its models write what they saw most often, and it inherits nothing."""

    def __init__(self) -> None:
        self.exported: list[Path] = []

    def train(
        self,
        model: Artifact,
        rows: Sequence[TrainingRow],
        settings: TrainSettings,
        seed: int,
        into: Path,
        checkpoints: int = 0,
    ) -> int:
        (into / "mine.json").write_text(json.dumps(sorted(row.id for row in rows)))
        return sum(len(row.completion) for row in rows)

    def generate(
        self, model: Artifact, prompts: Sequence[Prompt], settings: Decoding, key: Any, done: AbstractSet[str]
    ) -> Iterator[Sequence[Completion]]:
        assert not {prompt.id for prompt in prompts} & set(json.loads((Path(model.path) / "mine.json").read_text()))
        for prompt in prompts:
            text = f"#### {RIGHT[prompt.messages[-1].content]}"
            yield [Completion(id=prompt.id, sample=prompt.sample, text=text, finished=True, tokens=2)]

    def export(self, model: Artifact, into: Path, merge: bool = False) -> None:
        self.exported.append(into)
        (into / "mine.json").write_bytes((Path(model.path) / "mine.json").read_bytes())

    def train_classifier(self, *_: Any, **__: Any) -> int:
        raise NotImplementedError

    def train_preferences(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[str]
    ) -> Iterator[Sequence[Score]]:
        raise NotImplementedError

    def classify(self, model: Artifact, rows: Sequence[PairRow], done: AbstractSet[str]) -> Iterator[Sequence[Score]]:
        raise NotImplementedError

    def rewards(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[str]
    ) -> Iterator[Sequence[Score]]:
        raise NotImplementedError


def test_a_backend_that_inherits_nothing_refines(tmp_path: Path) -> None:
    backend: Any = Own()
    found = refine(settings(written(tmp_path)), tmp_path, backend)
    assert right_labels(found) == COUNT - WRONG_LABELS + 2 * CAP
    assert len(backend.exported) == 1
    assert json.loads((found.out / "model" / "mine.json").read_text()) == sorted(row["id"] for row in rows())


def test_algorithm_1_runs_on_any_backend(tmp_path: Path) -> None:
    backend: Backend = Own()
    runner = Executor(Store(tmp_path / "store"), Quiet(), {})
    steps = Steps(runner, Engines.of(lambda: backend), NumericAnswers(), "number", 0)
    config = DataConfig(source=str(written(tmp_path)))
    table = open_table(config)
    data = given_rows(steps, table, config, identity.of_files(table.files))
    judge = AnnotatorPlan(
        kind="mine",
        config={"kind": "mine"},
        inputs={},
        over=lambda examples: FunctionAnnotator(lambda _, first, second: float(second > first), examples),
    )
    setting = Setting(
        steps=steps,
        rows=Rows(data, Split.TRAIN),
        demonstrations=data,
        gold=None,
        annotator=judge,
        base=steps.base(ModelConfig(source="mine"), Artifact(path="", kind="", fingerprint="weights")),
        train=TrainSettings(),
        decode=Decoding(),
    )
    rounds = ilr(setting, IlrMethod(kind="ilr", rounds=1, alpha=ALPHA))
    assert [one.number for one in rounds] == [0, 1]
    assert rounds[1].compared is not None
    reasons = Counter(line.reason for line in read_ledger(rounds[1].compared.ledger))
    right_already = sum(right(row["question"], label(i)) for i, row in enumerate(rows()))
    assert reasons[Reason.AGREED] == right_already
    assert reasons[Reason.ACCEPTED] <= CAP
