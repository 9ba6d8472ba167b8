"""Prompts and rows for a model, which are read from the disk when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from burnish.steps.artifacts import ChosenPair
from burnish.store.keyed_rows import KeyedRows, LazyRows
from burnish.types import Demonstration, Example, PreferenceRow, Prompt, TrainingRow


def prompts_of(examples: KeyedRows[Example], samples: int) -> LazyRows[Prompt]:
    """Return each prompt as often as it has samples. A prompt is read when it is asked for."""

    def some(places: NDArray[np.int64] | None) -> Iterator[Prompt]:
        numbers = range(len(examples) * samples) if places is None else places.tolist()
        if samples == 1 or places is not None:
            rows = examples.rows_at(None if places is None else places // samples)
        else:  # each example is read once
            rows = (example for example in examples.values() for _ in range(samples))
        for number, example in zip(numbers, rows, strict=True):
            yield Prompt(id=example.id, messages=example.prompt, sample=number % samples)

    return LazyRows(len(examples) * samples, some)


def training_rows(
    examples: KeyedRows[Example],
    answers: KeyedRows[Demonstration],
    example_M: NDArray[np.int64],
    answer_M: NDArray[np.int64],
) -> LazyRows[TrainingRow]:
    """Return rows to learn or to score: the prompts at these places of the examples, each with an answer.

    A row is read when it is asked for. M counts the rows.
    """

    def some(places: NDArray[np.int64] | None) -> Iterator[TrainingRow]:
        chosen = slice(None) if places is None else places
        texts = answers.fields_at(answer_M[chosen], "completion")
        for example, (text,) in zip(examples.rows_at(example_M[chosen]), texts, strict=True):
            yield TrainingRow(id=example.id, prompt=example.prompt, completion=text)

    return LazyRows(len(example_M), some)


def preference_rows(examples: Mapping[str, Example], chosen: Sequence[ChosenPair]) -> list[PreferenceRow]:
    """Return preferences to train on, each with its prompt."""
    return [
        PreferenceRow(
            # An example may have several pairs, so the number makes the row's id unique.
            id=f"{row.example_id}#{row.number}",
            prompt=examples[row.example_id].prompt,
            chosen=row.chosen.completion,
            rejected=row.rejected.completion,
        )
        for row in chosen
    ]
