"""Identity: what things outside the store are known by, and a pinned plan of the paper's own setting."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.config import ModelConfig, Template
from burnish.config.reading import read_config
from burnish.errors import BackendError, ConfigError
from burnish.lab.inputs import semantic
from burnish.lab.running import plan
from burnish.models import location
from burnish.steps import versions
from burnish.store import identity
from burnish.store.files import pretty
from burnish.tasks import numbers
from burnish.types import Artifact

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parents[1] / "golden"
PLANS = {
    "plan.json": [],
    "plan_dpo.json": [
        "methods=[{kind: dpo, rounds: 2}, {kind: dpo, name: sdpo, rounds: 1, pairs_from: halves, pairs: differing}, "
        "{kind: dpo, name: wsdpo, rounds: 1, pairs_from: labels, loss: cdpo}]",
        "supervision.demonstrations=correct",
        "budget={kind: equal, comparisons: 500}",
        "measure=[kl, win_rate]",
    ],
    "plan_refiners.json": [
        "methods=[{kind: ilr, rounds: 1, samples: 4, of: compared}, {kind: tournament, rounds: 1, samples: 4}, "
        "{kind: robustft, samples: 4}, {kind: majority, rounds: 1, samples: 4}, "
        "{kind: rest_em, rounds: 2, samples: 4}, {kind: drop, rounds: 2}]",
        "budget={kind: equal, comparisons: 500}",
    ],
}


def named(kind: str, source: str, revision: str | None, field: str, offline_ok: bool) -> Artifact:
    return Artifact(path=source, kind="hub", fingerprint=f"hub:{source}")


def nobody(*_: object) -> None:
    """The hub and the cache do not know it."""


@pytest.mark.parametrize("name", PLANS)
def test_the_papers_plan_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """If this changes, every user's finished stages are computed again. Meant? Then raise that stage's version and
    write the file anew (the message shows how)."""
    monkeypatch.setattr(identity, "of_hub", named)
    config = read_config(ROOT / "configs" / "gsm8k-gemma2b-mistral7b.yaml", ["seeds=[0]", *PLANS[name]])
    found = [[stage.label, stage.fingerprint] for stage in plan(config, tmp_path).stages]
    pinned = GOLDEN / name
    if not pinned.exists():
        pinned.write_text(json.dumps(found, indent=1) + "\n")
        pytest.fail(f"{pinned} was missing and has been written: look at it and commit it")
    assert found == json.loads(pinned.read_text()), f"remove {pinned} and run again to write it anew"


def labelled(tmp_path: Path, config: str) -> list[tuple[str, str]]:
    found = plan(read_config(ROOT / "configs" / config, ["seeds=[0]"]), tmp_path)
    return [(stage.label, stage.fingerprint) for stage in found.stages]


@pytest.mark.slow
def test_another_reader_of_numbers_changes_what_grades_or_compares_and_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "of_hub", named)
    gsm8k, sums = "gsm8k-gemma2b-mistral7b.yaml", "embedded.yaml"
    before, plain = labelled(tmp_path, gsm8k), labelled(tmp_path, sums)
    monkeypatch.setattr(numbers, "VERSION", numbers.VERSION + 1)
    after = labelled(tmp_path, gsm8k)
    assert labelled(tmp_path, sums) == plain  # generated sums are plain, and read as in the first version
    kept = {label for label, _ in {*before} & {*after}}
    run_again = {label for label, _ in {*before} - {*after}}
    # What the weak model and the models of the first round learned and answered is kept.
    first = {"seed 0 weak supervisor", "seed 0 sft", "seed 0 round 1 without part 1", "seed 0 answers for proposals 1"}
    assert {"data", *first} <= kept
    assert {"seed 0 q~", "seed 0 grades", "seed 0 round 1 comparisons", "seed 0 round 2 without part 1"} <= run_again
    assert not {"seed 0 q~", "seed 0 grades"} & kept
    assert len(before) == len(after)


def test_another_way_of_training_changes_what_is_trained_and_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "of_hub", named)
    config = "gsm8k-gemma2b-mistral7b.yaml"
    now = labelled(tmp_path, config)
    for name in ("train", "train_preferences", "train_classifier"):
        monkeypatch.delitem(versions.VERSIONS, name)
    first = labelled(tmp_path, config)
    kept = {label for label, _ in {*now} & {*first}}
    assert [label for label, _ in now] == [label for label, _ in first]
    run_again = {label for label, _ in now} - kept
    assert {"data", "seed 0 gold", "google/gemma-2b", "mistralai/Mistral-7B-v0.1"} <= kept
    assert {"seed 0 weak supervisor", "seed 0 q~", "seed 0 sft", "seed 0 round 1 comparisons"} <= run_again


@pytest.mark.parametrize("name", ["gsm8k-gemma2b-mistral7b", "gsm8k-mistral7b-llama70b"])
def test_the_papers_settings_are_the_papers(name: str) -> None:
    """Appendix C and table 1."""
    config = read_config(ROOT / "configs" / f"{name}.yaml")
    values = semantic(config)
    for train in (config.train, config.supervision.train):
        assert train is not None
        assert (train.epochs, train.batch_size) == (2, 32)
        assert train.lora is not None
        assert (train.lora.r, train.lora.alpha) == (64, 128)
        assert train.gradient_checkpointing
    assert config.train.learning_rate == 1e-4
    assert (config.decode.beams, config.decode.max_new_tokens) == (4, 256)
    assert config.models.strong.template is Template.PAPER
    assert values["supervision"]["annotator"]["checkpoints"] == 10
    assert {method["alpha"] for method in values["methods"] if "alpha" in method} == {0.15}


def test_execution_changes_no_identity(tmp_path: Path) -> None:
    demo = ROOT / "configs" / "embedded.yaml"
    one = plan(read_config(demo), tmp_path)
    two = plan(read_config(demo, ["execution={workers: 1, threads: 2, batch_tokens: 9, device: cpu}"]), tmp_path)
    # The batches change how much memory is needed, and nothing else.
    assert replace(one, memory=()) == replace(two, memory=())


def test_a_moved_model_is_the_same_model(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    here, there = (identity.of_files([tmp_path / name]) for name in ("here", "there"))
    assert here == there
    (tmp_path / "there" / "config.json").write_text("{ }")
    assert identity.of_files([tmp_path / "there"]) != here


def write(place: Path, text: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def test_two_files_of_one_name_do_not_hide_each_other(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a" / "x.sqlite", "1"), write(tmp_path / "b" / "x.sqlite", "2")
    before = identity.of_files([first, second])
    for place in (first, second):
        kept = place.read_text()
        place.write_text("3")
        assert identity.of_files([second, first]) != before, place
        place.write_text(kept)
    assert identity.of_files([second, first]) == before
    first.write_text("2")
    second.write_text("1")
    assert identity.of_files([first, second]) != before  # the two changed places


def test_a_name_that_comes_once_keeps_the_identity_that_it_had(tmp_path: Path) -> None:
    sums = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one.txt", "two.txt")}
    old = hashlib.sha256(pretty(sums)).hexdigest()
    places = [write(tmp_path / "a" / "one.txt", "one.txt"), write(tmp_path / "b" / "two.txt", "two.txt")]
    assert identity.of_files(places).fingerprint == old
    assert identity.of_files([*places, places[0]]).fingerprint == old  # named twice, still one file


def test_folders_of_one_name_are_told_apart_wherever_they_lie_together(tmp_path: Path) -> None:
    def made(root: Path) -> Artifact:
        write(root / "a" / "m" / "w.bin", "1")
        write(root / "b" / "m" / "w.bin", "2")
        return identity.of_files([root / "a" / "m", root / "b" / "m"])

    assert made(tmp_path / "here") == made(tmp_path / "there")


def test_a_variable_in_a_source_stays_in_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.gguf").write_bytes(b"")
    model = ModelConfig(source="${MY_MODEL}")
    monkeypatch.setenv("MY_MODEL", str(tmp_path / "m.gguf"))
    assert location.check(model, "models.weak") == tmp_path / "m.gguf"
    assert model.source == "${MY_MODEL}"
    monkeypatch.setenv("MY_MODEL", "owner/name")
    assert location.find(model) is None
    monkeypatch.setenv("MY_MODEL", "")
    with pytest.raises(ConfigError, match=r"models.weak: .*MY_MODEL, which is not set"):
        location.check(model, "models.weak")


def test_a_hub_id_that_nobody_can_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_ask_hub", nobody)
    monkeypatch.setattr(identity, "_cached", nobody)
    dry = identity.of_hub("model", "owner/name", None, "models.weak", offline_ok=True)
    assert dry.fingerprint == "unresolved:owner/name@main"
    with pytest.raises(BackendError, match=r"models.weak: 'owner/name' cannot be resolved to a commit"):
        identity.of_hub("model", "owner/name", None, "models.weak", offline_ok=False)
