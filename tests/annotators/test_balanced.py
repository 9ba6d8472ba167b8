"""q~'s balanced pairs: as many worse answers that accept as that refuse, from two supervisors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from experiment import ROWS, TRAIN, Measured, Quiet, Wordy, gold, measured, small
from hypothesis import given
from hypothesis import strategies as st

from burnish.annotators import GroundTruth
from burnish.annotators.balanced import Pairs, balance, parts_of
from burnish.annotators.classifier import Teaching, trained
from burnish.backends.fake import FakeBackend
from burnish.config import ClassifierConfig, Config, Decoding, ModelConfig, SumsTask, Supervision, TrainSettings
from burnish.errors import DataError
from burnish.protocols import Dataset, RowKey, SamplingKey
from burnish.steps.artifacts import PARTS, TRAINING, Rows, Split, read_json
from burnish.steps.basic import Steps
from burnish.steps.engines import Engines
from burnish.store.runners import Executor, Planner, Runner
from burnish.store.stages import Store
from burnish.tasks.instruction_answers import Category
from burnish.tasks.own import TextAnswers
from burnish.tasks.sums import Sums
from burnish.types import Artifact, Completion, Example, Message, PairRow, Prompt, Role, TrainingRow

BALANCED: dict[str, Any] = {"kind": "classifier", "pairs": "balanced", "checkpoints": 2}
CONFIG = ClassifierConfig.model_validate(BALANCED)


def pairs(**texts: str) -> Pairs:
    """Return pairs from {prompt: "text:id ..."}."""
    made: dict[tuple[str, str], tuple[PairRow, PairRow]] = {}
    for prompt, listed in texts.items():
        for text, id_ in (one.split(":") for one in listed.split()):
            sides: dict[str, Any] = {"prompt": (), "first": text, "second": "gold"}
            made[prompt, text] = (PairRow(id=f"{id_}:ab", **sides), PairRow(id=f"{id_}:ba", **sides))
    return made


def test_a_balance_worked_by_hand() -> None:
    accepting = pairs(p1="yes1:5 yes2:1 yes3:3", p3="hm:9 yes:8", p4="hm:3 yes:1", p5="yes:1")
    refusing = pairs(p1="no1:2 no2:4", p2="no1:7 no2:6", p3="hm:9", p4="hm:3 no:2", p5="no:2")
    found = balance(accepting, refusing)
    assert set(found.pairs) == {
        *(("p1", text) for text in ("yes2", "yes3", "no1", "no2")),  # two of each, the first by id
        ("p2", "no2"),  # one supervisor had no worse answer here: one of the other's stays
        ("p3", "hm"),  # both gave it, so it is balanced in itself
        *(("p4", text) for text in ("hm", "yes", "no")),
        *(("p5", text) for text in ("yes", "no")),
    }
    assert found.pairs["p1", "yes2"] is accepting["p1", "yes2"]
    assert found.counts == {"accepting": 4, "refusing": 5, "shared": 2, "surplus": 3, "one_sided": 1}


SIDES = st.dictionaries(st.sampled_from(["p", "q", "r"]), st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1)


@given(SIDES, SIDES)
def test_every_prompt_is_balanced_and_none_is_lost(one: dict[str, set[str]], two: dict[str, set[str]]) -> None:
    sides = [{p: " ".join(f"{t}:{t}" for t in sorted(texts)) for p, texts in side.items()} for side in (one, two)]
    accepting, refusing = (pairs(**side) for side in sides)
    found, exchanged = balance(accepting, refusing), balance(refusing, accepting)
    assert set(found.pairs) == set(exchanged.pairs) <= set(accepting) | set(refusing)
    assert (found.accepting, found.refusing) == (exchanged.refusing, exchanged.accepting)
    assert {prompt for prompt, _ in found.pairs} == set(one) | set(two)
    for prompt in set(one) | set(two):
        kept = {text for name, text in found.pairs if name == prompt}
        mine, theirs = one.get(prompt, set[str]()), two.get(prompt, set[str]())
        if mine and theirs:
            assert mine & theirs <= kept
            assert len(kept & mine) == len(kept & theirs) == min(len(mine), len(theirs))
        else:
            assert len(kept) == 1
    assert len(found.pairs) + found.surplus == len(set(accepting) | set(refusing))


@pytest.mark.parametrize(("accepting", "refusing", "named"), [("", "no:1", "general"), ("yes:1", "", "safety")])
def test_a_supervisor_without_a_worse_answer_is_no_balance(accepting: str, refusing: str, named: str) -> None:
    with pytest.raises(DataError, match=rf"annotator.pairs: 'balanced' found, .* category '{named}' gave no .*; raise"):
        balance(pairs(p=accepting), pairs(p=refusing))


def example(id_: str, reference: str, category: str | None) -> Example:
    metadata = {} if category is None else {"category": category}
    prompt = (Message(role=Role.USER, content=id_),)
    return Example(id=id_, group=id_, prompt=prompt, reference=reference, metadata=metadata)


def examples(**categories: str | None) -> dict[str, Example]:
    return {id_: example(id_, "gold", category) for id_, category in categories.items()}


def test_rows_are_cut_by_their_category() -> None:
    found = parts_of(examples(g1="general", s1="safety", g2="general"))
    assert found == {"general": ["g1", "g2"], "safety": ["s1"]}


@pytest.mark.parametrize("category", [None, "sorting"])
def test_a_row_without_a_category(category: str | None) -> None:
    with pytest.raises(
        DataError,
        match=rf"supervision.annotator.pairs: 'balanced' found, but the category of example x is {category!r}, .*"
        "write pairs: checkpoints",
    ):
        parts_of(examples(g="general", s="safety", x=category))


@pytest.mark.parametrize(("category", "missing"), [("general", "safety"), ("safety", "general")])
def test_a_part_without_a_row(category: str, missing: str) -> None:
    with pytest.raises(
        DataError,
        match=f"supervision.annotator.pairs: 'balanced' found, but none of the 2 rows .* category '{missing}'; use "
        "more rows of it, or write pairs: checkpoints",
    ):
        parts_of(examples(a=category, b=category))


REQUESTS = {
    "g1": example("g1", "one", "general"),
    "g2": example("g2", "two", "general"),
    "s1": example("s1", "sorry", "safety"),
    "s2": example("s2", "sorry", "safety"),
}
ANSWERS = {  # what a supervisor learned from: its first and its second checkpoint's answer to each prompt
    "g1 g2": {"g1": ("meh", "meh"), "g2": (" two ", "ok"), "s1": ("sure", "here"), "s2": ("sure", "sure")},
    "s1 s2": {"g1": ("no", "never"), "g2": ("no", "no"), "s1": ("sorry", "sorry"), "s2": ("nope", "sure")},
}


class Requests(TextAnswers):
    """Two instructions and two unsafe requests."""

    def load(self) -> Dataset:
        return Dataset(train=tuple(REQUESTS.values()), test=(), dropped=0)


class Tabled(FakeBackend):
    """Answers by a table from what it learned, and remembers the pairs that a head learned from."""

    def __init__(self, answers: Mapping[str, Mapping[str, tuple[str, str]]] = ANSWERS) -> None:
        super().__init__({})
        self.answers, self.pairs, self.keys = answers, list[tuple[PairRow, PairRow]](), list[str]()

    def train(
        self,
        model: Artifact,
        rows: Sequence[TrainingRow],
        settings: TrainSettings,
        seed: int,
        into: Path,
        checkpoints: int = 0,
    ) -> int:
        for number in range(1, checkpoints + 1):
            place = into / f"checkpoint-{number:02d}"
            place.mkdir()
            (place / "learned").write_text(" ".join(sorted(row.id for row in rows)))
        return 1

    def train_classifier(
        self, model: Artifact, rows: Sequence[tuple[PairRow, PairRow]], settings: TrainSettings, seed: int, into: Path
    ) -> int:
        self.pairs += rows
        return super().train_classifier(model, rows, settings, seed, into)

    def generate(
        self,
        model: Artifact,
        prompts: Sequence[Prompt],
        settings: Decoding,
        key: SamplingKey,
        done: AbstractSet[RowKey],
    ) -> Iterator[Sequence[Completion]]:
        self.keys.append(key.stage)
        says, number = self.answers[(Path(model.path) / "learned").read_text()], int(model.path[-2:]) - 1
        for one in prompts:
            yield [Completion(id=one.id, sample=0, text=says[one.id][number], finished=True, tokens=1)]


def planned(runner: Runner, backend: FakeBackend) -> Artifact:
    steps = Steps(runner, Engines.of(lambda: backend), Requests(), "requests", seed=0)
    ground = Rows(steps.data(Requests(), {"kind": "requests"}, {}), Split.TRAIN)
    weights = Artifact(path="", kind="weights", fingerprint="weights")
    weak = steps.base(ModelConfig(source="builtin:weak"), weights)
    truth = GroundTruth(
        rows=ground, gold=steps.gold(ground), weak=weak, train=TrainSettings(), judged=ground, decode=Decoding()
    )
    return trained(CONFIG, Teaching(steps=steps, truth=truth), weak)


def executed(where: Path, backend: FakeBackend) -> Executor:
    executor = Executor(Store(where), Quiet(), {})
    planned(executor, backend)
    return executor


def test_pairs_worked_by_hand(tmp_path: Path) -> None:
    """Of 16 answers 3 agree with gold, 3 repeat another one of their supervisor, 1 the other supervisor's, 3 are
    surplus: " two " is gold but for white space, and s1 and s2 are refused rightly."""
    backend = Tabled()
    record = executed(tmp_path, backend).records[-1]
    worse = [(ab.prompt[0].content, ab.first) for ab, _ in backend.pairs]
    assert worse == sorted(worse)
    certain = {("g1", "meh"), ("g2", "ok"), ("g2", "no"), ("s2", "sure")}
    left = set(worse) - certain
    assert certain < set(worse)
    assert len(worse) == len(set(worse)) == 6
    assert {prompt for prompt, _ in left} == {"g1", "s1"}
    assert left < {("g1", "no"), ("g1", "never"), ("s1", "sure"), ("s1", "here")}
    assert (record.stage.name, record.stage.config["pairs"]) == ("train_classifier", "balanced")
    assert record.counts == {
        "rows": 12,
        "tokens": 24,
        "accepting": 3,
        "refusing": 2,
        "shared": 1,
        "surplus": 3,
        "one_sided": 1,
        "agreed": 3,
        "repeated": 3,
        "unpaired": 0,
    }


def test_gold_is_the_better_side_in_both_orders(tmp_path: Path) -> None:
    backend = Tabled()
    executed(tmp_path, backend)
    for ab, ba in backend.pairs:
        reference = REQUESTS[ab.prompt[0].content].reference
        assert (ab.second, ab.second_better) == (reference, True)
        assert (ba.first, ba.second_better) == (reference, False)
        assert (ab.first, ab.prompt) == (ba.second, ba.prompt)
        assert (ab.id[:-3], ab.id[-3:], ba.id[-3:]) == (ba.id[:-3], ":ab", ":ba")


def test_each_supervisor_learned_from_its_own_part(tmp_path: Path) -> None:
    backend = Tabled()
    executor = executed(tmp_path, backend)
    inputs = executor.records[-1].stage.inputs
    for category, ids in {Category.GENERAL: ["g1", "g2"], Category.SAFETY: ["s1", "s2"]}.items():
        for number in (1, 2):
            answers = executor.store.done("answer", inputs[f"{category}_checkpoint_{number:02d}"].fingerprint)
            assert answers is not None
            supervisor, _, name = answers.payload["inputs"]["model"].partition("/")
            assert name == f"checkpoint-{number:02d}"
            trained = executor.store.done("train", supervisor)
            assert trained is not None
            assert read_json(Artifact(path=str(trained.path), kind="", fingerprint=""), TRAINING)["trained_on"] == ids
    # The draws of two models are not to go together.
    assert sorted(backend.keys) == [f"{category}-checkpoint-{number:02d}" for category in Category for number in (1, 2)]


def test_a_prompt_without_a_worse_answer_is_counted(tmp_path: Path) -> None:
    answers = {learned: {**says, "g2": ("two", "two")} for learned, says in ANSWERS.items()}
    counts = executed(tmp_path, Tabled(answers)).records[-1].counts
    assert (counts["unpaired"], counts["agreed"], counts["rows"]) == (1, 6, 8)


def test_nothing_worse_at_all(tmp_path: Path) -> None:
    right = {id_: (one.reference or "", one.reference or "") for id_, one in REQUESTS.items()}
    with pytest.raises(DataError, match=r"answered every prompt right, .*; choose a weaker models\.weak, or raise"):
        executed(tmp_path, Tabled(dict.fromkeys(ANSWERS, right)))


def test_a_plan_makes_the_stages_of_the_run(tmp_path: Path) -> None:
    planner = Planner(Store(tmp_path))
    planned(planner, Tabled())
    assert list(tmp_path.iterdir()) == []
    done = executed(tmp_path, Tabled())
    assert [record.fingerprint for record in planner.records] == [record.fingerprint for record in done.records]
    assert executed(tmp_path, Tabled()).records[-1].reused


class Categorised(Sums):
    """Sums, every fourth of which is called unsafe."""

    def load(self) -> Dataset:
        data = Sums.load(self)
        train = (
            dataclasses.replace(row, metadata={"category": "general" if number % 4 else "safety"})
            for number, row in enumerate(data.train)
        )
        return dataclasses.replace(data, train=tuple(train))


def supervised(annotator: Mapping[str, Any]) -> Config:
    """Return the small experiment with another annotator; a copy, since no config asks this of sums."""
    supervision = Supervision.model_validate({"annotator": annotator})
    return small(methods=[{"kind": "ilr", "rounds": 1}]).model_copy(update={"supervision": supervision})


@pytest.mark.parametrize(
    "annotator", [BALANCED, {"kind": "mixed", "oracle_share": 0.5, "other": BALANCED}], ids=["classifier", "mixed"]
)
def test_an_experiment_is_judged_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, annotator: dict[str, Any]
) -> None:
    monkeypatch.setattr("burnish.lab.experiment.make_task", categorised)
    found = measured(supervised(annotator), tmp_path, Wordy(gold()))
    (members,) = (read_json(one, PARTS) for one in artifacts(found, "by_category"))  # half G alone
    assert len(members["general"]) + len(members["safety"]) == ROWS
    assert sum(int(id_ in members["safety"]) for id_ in unsafe()) == len(members["safety"]) > 0
    learned = [sorted(read_json(one, TRAINING)["trained_on"]) for one in artifacts(found, "train")]
    assert sorted(members["general"]) in learned
    assert sorted(members["safety"]) in learned
    (head,) = (record for record in found.executor.records if record.stage.name == "train_classifier")
    assert abs(head.counts["accepting"] - head.counts["refusing"]) <= head.counts["one_sided"]
    assert head.counts["rows"] == 2 * sum(head.counts[side] for side in ("accepting", "refusing", "shared")) > 0
    assert found.run("ilr", 1).counts["accepted"] > 0


def categorised(config: SumsTask) -> Categorised:
    return Categorised(config)


def unsafe() -> set[str]:
    data = Categorised(SumsTask(kind="sums", train=TRAIN, test=1)).load()
    return {row.id for row in data.train if row.metadata["category"] == "safety"}


def artifacts(found: Measured, name: str) -> list[Artifact]:
    chosen = [record.fingerprint for record in found.executor.records if record.stage.name == name]
    store = found.executor.store
    return [Artifact(path=str(store.place(name, one)), kind=name, fingerprint=one) for one in chosen]


def test_a_task_without_categories_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"supervision.annotator.pairs: .* is None, not 'general' or 'safety'"):
        measured(supervised(BALANCED), tmp_path)


def test_the_usual_way_names_no_pairs(tmp_path: Path) -> None:
    usual = measured(supervised({**BALANCED, "pairs": "checkpoints"}), tmp_path)
    (head,) = (record for record in usual.executor.records if record.stage.name == "train_classifier")
    assert "pairs" not in head.stage.config
    assert set(head.counts) == {"rows", "tokens"}
    assert "by_category" not in usual.stages
