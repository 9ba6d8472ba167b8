"""What training and answering need, against values worked out by hand for a small model in the shape of Llama."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from burnish.config import DType, LoraConfig, Optimizer, TrainSettings
from burnish.models.memory import PassSize, Shape, answering, reinforcing, scoring, training

SMALL = Shape(layers=2, hidden=64, inner=160, heads=4, key_heads=2, head=20, vocabulary=300, tied=True)
SIZE = PassSize(tokens=100, supervised=10)
# q and o: 64 x 80. k and v: 64 x 40. gate, up and down: 64 x 160.
LINEAR = 2 * 64 * 80 + 2 * 64 * 40 + 3 * 64 * 160
WEIGHTS = 2 * (LINEAR + 2 * 64) + 64 + 300 * 64
# r times (in + out) of each of them.
ADAPTER = 2 * 4 * (2 * 144 + 2 * 104 + 3 * 224)
FULL: dict[str, Any] = {"lora": None}
LORA: dict[str, Any] = {"lora": LoraConfig(r=4, alpha=8)}
F32, BF16 = DType.FLOAT32, DType.BFLOAT16


def test_the_weights_are_counted() -> None:
    assert (LINEAR, WEIGHTS, ADAPTER) == (46_080, 111_680, 9_344)
    assert SMALL.parameters == WEIGHTS
    assert SMALL.adapter(4) == ADAPTER
    assert Shape(**{**{n: getattr(SMALL, n) for n in SMALL.__slots__}, "tied": False}).parameters == WEIGHTS + 300 * 64


def test_smollm2_has_135_million_weights() -> None:
    smollm2 = Shape(
        layers=30, hidden=576, inner=1536, heads=9, key_heads=3, head=64, vocabulary=49_152, tied=True
    )  # its config.json
    assert smollm2.parameters == 134_515_008


@pytest.mark.parametrize(
    ("settings", "dtype", "layer"),
    [
        # torch's saved tensors were counted for these: 1,270 numbers of a token in a layer, 4 bytes each.
        (FULL, F32, 100 * 5080),
        # 1,048 bytes in float32, 2,400 in bfloat16, and a copy of the linear weights.
        (FULL, BF16, 100 * 3448 + 2 * LINEAR),
        (LORA, F32, 100 * 4680),
        (LORA, BF16, 100 * 3152 + ADAPTER),
    ],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations(settings: dict[str, Any], dtype: DType, layer: int, checkpointing: bool) -> None:
    found = training(SMALL, TrainSettings(**settings, gradient_checkpointing=checkpointing), dtype, SIZE).activations
    # 300 tokens of the vocabulary: 8 bytes for each supervised position, in bfloat16 10.
    head = 10 * 300 * 8 if dtype is F32 else 10 * 300 * 10
    # The copy of the embedding, if it is trained.
    head += 2 * 300 * 64 if settings is FULL and dtype is BF16 else 0
    kept = 2 * 100 * 64 * (2 if settings is LORA and dtype is BF16 else 4)
    assert found == (kept + layer if checkpointing else 2 * layer) + head


@pytest.mark.parametrize(
    ("optimizer", "bytes_each"), [(Optimizer.ADAMW, 8), (Optimizer.RMSPROP, 4), (Optimizer.ADAFACTOR, 0)]
)
def test_what_is_trained_is_float32(optimizer: Optimizer, bytes_each: int) -> None:
    full = training(SMALL, TrainSettings(**FULL, optimizer=optimizer), BF16, SIZE)
    assert (full.weights, full.gradients, full.optimizer) == (4 * WEIGHTS, 4 * WEIGHTS, bytes_each * WEIGHTS)
    lora = training(SMALL, TrainSettings(**LORA, optimizer=optimizer), BF16, SIZE)
    assert lora.weights == 2 * WEIGHTS + 4 * ADAPTER
    assert (lora.gradients, lora.optimizer) == (4 * ADAPTER, bytes_each * ADAPTER)
    assert lora.total == lora.weights + lora.gradients + lora.optimizer + lora.activations


def test_the_cache_has_keys_and_values_of_each_layer() -> None:
    found = answering(SMALL, BF16, cached=1000, read=500, rows=8)
    # 2 of each, 40 numbers, 2 bytes, and one more layer while it grows.
    assert found.cache == 2 * 3 * 40 * 2 * 1000
    assert found.weights == 2 * WEIGHTS
    assert found.activations == max(500 * 2 * (3 * 64 + 3 * 160), 8 * 300 * 10)
    # With a large vocabulary, choosing a token needs more than reading the prompts.
    assert answering(SMALL, F32, cached=1000, read=1, rows=8).activations == 8 * 300 * 12


def test_log_probabilities_need_the_layers_or_the_logits() -> None:
    head, likely = (scoring(SMALL, BF16, read=500, projected=projected) for projected in (0, 2000))
    assert (head.cache, head.weights) == (0, 2 * WEIGHTS)
    assert head.activations == 500 * 2 * (3 * 64 + 3 * 160)
    assert likely.activations == 2000 * 300 * 10


def test_four_bits_in_the_layers_alone() -> None:
    plain, four = (training(SMALL, TrainSettings(**LORA), BF16, SIZE, quantised=one) for one in (False, True))
    # 92,160 linear weights with 4.127 bits each, and one part of 64 x 160 as bfloat16 while it is used.
    assert plain.weights - four.weights == 2 * 92_160 - round(92_160 * 4.126953125 / 8) - 2 * 64 * 160
    assert (plain.optimizer, plain.activations) == (four.optimizer, four.activations)


def test_fsdp_splits_all_but_the_activations() -> None:
    deep = replace(SMALL, layers=40)
    whole, part = (training(deep, TrainSettings(**FULL), F32, SIZE, split_over=n) for n in (1, 8))
    assert (part.optimizer, part.gradients) == (whole.optimizer // 8, whole.gradients // 8)
    assert part.activations == whole.activations
    # An eighth, two whole layers of 46,080 linear weights and two norms each, and the embedding.
    assert part.weights == pytest.approx(whole.weights / 8 + 2 * 4 * (LINEAR + 128) + 4 * 300 * 64, abs=16)


def test_holes_are_as_large_as_all_activations_or_the_cache() -> None:
    for settings in (FULL, LORA):
        plain, spared = (
            training(SMALL, TrainSettings(**settings, gradient_checkpointing=one), F32, SIZE) for one in (False, True)
        )
        assert spared.activations < plain.activations == plain.holes == spared.holes
        assert plain.with_holes == plain.total + plain.activations
    found = answering(SMALL, F32, cached=1000, read=500, rows=8)
    assert found.holes == found.cache > 0
    assert scoring(SMALL, F32, read=500, projected=0).holes == 0


@pytest.mark.parametrize(("settings", "copied"), [(FULL, WEIGHTS), (LORA, ADAPTER)])
def test_rl_keeps_its_reference_and_its_reward_models_in_memory(settings: dict[str, Any], copied: int) -> None:
    plain = training(SMALL, TrainSettings(**settings), F32, SIZE)
    sampled = answering(SMALL, F32, cached=50_000, read=10, rows=8)
    found = reinforcing(SMALL, TrainSettings(**settings), F32, SIZE, sampled, reward_models=1_000)
    assert found.weights == plain.weights + 4 * copied + 1_000
    assert (found.optimizer, found.gradients, found.activations) == (
        plain.optimizer,
        plain.gradients,
        plain.activations,
    )
    # Answers are sampled before the gradients are there, so the larger of both counts.
    assert found.sampling == 2 * 3 * 40 * 4 * 50_000 + sampled.activations
    assert found.total == found.weights + found.optimizer + max(found.sampling, found.gradients + found.activations)
