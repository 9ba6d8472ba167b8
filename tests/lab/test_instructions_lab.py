"""An experiment on instructions with the fake backend: balanced comparisons, distances, refusals, win rates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from experiment import Measured, measured
from pydantic import ValidationError
from servers import FaultServer
from weights_files import with_head

from burnish.backends.fake import FakeBackend
from burnish.config import Config
from burnish.lab.running import plan
from burnish.report.tables import summary_table
from burnish.report.words import PAPER, headline, paper_reports
from burnish.steps.artifacts import read_demonstrations, read_json, read_ledger
from burnish.types import Artifact, Completion, Message, Prompt, Reason, short_hash

REFUSAL = "I'm sorry, but I cannot help with that."
GENERAL, SAFETY = 36, 12


class Instructed(FakeBackend):
    """Knows each prompt's reference. Where it does not know it, it refuses what is harmless and does what is unsafe."""

    def _right(self, prompt: Sequence[Message], completion: str) -> bool:
        return completion == self.gold[prompt[-1].content]

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        question = prompt.messages[-1].content
        text = self.gold[question]
        if int(short_hash(prompt.id, str(prompt.sample), model), 16) / 2**64 >= skill:
            text = f"Sure: {question} ({model[:4]} {prompt.sample})" if text == REFUSAL else f"{REFUSAL} ({model[:4]})"
        return Completion(id=prompt.id, sample=prompt.sample, text=text, finished=True, tokens=3)


def rows(kind: str, count: int) -> list[dict[str, str]]:
    answer = REFUSAL if kind.startswith("unsafe") else ""
    return [{"instruction": f"{kind} {n}", "output": answer or f"Done with {kind} {n}."} for n in range(count)]


def experiment(folder: Path, **changes: Any) -> Config:
    parts = {
        "general": rows("do", GENERAL),
        "safety": rows("unsafe", SAFETY),
        "general_test": rows("held out", 10),
        "safety_test": rows("unsafe held out", 8),
    }
    for name, part in parts.items():
        (folder / f"{name}.json").write_text(json.dumps(part))
    values: dict[str, Any] = {
        "name": "instructed",
        "task": {"kind": "instructions", "train_general": GENERAL, "train_safety": SAFETY}
        | {name: str(folder / f"{name}.json") for name in parts},
        "models": {"weak": "builtin:weak", "strong": "builtin:strong"},
        "supervision": {"annotator": {"kind": "classifier", "pairs": "balanced", "checkpoints": 2}},
        "train": {"lora": None},
        "decode": {"beams": 1, "max_new_tokens": 8},
        "methods": [{"kind": "sft"}, {"kind": "ilr", "rounds": 1}, {"kind": "dpo", "rounds": 1}],
        "judge": {"kind": "reward_model", "model": "builtin:strong"},
    }
    return Config.model_validate(values | changes)


def judged(folder: Path) -> Config:
    """The experiment with a judge that has a head, as a plan of real models needs it."""
    return experiment(folder, judge={"kind": "reward_model", "model": with_head(folder / "judge")})


def instructed(config: Config, folder: Path) -> Measured:
    gold = {row["instruction"]: row["output"] for path in folder.glob("*.json") for row in json.loads(path.read_text())}
    return measured(config, folder, Instructed(gold))


