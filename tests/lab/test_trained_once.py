"""p~ is trained once: with a trained classifier it takes the last model of the training whose checkpoints are kept."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from experiment import fake, measured, small
from working import outputs

from burnish.config import Config
from burnish.lab import experiment
from burnish.lab.inputs import resolve
from burnish.lab.running import planned, run
from burnish.models.card import take_files
from burnish.store.files import tree_checksums
from burnish.store.finished import Done
from burnish.store.manifest import MANIFEST
from burnish.store.stages import Store

CLASSIFIER: dict[str, Any] = {"kind": "classifier", "checkpoints": 2}
SFT: list[dict[str, Any]] = [{"kind": "sft"}]


def taught(annotator: dict[str, Any], **changes: Any) -> Config:
    return small(supervision={"annotator": annotator}, methods=SFT, **changes)


@contextmanager
def trained_twice(monkeypatch: pytest.MonkeyPatch) -> Generator[None, None, None]:
    """Let p~ be trained by itself, as if no checkpoints were kept."""

    def nothing(*_: object) -> None:
        return None

    with monkeypatch.context() as during:
        during.setattr(experiment, "with_checkpoints", nothing)
        yield


def trainings(config: Config, where: Path) -> int:
    """Run on the fake backend, and return how often it trained."""
    units: list[str] = []
    measured(config, where, fake(units.append))
    return units.count("train")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("annotator", "saved"),
    [
        (CLASSIFIER, 1),
        ({"kind": "mixed", "other": CLASSIFIER}, 1),
        ({"kind": "majority", "of": [CLASSIFIER, {"kind": "likelihood", "model": "builtin:judge-3"}]}, 1),
        ({"kind": "likelihood", "model": "builtin:judge-3"}, 0),
        ({"kind": "classifier", "learns": "nothing", "model": "builtin:judge-3"}, 0),
    ],
)
def test_one_training_less_and_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, annotator: dict[str, Any], saved: int
) -> None:
    config = taught(annotator, seeds=[0, 1])
    with trained_twice(monkeypatch):
        twice = trainings(config, tmp_path / "twice")
    assert trainings(config, tmp_path / "once") == twice - 2 * saved  # for each of two seeds
    assert outputs(tmp_path / "once" / "store") == outputs(tmp_path / "twice" / "store")


def test_the_counts_are_those_of_the_training(tmp_path: Path) -> None:
    """The report says on how many rows and tokens each model was trained."""
    found = measured(taught(CLASSIFIER), tmp_path)
    counts = [record.counts for record in found.executor.records if record.stage.label.startswith("seed 0 weak ")]
    assert len(counts) == 2
    assert counts[0] == counts[1]
    assert counts[0]["tokens"] > 0


def test_the_identity_of_p_does_not_depend_on_the_annotator(tmp_path: Path) -> None:
    def of_p(config: Config) -> str:
        records = planned(config, resolve(config, offline_ok=False), Store(tmp_path))
        return next(record.fingerprint for record in records if record.stage.label == "seed 0 weak supervisor")

    assert of_p(taught(CLASSIFIER)) == of_p(taught({"kind": "oracle"}))


def test_without_the_other_training_p_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gc` of another process may have removed it meanwhile."""
    config, units = taught(CLASSIFIER), list[str]()
    with trained_twice(monkeypatch):
        twice = trainings(config, tmp_path / "twice")
    done = Store.done

    def removed(self: Store, name: str, fingerprint: str) -> Done | None:
        found = done(self, name, fingerprint)
        return None if found and found.payload["config"].get("checkpoints") else found

    monkeypatch.setattr(Store, "done", removed)
    measured(config, tmp_path / "once", fake(units.append))
    assert units.count("train") == twice
    assert outputs(tmp_path / "once" / "store") == outputs(tmp_path / "twice" / "store")


def test_a_training_is_copied_where_links_are_impossible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    (source / "checkpoint-01").mkdir(parents=True)
    for name in ("model.json", "training.json", MANIFEST, "checkpoint-01/model.json"):
        (source / name).write_text(name)
    for number in range(2):
        (place := tmp_path / str(number)).mkdir()
        take_files(source, place)
        assert sorted(tree_checksums(place)) == ["model.json", "training.json"]
        assert (place / "model.json").read_text() == "model.json"

        def refuse(*_: object) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert (tmp_path / "0" / "model.json").samefile(source / "model.json")
    assert not (tmp_path / "1" / "model.json").samefile(source / "model.json")


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, {"r": 4, "alpha": 8}])
def test_a_real_training_with_checkpoints_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: dict[str, Any] | None
) -> None:
    pytest.importorskip("torch")
    # With gold labels, nothing depends on how well p~ answers.
    annotator = CLASSIFIER | {"decode": {"max_new_tokens": 64}}
    config = small(
        supervision={"annotator": annotator, "demonstrations": "gold"},
        methods=SFT,
        task={"kind": "sums", "train": 120, "test": 5},
        train={"lora": lora, "epochs": 3, "learning_rate": 2e-3, "batch_size": 8},
        decode={"beams": 1, "max_new_tokens": 64},
    )
    run(config, tmp_path / "out", tmp_path / "once")
    with trained_twice(monkeypatch):
        run(config, tmp_path / "out", tmp_path / "twice")
    once, twice = (tree_checksums(tmp_path / name / "stages" / "train") for name in ("once", "twice"))
    assert {name: once[name] for name in once if MANIFEST not in name} == {
        name: twice[name] for name in twice if MANIFEST not in name
    }
    assert any(name.endswith(".safetensors") for name in once)
