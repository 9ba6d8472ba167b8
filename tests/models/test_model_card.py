"""A model's folder: its card, and what of it is copied where a round changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.config import ModelConfig
from burnish.errors import StageError
from burnish.models.card import CARD, ModelCard, Weights, copy_model, read_card, write_card

MODEL = ModelCard(base=ModelConfig(source="builtin:strong"), content="c", weights=Weights.ADAPTER)


def test_a_card_comes_back_as_it_was(tmp_path: Path) -> None:
    write_card(tmp_path, MODEL)
    assert read_card(tmp_path) == MODEL


def test_what_a_stage_recorded_beside_a_model_is_not_copied(tmp_path: Path) -> None:
    policy, copy = tmp_path / "policy", tmp_path / "copy"
    (policy / "checkpoint-01").mkdir(parents=True)
    copy.mkdir()
    write_card(policy, MODEL)
    weights = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}
    records = {"manifest.json": b"{}", "training.json": b"{}", "curve.jsonl": b"{}"}
    for name, data in {**weights, **records}.items():
        (policy / name).write_bytes(data)
    copy_model(policy, copy)
    assert {path.name for path in copy.iterdir()} == {CARD, *weights}
    assert read_card(copy) == MODEL
    for name, data in weights.items():
        assert (copy / name).read_bytes() == data


@pytest.mark.parametrize("text", [None, "{", "{}", '{"schema_version": 2}'])
def test_a_folder_without_a_readable_card_is_named(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / CARD).write_text(text)
    with pytest.raises(StageError, match=r"(?s)model\.json: no readable model card .*; run again$"):
        read_card(tmp_path)


def test_a_card_of_a_newer_version_names_a_way_on(tmp_path: Path) -> None:
    write_card(tmp_path, MODEL.model_copy(update={"schema_version": 2}))
    with pytest.raises(
        StageError, match=r"model\.json: schema_version 2 found, .* reads 1; install a newer burnish, or "
    ):
        read_card(tmp_path)
