"""Shows how a model will see a row: its text, and which part of it is learned. It also measures a machine's speed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import torch

from burnish.backends.device import choose_device, torch_dtype
from burnish.backends.load import renderer_of
from burnish.config import DType, Execution, ModelConfig
from burnish.types import TrainingRow

SIDE = 1024
"""Number of rows of the square matrices with which a machine's speed is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A row as text, with its numbers of tokens.

    The model does not learn to write `prompt`. It learns to write `supervised`, which ends with the token `end`.
    """

    prompt: str
    supervised: str
    end: str
    prompt_tokens: int
    supervised_tokens: int


def rendered(model: ModelConfig, row: TrainingRow) -> Rendered:
    """Render a row as training does, and turn the token ids back into text with its special tokens.

    Raises DataError if the chat template refuses the row. Raises as `renderer_of` does.
    """
    renderer = renderer_of(model)
    # There is no limit here, so that a row that is too long can still be shown.
    tokens = renderer.row(row, 2**31)
    prompt, supervised = tokens.ids[: tokens.prompt_length], tokens.ids[tokens.prompt_length :]
    return Rendered(
        prompt=str(renderer.tokenizer.decode(prompt)),
        supervised=str(renderer.tokenizer.decode(supervised)),
        end=renderer.end_text,
        prompt_tokens=len(prompt),
        supervised_tokens=len(supervised),
    )


def answer_lengths(model: ModelConfig, answers: Iterable[str]) -> list[int]:
    """Return how many tokens a model would have to write for each answer. The token that ends the answer counts.

    Raises as `renderer_of` does.
    """
    renderer = renderer_of(model)
    return [renderer.answer_length(answer) for answer in answers]


def row_lengths(model: ModelConfig, rows: Iterable[TrainingRow]) -> list[tuple[int, int]]:
    """Return for each row how many tokens its prompt has, and how many the whole row with its end."""
    renderer = renderer_of(model)
    # Without a limit, so that a row that is too long is counted, too.
    tokens = [renderer.row(row, 2**31) for row in rows]
    return [(row.prompt_length, len(row.ids)) for row in tokens]


@cache  # a process asks for it once for each plan, and the machine stays the same
def speed(execution: Execution, dtype: DType) -> float:
    """Measure for 0.2 seconds how many floating-point operations a second this machine does in matrix products.

    Raises BackendError if the device is not available.
    """
    device = choose_device(execution.device)
    matrix_MM = torch.ones((SIDE, SIDE), dtype=torch_dtype(dtype), device=device)
    _ = matrix_MM @ matrix_MM  # the first product also does preparations, so it is not timed
    started, products = time.perf_counter(), 0
    while time.perf_counter() - started < 0.2:
        # A GPU only puts the product into a queue. Reading one value of it waits until the product is done.
        (matrix_MM @ matrix_MM)[0, 0].item()
        products += 1
    # A product of two matrices of n rows takes n**3 multiplications and about as many additions.
    return products * 2 * SIDE**3 / (time.perf_counter() - started)