@pytest.mark.slow
def test_refusals_and_wins_are_measured_in_every_round(tmp_path: Path):
    found = instructed(experiment(tmp_path), tmp_path)
    for run, outcome in zip(found.results.runs, found.outcomes, strict=True):
        answers = {id_: row.completion for id_, row in read_demonstrations(outcome.answers).items()}
        examples = outcome.held_out.examples()
        unsafe = [id_ for id_, example in examples.items() if example.metadata["category"] == "safety"]
        refused = sum(answers[id_].startswith("I'm sorry") for id_ in unsafe)
        over = sum(answers[id_].startswith("I'm sorry") for id_ in answers if id_ not in unsafe)
        assert (run.metrics["refusal_rate"].value, run.metrics["refusal_rate"].n) == (refused / 8, 8)
        assert (run.metrics["over_refusal_rate"].value, run.metrics["over_refusal_rate"].n) == (over / 10, 10)
        assert run.metrics["test_accuracy"].value == pytest.approx((refused + 10 - over) / 18)
        known = sum(answers[id_] == examples[id_].reference for id_ in answers)
        assert run.counts["reference_equal"] == known
        assert run.metrics["reference_win_rate"].n == 18
        assert {"reference_win_rate_general", "reference_lc_win_rate_safety"} <= run.metrics.keys()
    assert "against the reference" in headline(found.results)[0]  # accuracy would only say who refused
    assert "a substitute for a large language model" in headline(found.results)[-1]
    for figure in ("test-accuracy", "label-accuracy", "annotator-accuracy"):  # the paper's accuracies are others
        assert paper_reports(found.results, figure) == PAPER["refusal-rate"]
    assert paper_reports(found.results, "reference-win-rate") == PAPER["reference-win-rate"]
    assert "refuses exactly where it should" in summary_table(found.results).header


@pytest.mark.slow
def test_the_comparisons_are_of_two_supervisors(tmp_path: Path):
    found = instructed(experiment(tmp_path), tmp_path)
    assert found.stages.count("by_category") == 1
    cut = next(record for record in found.executor.records if record.stage.name == "by_category")
    stored = found.executor.store.done("by_category", cut.fingerprint)
    assert stored is not None
    parts = read_json(Artifact(path=str(stored.path), kind="", fingerprint=""), "parts.json")
    assert {name: len(ids) for name, ids in parts.items()}.keys() == {"general", "safety"}
    q = next(record.stage for record in found.executor.records if record.stage.name == "train_classifier")
    assert {"general_checkpoint_01", "safety_checkpoint_02"} <= q.inputs.keys()


def test_only_the_most_distant_half_is_compared(tmp_path: Path):
    pytest.importorskip("openai")
    with FaultServer() as server:
        differs = {"kind": "embedding_server", "base_url": server.address, "model": "test", "share": 0.5}
        found = instructed(experiment(tmp_path, differs=differs, methods=[{"kind": "ilr", "rounds": 1}]), tmp_path)
    compared = found.outcome("ilr", 1).round.compared
    assert compared is not None
    reasons = [row.reason for row in read_ledger(compared.ledger)]
    differing = [reason for reason in reasons if reason not in {Reason.AGREED, Reason.INVALID}]
    assert abs(differing.count(Reason.NOT_COMPARED) - len(differing) / 2) <= 0.5
    assert "distance" in found.stages


@pytest.mark.slow
def test_a_plan_makes_the_same_stages(tmp_path: Path):
    config = judged(tmp_path)
    planned = [stage.fingerprint for stage in plan(config, tmp_path / "store").stages]
    assert planned == [record.fingerprint for record in instructed(config, tmp_path).executor.records]


def test_exchanged_files_are_other_data(tmp_path: Path):
    config = judged(tmp_path)
    straight = config.task.model_copy(update={"train_general": None, "train_safety": None})
    exchanged = {"general": (str(tmp_path / "safety.json"),), "safety": (str(tmp_path / "general.json"),)}
    tasks = (straight, straight.model_copy(update=exchanged))
    one, two = (plan(config.model_copy(update={"task": task}), tmp_path / "s").stages[0] for task in tasks)
    assert one.label == two.label == "data"
    assert one.fingerprint != two.fingerprint


BALANCED: dict[str, Any] = {"kind": "classifier", "pairs": "balanced"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (BALANCED, "pairs"),
        ({"kind": "mixed", "other": BALANCED}, "other.pairs"),
        ({"kind": "majority", "of": [{"kind": "oracle"}, BALANCED]}, "of.1.pairs"),
    ],
)
def test_balanced_pairs_need_categories(given: dict[str, Any], field: str):
    with pytest.raises(
        ValidationError, match=rf"supervision\.annotator\.{field}: 'balanced' found, but the task is sums"
    ):
        Config.model_validate(
            {
                "name": "x",
                "task": {"kind": "sums"},
                "models": {"weak": "builtin:weak", "strong": "builtin:strong"},
                "supervision": {"annotator": given},
                "methods": [{"kind": "sft"}],
            }
        )
