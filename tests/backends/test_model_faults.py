"""What only a loaded model shows: its list of layers, weights that are no numbers, a pad token without a place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_model

from burnish.config import DType, ModelConfig
from burnish.errors import ConfigError
from burnish.models.checks import check_files

torch: Any = pytest.importorskip("torch")

from burnish.backends.load import check_weights, load_base  # noqa: E402


def of(folder: Path, **settings: Any) -> ModelConfig:
    return ModelConfig(source=str(folder), dtype=DType.FLOAT32, **settings)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_first_layers_of_any_architecture(tmp_path: Path, kind: str) -> None:
    folder = tiny_model(tmp_path, "qwen", kind=kind)
    whole, cut = (load_base(of(folder, layers=layers), torch.float32, None) for layers in (None, 1))
    assert (whole.config.num_hidden_layers, cut.config.num_hidden_layers) == (2, 1)
    ids = torch.tensor([[5, 6, 7]])
    assert not torch.equal(whole(ids).logits, cut(ids).logits)
    names = {name for name, _ in whole.named_parameters()} - {name for name, _ in cut.named_parameters()}
    assert names
    assert all(".1." in name for name in names)
    assert cut.generate(ids, max_new_tokens=2, do_sample=False, pad_token_id=0).shape[1] <= 5
    with pytest.raises(ConfigError, match=r"model: layers: 3 asked for, '.*' has 2"):
        check_files(of(folder, layers=3), folder, "model")


def test_weights_that_are_no_numbers_are_found_where_a_file_was_not_read(tmp_path: Path) -> None:
    base = of(tiny_model(tmp_path, "qwen"))
    model = load_base(base, torch.float32, None)
    check_weights(model, base, 3)
    with pytest.raises(ConfigError, match="its tokenizer's pad token has the id 9000, but the embedding has 259 rows"):
        check_weights(model, base, 9000)
    with torch.no_grad():
        model.lm_head.weight[3, 4] = float("inf")
    check_weights(model, base, None)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = float("nan")
    with pytest.raises(ConfigError, match=r"the weights 'model\.layers\.1\.mlp\.up_proj\.weight' hold NaN"):
        check_weights(model, base, None)
