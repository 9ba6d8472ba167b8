"""`train_proposers`: the models that propose answers are trained in their own way, and the others in theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiment import small

from burnish.config import Config
from burnish.lab.inputs import resolve
from burnish.lab.running import planned
from burnish.store.runners import StageRecord
from burnish.store.stages import Store

METHODS: list[dict[str, Any]] = [{"kind": "sft"}, {"kind": "ilr", "rounds": 1}, {"kind": "majority", "rounds": 1}]


def trainings(config: Config, where: Path) -> dict[str, StageRecord]:
    records = planned(config, resolve(config, offline_ok=False), Store(where))
    return {record.stage.label: record for record in records if record.stage.name == "train"}


def rate(record: StageRecord) -> object:
    settings: Any = record.stage.config["train"]
    return settings["learning_rate"]


def test_only_the_models_of_the_parts_are_trained_in_that_way(tmp_path: Path) -> None:
    plain = trainings(small(methods=METHODS), tmp_path)
    own = trainings(small(methods=METHODS, train_proposers={"lora": None, "learning_rate": 0.5}), tmp_path)
    assert list(own) == list(plain)
    parts = {label for label in own if "without part" in label}
    assert len(parts) == 2
    for label, record in own.items():
        assert (rate(record) == 0.5) is (label in parts), label
        changed = record.fingerprint != plain[label].fingerprint
        # What learns from their proposals changes with them.
        assert changed is (label in parts or "round 1" in label), label


def test_the_same_settings_written_out_change_nothing(tmp_path: Path) -> None:
    same = trainings(small(methods=METHODS, train_proposers={"lora": None}), tmp_path)
    assert {label: record.fingerprint for label, record in same.items()} == {
        label: record.fingerprint for label, record in trainings(small(methods=METHODS), tmp_path).items()
    }
