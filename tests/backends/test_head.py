"""The head is applied to chosen positions alone, and their logits are those of a pass over all positions."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM  # noqa: E402

from burnish.backends.head import has_head, head_at  # noqa: E402

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (LlamaConfig, LlamaForCausalLM),
        # Gemma 2 caps its logits after the head.
        (Gemma2Config, Gemma2ForCausalLM),
    ],
)
def test_the_logits_are_those_of_a_pass_over_all_positions(config: Any, kind: Any) -> None:
    torch.manual_seed(0)
    model = kind(config(**SIZES)).eval()
    ids_BT = torch.randint(3, 50, (3, 7))
    chosen_BT = torch.rand(3, 7) < 0.5
    assert has_head(model)
    with torch.no_grad():
        whole_BTV = model(input_ids=ids_BT).logits
        with head_at(model, chosen_BT):
            part_1NV = model(input_ids=ids_BT).logits
        again_BTV = model(input_ids=ids_BT).logits  # the hook is gone
    assert part_1NV.shape == (1, int(chosen_BT.sum()), 50)
    torch.testing.assert_close(part_1NV[0], whole_BTV[chosen_BT])
    assert torch.equal(again_BTV, whole_BTV)


def test_a_model_without_a_head_is_named() -> None:
    class Headless(torch.nn.Module):
        def get_output_embeddings(self) -> None:
            return None

    assert not has_head(Headless())
    with pytest.raises(ValueError, match="Headless has no output embeddings"), head_at(Headless(), torch.ones(1, 1)):
        pass
