"""What a dry run says about memory: which works it names, and with which settings they are planned."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from experiment import run_small, small

from burnish import backends
from burnish.config import Config, DType, Execution, ModelConfig, TrainSettings
from burnish.errors import BackendError
from burnish.inputs.memory import MemoryNeed, memory_needs, memory_words
from burnish.lab.inputs import resolve
from burnish.lab.planned_experiment import planned
from burnish.lab.running import plan
from burnish.models.location import EMBEDDED
from burnish.models.memory import Memory, PassSize, Shape, answering, training
from burnish.store.opening import open_store

pytest.importorskip("torch")

STRONG = "builtin:strong"
DPO: dict[str, Any] = {"methods": [{"kind": "dpo", "rounds": 1, "samples": 2, "beta": 0.1}]}


def every_need(config: Config, store: Path) -> tuple[MemoryNeed, ...]:
    """The needs with all models. `plan` leaves out the built-in ones."""
    inputs = resolve(config, offline_ok=True)
    return memory_needs(planned(config, inputs, open_store(store)), inputs.models.sources, config.execution)


def needs(where: Path, **changes: Any) -> dict[tuple[str, str], MemoryNeed]:
    return {(need.work, need.model): need for need in every_need(small(**changes), where)}


def test_each_kind_of_work_with_each_model_has_a_line_and_the_largest_is_first(tmp_path: Path) -> None:
    found = every_need(small(), tmp_path)
    assert {(need.work, need.model) for need in found} == {
        ("finetuning", "builtin:weak"),
        ("finetuning", STRONG),
        ("answers", "builtin:weak"),
        ("answers", STRONG),
        ("finetuning", "builtin:judge-3"),
        ("comparisons", "builtin:judge-3"),
    }
    assert [need.total for need in found] == sorted((need.total for need in found), reverse=True)
    heading, *lines = memory_words(found)
    assert heading.startswith("memory of a device if its passes are full")
    assert len(lines) == len(found)
    assert all(need.work in line and need.model in line for need, line in zip(found, lines, strict=True))


def test_a_pass_is_no_larger_than_a_step_or_the_setting(tmp_path: Path) -> None:
    """Rows have at most 10 tokens, and a step 4 rows."""
    train = {"lora": None, "max_tokens": 10, "batch_size": 4}
    shape = backends.shape_of(small().models.strong)
    assert shape is not None
    model = small().models.strong.model_copy(update={"dtype": "float32"})
    for execution, rows in ((Execution(), 4), (Execution(micro_batch=3), 3)):
        found = needs(tmp_path, train=train, execution=execution.model_dump())["finetuning", STRONG]
        size = PassSize(tokens=10 * rows, supervised=10 * rows)
        assert found.parts == training(shape, TrainSettings.model_validate(train), model.dtype, size)


def test_preference_training_has_its_own_optimiser_and_the_adapter_of_the_finetuning(tmp_path: Path) -> None:
    adapter = needs(tmp_path, **DPO, train={"lora": {"r": 4, "alpha": 8}})
    both = adapter["finetuning", STRONG], adapter["preference training", STRONG]
    shape = backends.shape_of(small().models.strong)
    assert shape is not None
    # AdamW keeps 8 bytes of each trained number, RMSprop 4.
    assert [need.parts.optimizer for need in both] == [8 * shape.adapter(4), 4 * shape.adapter(4)]


def test_a_head_has_no_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a large vocabulary the logits of a likelihood are the largest part. A head reads the same rows."""
    wide = Shape(layers=2, hidden=8, inner=8, heads=2, key_heads=2, head=4, vocabulary=10_000, tied=True)
    monkeypatch.setattr(backends, "shape_of", lambda _: wide)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    found = {
        kind: needs(tmp_path, supervision={"annotator": {"kind": kind, "model": STRONG}})["comparisons", STRONG].parts
        for kind in ("classifier", "likelihood")
    }
    assert found["classifier"].activations == 4_096 * 4 * (3 * 8 + 3 * 8)
    assert found["likelihood"].activations == 4_096 * 10_000 * 12


