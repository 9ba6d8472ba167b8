"""Settings of a model that are about adapters, where all weights are trained: refused before anything is computed."""

from __future__ import annotations

from typing import Any

import pytest
from experiment import small
from pydantic import ValidationError

from burnish.config import RefineConfig

ADAPTED: list[tuple[dict[str, str], str]] = [
    ({"quantise": "nf4"}, "quantise: nf4"),
    ({"trained_adapter": "attach"}, "trained_adapter: attach"),
    ({"adapter": "continue"}, "adapter: continue"),
]


@pytest.mark.parametrize(("given", "words"), ADAPTED)
def test_an_experiment_that_trains_all_weights_has_no_adapter_to_keep(given: dict[str, str], words: str) -> None:
    plain, adapted = {"source": "a/b"}, {"source": "a/b", **given}
    lora = {"lora": {"r": 4}}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"models": {"weak": plain, "strong": adapted}}, rf"models\.strong\.{words} found, and train\.lora: null"),
        ({"models": {"weak": adapted, "strong": plain}}, rf"models\.weak\.{words} found, and train\.lora: null"),
        (
            {"models": {"weak": plain, "strong": adapted}, "train": lora, "train_proposers": {"lora": None}},
            rf"models\.strong\.{words} found, and train_proposers\.lora: null",
        ),
        (
            {"models": {"weak": adapted, "strong": plain}, "train": lora}
            | {"supervision": {"annotator": {"kind": "oracle"}, "train": {"lora": None}}},
            rf"models\.weak\.{words} found, and supervision\.train\.lora: null",
        ),
    ]
    for changes, found in cases:
        with pytest.raises(ValidationError, match=found):
            small(**changes)
    small(models={"weak": adapted, "strong": adapted}, train=lora)


@pytest.mark.parametrize(("given", "words"), ADAPTED)
def test_a_refinement_that_trains_all_weights_has_no_adapter_to_keep(given: dict[str, str], words: str) -> None:
    values: dict[str, Any] = {
        "data": {"source": "x.jsonl"},
        "model": {"source": "a/b", **given},
        "annotator": {"kind": "people"},
    }
    with pytest.raises(ValidationError, match=rf"model\.{words} found, and train\.lora: null, .* or leave train\.lora"):
        RefineConfig.model_validate(values | {"train": {"lora": None}})
