"""Does the device compute what the CPU computes in float32? Losses, gradients, and samples.

Axes: B is the rows of a batch, T the token positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import torch
from gpu_setup import Setup, prompts_of

from burnish.backends.load import load_base, renderer_of
from burnish.config import Decoding, DType
from burnish.protocols import SamplingKey
from burnish.types import TrainingRow

CPU = torch.device("cpu")
ROWS, ROWS_OF_A_BATCH, BATCHES = 24, 4, 3
NEW_TOKENS = 32
LARGEST: Mapping[DType, Mapping[str, float]] = {
    # float32 sums in another order, about 1e-6 for each term. bfloat16 has 8 bits: 4e-3 for each number.
    DType.FLOAT32: {"loss": 1e-4, "gradient": 1e-3},
    DType.BFLOAT16: {"loss": 2e-2, "gradient": 1e-1},
}
"""The largest relative difference from the CPU in float32 that counts as agreement."""
LEAST: Mapping[DType, float] = {DType.FLOAT32: 0.95, DType.BFLOAT16: 0.3}
"""The smallest share of equal tokens that counts as agreement. One other token changes all that follow it."""


def agreement(setup: Setup, report: dict[str, Any]) -> None:
    """Compare the log-probabilities of rows through burnish, and the gradients of all weights, with the CPU's."""
    rows = setup.rows(setup.count(ROWS, ROWS_OF_A_BATCH))
    batches = [rows[at : at + ROWS_OF_A_BATCH] for at in range(0, len(rows), ROWS_OF_A_BATCH)][:BATCHES]
    report |= {"rows": len(rows), "batches": len(batches)}
    expected = _losses(setup, CPU, DType.FLOAT32, rows)
    for dtype in LARGEST:
        losses = _losses(setup, setup.device, dtype, rows)
        difference = max(abs(losses[id_] - loss) / loss for id_, loss in expected.items())
        report[f"loss, {dtype}"] = _judged(difference, LARGEST[dtype]["loss"])
    gradient = _gradient(setup, CPU, DType.FLOAT32, batches)
    for dtype in LARGEST:
        difference = float((_gradient(setup, setup.device, dtype, batches) - gradient).norm() / gradient.norm())
        report[f"gradient, {dtype}"] = _judged(difference, LARGEST[dtype]["gradient"])


def _judged(difference: float, tolerance: float) -> dict[str, Any]:
    return {"relative_difference": difference, "tolerance": tolerance, "agrees": difference <= tolerance}


def _losses(setup: Setup, device: torch.device, dtype: DType, rows: Sequence[TrainingRow]) -> dict[str, float]:
    """Return {id: mean negative log-probability of the completion's tokens, in nats}, through the backend."""
    batches = setup.backend(device).logprobs(setup.base(dtype), rows, set())
    return {score.id: -score.value / score.tokens for batch in batches for score in batch}


def _gradient(
    setup: Setup, device: torch.device, dtype: DType, batches: Sequence[Sequence[TrainingRow]]
) -> torch.Tensor:
    """Return the gradient of the summed loss of all batches as one vector, on the CPU.

    As in training, weights are float32 and bfloat16 goes through autocast.
    """
    config = setup.config(dtype)
    renderer, model = renderer_of(config), load_base(config, torch.float32, labels=None).to(device)
    for batch in batches:
        rows = [renderer.row(row, 2**20) for row in batch]
        longest = max(len(row.ids) for row in rows)
        gaps = [longest - len(row.ids) for row in rows]
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype is DType.BFLOAT16):
            model(
                input_ids=_tensor([row.ids + [0] * gap for row, gap in zip(rows, gaps, strict=True)], device),
                attention_mask=_tensor(
                    [[1] * len(row.ids) + [0] * gap for row, gap in zip(rows, gaps, strict=True)], device
                ),
                labels=_tensor([row.labels + [-100] * gap for row, gap in zip(rows, gaps, strict=True)], device),
                use_cache=False,
            ).loss.backward()
    return torch.cat([p.grad.flatten().double().cpu() for p in model.parameters() if p.grad is not None])


def _tensor(rows: list[list[int]], device: torch.device) -> torch.Tensor:
    return torch.tensor(rows, device=device)


def samples(setup: Setup, report: dict[str, Any]) -> None:
    """Compare greedy answers, and samples with the same seed, with those of the CPU in float32."""
    report |= {"prompts": setup.count(ROWS, 4), "new_tokens": NEW_TOKENS}
    for name, temperature in (("greedy", 0.0), ("sampled at 0.7", 0.7)):
        expected = _answers(setup, CPU, DType.FLOAT32, temperature)
        for dtype in LEAST:
            found = _answers(setup, setup.device, dtype, temperature)
            equal = sum(_common(found[id_], answer) for id_, answer in expected.items())
            share = equal / sum(max(len(found[id_]), len(answer)) for id_, answer in expected.items())
            report[f"{name}, {dtype}"] = {
                "share_of_equal_tokens": round(share, 4),
                "share_of_equal_answers": round(sum(found[i] == a for i, a in expected.items()) / len(expected), 4),
                "least_share_of_equal_tokens": LEAST[dtype],
                "agrees": share >= LEAST[dtype],
            }


def _answers(setup: Setup, device: torch.device, dtype: DType, temperature: float) -> dict[str, list[int]]:
    """Return {id: the tokens of the answer's text}."""
    prompts = prompts_of(setup.rows(setup.count(ROWS, 4), "test"))
    decode = Decoding(beams=1, max_new_tokens=NEW_TOKENS, temperature=temperature)
    key = SamplingKey(seed=0, stage="gpu", round=0)
    tokenizer = renderer_of(setup.config(dtype)).tokenizer
    batches = setup.backend(device).generate(setup.base(dtype), prompts, decode, key, set())
    return {answer.id: list(tokenizer(answer.text)["input_ids"]) for batch in batches for answer in batch}


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two answers have in common at their beginnings."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
