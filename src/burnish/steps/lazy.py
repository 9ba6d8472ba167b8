"""Prompts and rows for a model, which are read from the disk when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from burnish.store.keyed_rows import KeyedRows, LazyRows
from burnish.types import Demonstration, Example, Prompt, TrainingRow


def prompts_of(examples: KeyedRows[Example], samples: int) -> LazyRows[Prompt]:
    """Return each prompt as often as it has samples. A prompt is read when it is asked for."""

    def prompt(number: int) -> Prompt:
        example = examples.at(number // samples)
        return Prompt(id=example.id, messages=example.prompt, sample=number % samples)

    def every() -> Iterator[Prompt]:
        for example in examples.values():
            for sample in range(samples):
                yield Prompt(id=example.id, messages=example.prompt, sample=sample)

    return LazyRows(len(examples) * samples, prompt, every)


def training_rows(
    examples: KeyedRows[Example],
    answers: KeyedRows[Demonstration],
    example_M: NDArray[np.int64],
    answer_M: NDArray[np.int64],
) -> LazyRows[TrainingRow]:
    """Return rows to learn or to score: the prompts at these places of the examples, each with an answer.

    A row is read when it is asked for. M counts the rows.
    """

    def row(example: Example, completion: str) -> TrainingRow:
        return TrainingRow(id=example.id, prompt=example.prompt, completion=completion)

    def every() -> Iterator[TrainingRow]:
        texts = answers.fields_at(answer_M, "completion")
        return (row(example, text) for example, (text,) in zip(examples.rows_at(example_M), texts, strict=True))

    return LazyRows(
        len(example_M),
        lambda number: row(examples.at(int(example_M[number])), answers.at(int(answer_M[number])).completion),
        every,
    )
