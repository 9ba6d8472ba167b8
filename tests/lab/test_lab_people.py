"""Experiments of people: their demonstrations come from a file, and people compare (section 6)."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from experiment import TRAIN, gold, run_small, small
from people_at_work import begun, worked
from pydantic import ValidationError

from burnish.config import Config
from burnish.config.study import StudyKind
from burnish.errors import ConfigError, DataError, PeopleAwaited
from burnish.lab.running import Plan, plan
from burnish.people.mailbox import Annotation, Mailbox, Said
from burnish.people.study.export import deliver
from burnish.people.study.folder import new_study
from burnish.people.study.model import SentReply, ShownQuestion
from burnish.people.study.reading import items
from burnish.people.study.schema import opened
from burnish.steps.artifacts import DEMONSTRATIONS
from burnish.store.files import read_rows
from burnish.store.stages import Store
from burnish.types import Demonstration, DemonstrationSource

SFT: list[dict[str, Any]] = [{"kind": "sft"}]


def written(folder: Path, count: int = 40, **changes: str) -> Path:
    """Write demonstrations of the first prompts, of which each third one is wrong. Returns the file."""
    path = folder / "demonstrations.jsonl"
    lines = [
        {"id": f"w{n}", "prompt": prompt, "completion": f"#### {int(answer) + (n % 3 == 0)}", "by": "p001"}
        for n, (prompt, answer) in enumerate(list(gold().items())[:count])
    ]
    lines[-1] |= changes
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def by_people(path: Path, methods: list[dict[str, Any]] = SFT, **changes: Any) -> Config:
    supervision = {"demonstrations": {"kind": "file", "path": str(path)}, "annotator": {"kind": "people"}}
    models = {"strong": "builtin:strong"}
    return small(**({"supervision": supervision, "models": models, "methods": methods} | changes))


def test_the_rows_with_a_demonstration_are_learned_from(tmp_path: Path) -> None:
    results = run_small(by_people(written(tmp_path)), tmp_path).results
    (stage,) = Store(tmp_path / "store").every("written")
    labels = {one.example_id: one for one in read_rows(stage.path / DEMONSTRATIONS, Demonstration)}
    assert len(labels) == 40
    assert {one.source for one in labels.values()} == {DemonstrationSource.HUMAN}
    # No weak model is trained, and none is measured.
    assert {one.method for one in results.runs} == {"sft"}
    (sft,) = results.runs
    assert sft.metrics["label_accuracy"].value == pytest.approx(26 / 40)
    assert sft.metrics["label_accuracy"].n == 40


def test_the_rows_with_a_demonstration_are_counted_before_the_run(tmp_path: Path) -> None:
    """All rows may have one. A judge is then asked about all of them, and a cap of 2 % allows a change."""
    judge = {"kind": "judge", "base_url": "https://judge.example.com/v1", "model": "m", "api_key_env": None}

    def planned(count: int) -> Plan:
        folder = tmp_path / str(count)
        folder.mkdir()
        path = written(folder, count)
        supervision = {"demonstrations": {"kind": "file", "path": str(path)}, "annotator": judge}
        methods = [{"kind": "ilr", "rounds": 1, "alpha": 0.02}]
        return plan(by_people(path, methods, supervision=supervision), tmp_path / "store")

    (line,) = planned(TRAIN).sent
    assert f"at most {TRAIN} comparisons" in line
    with pytest.raises(ConfigError, match=r"but the file of demonstrations \(seed 0\) has 45 rows, and 0.02 of them"):
        planned(45)


def answered(out: Path) -> set[str]:
    """Judge what waits, as people who know the right answers. Returns the ids of the pairs."""
    mailbox, right = Mailbox(out), gold()
    for ask in mailbox.asked():
        first, second = (text == f"#### {right[ask.request]}" for text in (ask.first, ask.second))
        said = Said.TIE if first == second else Said.FIRST if first else Said.SECOND
        mailbox.answer([Annotation(id=ask.id, said=said, by="ada", shown=ask.shown)])
    return {ask.id for ask in mailbox.asked()}


def answered_on_pages(study: Path, out: Path) -> set[str]:
    """Judge what waits in a study that is made from the run, with gold pairs. Returns the ids of its pairs."""
    study.mkdir()
    (study / "questions.yaml").write_text(
        "- {role: gold, prompt: 1 and 1, first: '#### 2', second: '#### 3', expected: first}\n"
    )
    (study / "settings.yaml").write_text("gold: 1\nper_sitting: 1000\n")
    new = new_study(
        study / "pages", out, StudyKind.COMPARISONS, study / "settings.yaml", questions=study / "questions.yaml"
    )
    right = gold() | {"1 and 1": "2"}

    def reply(question: ShownQuestion) -> SentReply:
        first, second = (text == f"#### {right[question.prompt]}" for text in (question.first, question.second))
        return SentReply(value=0 if first == second else -3 if first else 3)

    with closing(opened(new.file)) as db:
        pairs = {item.name for item in items(db)}
        assert worked(db, new.rules(), begun(db, new.rules(), "ada"), 0.0, reply) == len(pairs) + 1
        assert deliver(db, out) == len(pairs)
    return pairs


@pytest.mark.slow
def test_from_demonstrations_to_results_with_people(tmp_path: Path) -> None:
    """Two methods and two rounds: the pairs of a round wait together, and the same call goes on.

    The pairs of the first round are compared in a study, and those of the second one in a spreadsheet.
    """
    methods = [{"kind": "ilr", "rounds": 2}, {"kind": "dpo", "rounds": 2, "samples": 2}]
    config, asked = by_people(written(tmp_path), methods), list[set[str]]()
    for number in range(2):
        with pytest.raises(PeopleAwaited, match="pairs wait for people") as stop:
            run_small(config, tmp_path)
        out = tmp_path / "out"
        asked.append(answered(out) if number else answered_on_pages(tmp_path / "study", out))
        assert stop.value.pairs == asked[-1]
    results = run_small(config, tmp_path).results
    assert Mailbox(tmp_path / "out").asked() == []
    compared = {
        (one.method, one.round): one.counts["compared"]
        for one in results.runs
        if one.counts.get("compared") is not None
    }
    assert {key for key, count in compared.items() if count} == {("ilr", 1), ("ilr", 2), ("dpo", 1), ("dpo", 2)}
    # Both methods in each round: neither of them alone has so many pairs.
    for number in (1, 2):
        assert len(asked[number - 1]) > max(compared["ilr", number], compared["dpo", number])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "What is that?"}, r"demonstrations.jsonl:40: the prompt 'What is that\?' fits no training row"),
        ({"prompt": next(iter(gold()))}, r":40: the prompt .* is a second demonstration of one prompt \(.*jsonl:1\)"),
        ({"completion": None}, r":40: .*completion"),
    ],
)
def test_a_line_that_fits_no_row_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        run_small(by_people(written(tmp_path, **changes)), tmp_path)


def test_ground_truth_needs_rows_that_nobody_demonstrated(tmp_path: Path) -> None:
    config = by_people(written(tmp_path, TRAIN), evaluate="validation")
    with pytest.raises(DataError, match="has a demonstration of every training row"):
        run_small(config, tmp_path)


@pytest.mark.parametrize(
    ("supervision", "models", "message"),
    [
        ({"demonstrations": {"kind": "file"}}, {}, "demonstrations.*path"),
        ({"demonstrations": {"kind": "files", "path": "x"}}, {}, "file"),
        ({"demonstrations": "people"}, {}, "'weak', 'correct' or 'gold'"),
        ({"demonstrations": "weak"}, {}, "models.weak: none is given"),
        (
            {"demonstrations": {"kind": "file", "path": "x"}},
            {"weak": "builtin:weak"},
            "models.weak: 'builtin:weak' found, but the demonstrations come from a file",
        ),
        (
            {"demonstrations": {"kind": "file", "path": "x"}, "annotator": {"kind": "classifier"}},
            {},
            "models.weak: none is given",
        ),
    ],
)
def test_settings_that_do_not_fit(supervision: dict[str, Any], models: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        small(supervision={"annotator": {"kind": "people"}} | supervision, models={"strong": "builtin:strong"} | models)


def test_a_file_that_is_missing_is_named_before_anything_is_spent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"supervision.demonstrations.path: '.*none.jsonl' is no file"):
        plan(by_people(tmp_path / "none.jsonl"), tmp_path / "store")
