"""Log-probabilities are those of a pass over all positions, and few logits are there at once."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

from burnish.backends.scoring import LOGITS, logprob_sums, most_targets  # noqa: E402


def llama(vocabulary: int) -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1
    )
    return transformers.LlamaForCausalLM(config).eval()


def whole(model: Any, ids: list[int], start: int) -> float:
    """Return a row's sum from a pass over it alone that projects all of its positions."""
    with torch.no_grad():
        logprob_TV = torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), dim=-1)
    return sum(float(logprob_TV[place - 1, ids[place]]) for place in range(start, len(ids)))


@pytest.mark.slow
def test_few_logits_of_a_large_vocabulary_are_there_at_once() -> None:
    model = llama(256_000)
    ids = [torch.randint(0, 256_000, (length,)).tolist() for length in (200, 150, 9)]
    starts = [20, 30, 1]
    seen: list[int] = []

    def note(_: Any, __: Any, logits: Any) -> None:
        seen.append(logits.numel())

    model.get_output_embeddings().register_forward_hook(note)
    sums = logprob_sums(model, ids, starts, pad=0)
    targets = sum(len(row) - start for row, start in zip(ids, starts, strict=True))
    assert most_targets(model) == LOGITS // 256_000 < targets
    assert max(seen) <= LOGITS
    assert sum(seen) == targets * 256_000  # the head is applied to no other position
    expected = [whole(model, row, start) for row, start in zip(ids, starts, strict=True)]
    assert sums == pytest.approx(expected, rel=1e-5)