def test_finished_work_needs_nothing(tmp_path: Path) -> None:
    config = small(methods=[{"kind": "sft"}])
    run_small(config, tmp_path)
    assert every_need(config, tmp_path / "store") == ()


def test_a_model_that_cannot_be_read_has_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(model: Any) -> Shape | None:
        raise BackendError("the libraries are not installed")

    monkeypatch.setattr(backends, "shape_of", missing)
    assert every_need(small(), tmp_path) == ()
    assert list(memory_words(())) == []


def test_a_plan_is_made_where_the_device_of_the_workers_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = resolve(small(), offline_ok=True)
    records = planned(small(), inputs, open_store(tmp_path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert memory_needs(records, inputs.models.sources, Execution(device="cuda")) == ()


def test_a_model_that_the_hub_did_not_find_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def shape_of(model: ModelConfig) -> Shape | None:
        asked.append(model.source)
        return None

    monkeypatch.setattr(backends, "shape_of", shape_of)
    config = small(models={"weak": "builtin:weak", "strong": "nobody/has-this-model"})
    assert every_need(config, tmp_path) == ()
    assert set(asked) == {"builtin:weak", "builtin:judge-3"}
    assert plan(config, tmp_path).unresolved == ["nobody/has-this-model@main"]


def test_the_built_in_models_have_no_line_in_a_dry_run(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(EMBEDDED / "strong", folder)
    found = plan(small(models={"weak": "builtin:weak", "strong": str(folder)}), tmp_path / "store").memory
    assert {need.model for need in found} == {str(folder)}


def test_a_part_of_nothing_is_not_named() -> None:
    parts = Memory(weights=2_000_000_000, cache=150_000_000)
    (_, line) = memory_words([MemoryNeed(work="answers", model="m", total=parts.total, parts=parts)])
    assert line.replace("\u00a0", " ").strip() == "2.1 GB  answers with m (weights 2.0 GB, cache 0.1 GB)"


def test_reinforcement_learning_has_a_line_with_its_reward_model(tmp_path: Path) -> None:
    """Each step has 2 prompts x 4 answers. A prompt has at most 30 tokens, and an answer 10."""
    reward = {"kind": "comparisons"}
    method = {"kind": "rl", "rounds": 1, "steps": 1, "prompts": 2, "samples": 4, "batch_size": 4, "reward": reward}
    train = {"lora": {"r": 4, "alpha": 8}, "max_tokens": 30}
    decode = {"beams": 1, "max_new_tokens": 10}
    found = needs(tmp_path, methods=[method], train=train, decode=decode)["reinforcement learning", STRONG]
    shape = backends.shape_of(small().models.strong)
    assert shape is not None
    # The policy and its reference, each an adapter, and the reward model, which is trained from the same base.
    assert found.parts.weights == 2 * 4 * shape.parameters + 2 * 4 * shape.adapter(4)
    assert found.parts.sampling == 2 * (shape.layers + 1) * shape.keys * 4 * 8 * 40 + answers(shape, rows=8, read=240)
    four = PassSize(tokens=4 * 40, supervised=4 * 10)
    settings = TrainSettings.model_validate(train | {"batch_size": 4})
    dtype = DType.FLOAT32
    assert found.parts.activations == training(shape, settings, dtype, four).activations


def answers(shape: Shape, rows: int, read: int) -> int:
    return answering(shape, DType.FLOAT32, 0, read, rows).activations


def test_a_training_that_is_split_needs_a_part_on_each_device(tmp_path: Path) -> None:
    execution = {"split_training": "fsdp2", "needs": {"train": {"processes": 4}}}
    whole, part = (needs(tmp_path, execution=one)["finetuning", STRONG].parts for one in ({}, execution))
    assert part.optimizer == whole.optimizer // 4
