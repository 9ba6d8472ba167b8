"""The plan's activations are those that torch keeps for the backward pass, in models of the usual classes."""

from __future__ import annotations

from typing import Any

import pytest

from burnish.config import DType, LoraConfig, TrainSettings
from burnish.models.memory import PassSize, Shape, training

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 20,
    "vocab_size": 50,
}
CONFIGS = {"llama": "LlamaConfig", "gemma": "GemmaConfig", "mistral": "MistralConfig"}
TOKENS = 100
LORA = LoraConfig(r=4, alpha=8)


def same(tensor: Any) -> Any:
    return tensor


def kept(kind: str, layers: int, lora: bool, half: bool) -> int:
    """Return the bytes that torch keeps when the layers have read a row. Weights are left out."""
    config = getattr(transformers, CONFIGS[kind])(num_hidden_layers=layers, **SIZES)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if half and lora else None)
    body = model.model
    if lora:
        from peft import LoraConfig as PeftLora
        from peft import get_peft_model

        adapter = PeftLora(r=LORA.r, lora_alpha=LORA.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, adapter)
    weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
    found: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = tensor  # the tensor itself, so that no other one gets its place
        return tensor

    ids = torch.zeros((1, TOKENS), dtype=torch.long)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, same),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        # The output is held, so that what it keeps lives.
        output = body(input_ids=ids, use_cache=False).last_hidden_state
    assert output.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())


@pytest.mark.parametrize("kind", list(CONFIGS))
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_a_layer_keeps_what_the_plan_says(kind: str, lora: bool, half: bool) -> None:
    settings = TrainSettings(lora=LORA if lora else None)
    one, two = (
        training(
            Shape(layers=n, hidden=64, inner=160, heads=4, key_heads=2, head=20, vocabulary=50, tied=True),
            settings,
            DType.BFLOAT16 if half else DType.FLOAT32,
            PassSize(tokens=TOKENS, supervised=0),
        ).activations
        for n in (1, 2)
    )
    # Gemma adds 1 to the weights of its norms. The sum has no tokens, so the plan leaves it out.
    assert kept(kind, 2, lora, half) - kept(kind, 1, lora, half) == pytest.approx(two - one, rel=0.002)
